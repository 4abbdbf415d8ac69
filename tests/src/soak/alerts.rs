//! The shipped alert rules and dashboards under a real Prometheus, with every fault that they are for.

use anyhow::Context;

use super::say;
use crate::{programs::Programs, scenario::alerts, stage::Stage};

/// Plays and prints.
pub async fn run() -> anyhow::Result<()> {
    let stage = Stage::new("soak-alerts", Programs::new(std::env::current_exe().context("finding this program")?))?;
    let seen = alerts::play(&stage).await.inspect_err(|_| say(stage.log_book().tails()))?;
    say(seen.to_string());
    Ok(())
}
