//! Mass silence with a lease of 6 s, a cap of a minute, and a thousand others.

use std::time::Duration;

use anyhow::Context;

use super::say;
use crate::{
    programs::Programs,
    scenario::silence::{self, Plan},
    stage::Stage,
};

/// Plays and prints.
pub async fn run() -> anyhow::Result<()> {
    let stage = Stage::new("soak-silence", Programs::new(std::env::current_exe().context("finding this program")?))?;
    let plan = Plan { lease: Duration::from_secs(6), cap: Duration::from_secs(60), others: 1000 };
    let seen = silence::play(&stage, plan).await.inspect_err(|_| say(stage.log_book().tails()))?;
    say(format!("{plan:?}: at most {} held at once", seen.held));
    say(format!("a death elsewhere was gone after {:.2?}, a scale-in after {:.2?}", seen.death, seen.scale_in));
    say(format!(
        "who spoke again was held no more after {:.2?}; the cap had ended it after {:.2?}",
        seen.back, seen.ended
    ));
    Ok(())
}
