//! 100,000 instances in 1,000 services, and one service of 10,000.

use std::time::Duration;

use anyhow::Context;

use super::say;
use crate::{
    programs::Programs,
    scenario::size::{self, Plan},
    stage::Stage,
};

const READY: Duration = Duration::from_secs(10);
const MEMORY: u64 = 150 << 20;

/// Plays and prints.
pub async fn run() -> anyhow::Result<()> {
    let stage = Stage::new("soak-size", Programs::new(std::env::current_exe().context("finding this program")?))?;
    let plan = Plan { services: 1000, each: 100, big: 10_000, ready: READY, memory: Some(MEMORY) };
    let seen = size::play(&stage, plan).await.inspect_err(|_| say(stage.log_book().tails()))?;
    let [now, most] = seen.resident.map(|bytes| bytes >> 20);
    say(format!("ready after {:.2?} (goal {READY:?})", seen.ready));
    say(format!("resident {now} MiB, at most {most} MiB (goal {})", MEMORY >> 20));
    say(format!("EDS of the large service: {:.0?}", seen.eds));
    Ok(())
}
