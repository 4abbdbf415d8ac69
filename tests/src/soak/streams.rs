//! All kinds of bad company on discovery streams, in numbers.

use anyhow::Context;

use super::say;
use crate::{
    programs::Programs,
    scenario::streams::{self, Plan},
    stage::Stage,
};

const PLAN: Plan =
    Plan { names: 10_000, rounds: 20, deaf: 200, resets: 20_000, messages: 200, changes: 500, memory: 100 << 20 };

/// Plays and prints.
pub async fn run() -> anyhow::Result<()> {
    let stage = Stage::new("soak-streams", Programs::new(std::env::current_exe().context("finding this program")?))?;
    let seen = streams::play(&stage, PLAN).await.inspect_err(|_| say(stage.log_book().tails()))?;
    say(format!("{PLAN:?}:\n{seen}"));
    Ok(())
}
