//! Two thousand slow clients for two minutes.

use std::time::Duration;

use anyhow::Context;

use super::say;
use crate::{
    programs::Programs,
    scenario::loris::{self, Plan},
    stage::Stage,
};

const PLAN: Plan = Plan { sockets: 2000, span: Duration::from_secs(120) };

/// Plays and prints.
pub async fn run() -> anyhow::Result<()> {
    let stage = Stage::new("soak-loris", Programs::new(std::env::current_exe().context("finding this program")?))?;
    let outcome = loris::play(&stage, PLAN).await.inspect_err(|_| say(stage.log_book().tails()))?;
    say(format!("{} slow clients for {:?} beside 3 Envoys: {outcome}.", PLAN.sockets, PLAN.span));
    Ok(())
}
