//! Every trouble of one of three replicas for three leases of 6 s, two of them with clocks that are 5 minutes wrong.

use std::time::Duration;

use anyhow::{Context, ensure};

use super::say;
use crate::{
    programs::Programs,
    scenario::clocks::{self, Plan, Trouble},
    stage::Stage,
};

/// Plays and prints.
pub async fn run() -> anyhow::Result<()> {
    let stage = Stage::new("soak-clocks", Programs::new(std::env::current_exe().context("finding this program")?))?;
    let lease = Duration::from_secs(6);
    let troubles = Trouble::ALL.map(|trouble| (trouble, 3 * lease));
    let plan = Plan { lease, troubles: &troubles };
    let outcome = clocks::play(&stage, plan).await.inspect_err(|_| say(stage.log_book().tails()))?;
    outcome.seen.iter().for_each(|seen| say(seen.to_string()));
    ensure!(outcome.skewed, "the clocks were right: this soak needs more: apt-get install libfaketime");
    Ok(())
}
