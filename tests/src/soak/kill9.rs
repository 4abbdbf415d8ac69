//! What ten kills cost, with all that an Envoy can do about them.

use anyhow::Context;

use super::say;
use crate::{
    programs::Programs,
    scenario::kill9::{self, Plan},
    stage::Stage,
};

const PLAN: Plan = Plan { kills: 10, rate: 100 };

/// Plays and prints.
pub async fn run() -> anyhow::Result<()> {
    let stage = Stage::new("soak-kill9", Programs::new(std::env::current_exe().context("finding this program")?))?;
    let seen = kill9::play(&stage, PLAN).await.inspect_err(|_| say(stage.log_book().tails()))?;
    say(seen.to_string());
    Ok(())
}
