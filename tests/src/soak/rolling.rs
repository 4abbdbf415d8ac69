//! Replicas replaced in full size: three in turn by this release, and back, under 330 requests a second while ten tasks are
//! deployed in each round; and two releases on one table for ten leases. `E2E_OTHER_BIN_DIR` names the directory of the other
//! release's `sds-api` and `sds-sidecar`.

use std::time::Duration;

use anyhow::{Context, ensure};

use super::say;
use crate::{
    place,
    programs::Programs,
    scenario::{
        deploy,
        releases::{self, Plan},
        rolling,
    },
    stage::Stage,
};

const TASKS: usize = 10;
const SENT: u32 = 330;
/// Requests a second that the goal is about.
const RATE: f64 = 300.0;

/// Plays and prints.
pub async fn restarts() -> anyhow::Result<()> {
    let stage = stage()?;
    let plan = deploy::Plan::with_receipts(TASKS, 2)?;
    let outcome = rolling::play(&stage, &plan, SENT).await.inspect_err(|_| say(stage.log_book().tails()))?;
    let (sent, failed) = (outcome.report.ok() + outcome.report.failures(), outcome.report.failures());
    say(format!(
        "3 replicas of another release ({}) replaced in turn, and back, while {TASKS} tasks were deployed ({:.1?}): {sent} requests ({:.0}/s), {failed} failed",
        other(),
        outcome.rounds,
        outcome.rate
    ));
    ensure!(outcome.rate >= RATE, "only {:.0} requests a second were sent", outcome.rate);
    outcome.lost_nothing(&plan)
}

/// Plays and prints.
pub async fn releases() -> anyhow::Result<()> {
    let stage = stage()?;
    let plan = Plan { hosts: 100, lease: Duration::from_secs(6), leases: 10 };
    let polls = releases::play(&stage, plan).await.inspect_err(|_| say(stage.log_book().tails()))?;
    say(format!(
        "Two releases (the other: {}) on one table, {plan:?}: same versions, {polls} polls, nobody lost.",
        other()
    ));
    Ok(())
}

fn other() -> String {
    place::var("E2E_OTHER_BIN_DIR").unwrap_or_else(|| "the same".to_owned())
}

fn stage() -> anyhow::Result<Stage> {
    Stage::new("soak-rolling", Programs::new(std::env::current_exe().context("finding this program")?))
}
