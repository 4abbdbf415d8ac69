//! Two replicas in full figures: a thousand changes, a thousand pollers, and ten minutes of three thousand instances that only
//! send heartbeats, with the bill for a month of them.

use std::time::Duration;

use anyhow::{Context, ensure};

use super::say;
use crate::{
    programs::Programs,
    scenario::replicas::{Idle, VISIBLE, idle, polled, visible},
    stage::Stage,
};

const CHANGES: u32 = 1000;
const POLLERS: usize = 1000;
const IDLE: Idle =
    Idle { instances: 3000, replicas: 2, lease: Duration::from_secs(30), span: Duration::from_secs(600) };

/// Plays and prints.
pub async fn run() -> anyhow::Result<()> {
    let seen = visible(&stage()?, CHANGES).await?;
    say(format!("Told to one replica, in the other's answers: {seen}"));
    ensure!(seen.quantile(0.99) < VISIBLE, "a second is promised");
    let seen = polled(&stage()?, POLLERS, Duration::from_secs(30)).await?;
    say(seen.to_string());
    seen.costs_nothing()?;
    let cost = idle(&stage()?, IDLE).await?;
    say(cost.to_string());
    cost.only_flushes()?;
    ensure!(cost.share() <= 1.0 / 50.0, "a fiftieth of a write a heartbeat is promised");
    Ok(())
}

fn stage() -> anyhow::Result<Stage> {
    Stage::new("soak-replicas", Programs::new(std::env::current_exe().context("finding this program")?))
}
