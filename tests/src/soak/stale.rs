//! 10,000 stories of late, doubled and reordered writes, two hundred at a time.

use anyhow::Context;

use super::say;
use crate::{
    programs::Programs,
    scenario::stale::{self, Plan},
    stage::Stage,
};

/// Plays and prints.
pub async fn run() -> anyhow::Result<()> {
    let stage = Stage::new("soak-stale", Programs::new(std::env::current_exe().context("finding this program")?))?;
    let plan = Plan { stories: 10_000, seed: fastrand::u64(..) };
    let seen = stale::play(&stage, plan).await.inspect_err(|_| say(stage.log_book().tails()))?;
    say(format!(
        "{plan:?}: {} requests and {} writes out of order, and the answers equal the model",
        seen.requests, seen.struck
    ));
    Ok(())
}
