//! The sweep of 3,000 tasks by three replicas, as often as by default.

use std::time::Duration;

use anyhow::Context;

use super::say;
use crate::{
    programs::Programs,
    scenario::truth::{self, Plan},
    stage::Stage,
};

/// Plays and prints.
pub async fn run() -> anyhow::Result<()> {
    let stage = Stage::new("soak-ecs", Programs::new(std::env::current_exe().context("finding this program")?))?;
    let plan = Plan { tasks: 3000, every: Duration::from_secs(10), sweeps: 6, rate: 3 };
    let seen = truth::play(&stage, plan).await.inspect_err(|_| say(stage.log_book().tails()))?;
    say(format!("{plan:?}: {:.1} calls a sweep, at most {} in one second", seen.calls, seen.peak));
    say(format!("a stopped task was gone everywhere after {:.2?}", seen.gone));
    Ok(())
}
