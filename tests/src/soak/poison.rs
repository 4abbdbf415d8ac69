//! Every bad row, each in a service of its own, and all services in one Envoy.

use anyhow::Context;

use super::say;
use crate::{
    programs::Programs,
    scenario::poison::{self, Plan},
    stage::Stage,
};

/// Plays and prints.
pub async fn run() -> anyhow::Result<()> {
    let stage = Stage::new("soak-poison", Programs::new(std::env::current_exe().context("finding this program")?))?;
    let seen = poison::play(&stage, Plan { one_in: 1 }).await.inspect_err(|_| say(stage.log_book().tails()))?;
    let [running, restarted] = seen.updated;
    say(format!("{} bad rows counted and named, no answer refused", seen.bad));
    say(format!(
        "the slowest change was in Envoy after {running:.2?}, after a restart {restarted:.2?} (2 s are promised)"
    ));
    Ok(())
}
