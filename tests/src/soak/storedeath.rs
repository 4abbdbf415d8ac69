//! The store dies for twenty leases, with fifty services of twenty; then all replicas are started without it, and its table
//! is emptied. A third of the default lease, so that the whole of it takes minutes.

use std::time::Duration;

use anyhow::Context;

use super::say;
use crate::{
    programs::Programs,
    scenario::{blackstart, crowd::Size, storedeath},
    stage::Stage,
};

const SIZE: Size = Size { services: 50, hosts: 20, apps: 4, rate: 100 };
const LEASE: Duration = Duration::from_secs(10);
const LEASES: u32 = 20;

/// Plays and prints.
pub async fn death() -> anyhow::Result<()> {
    let stage = stage()?;
    let plan = storedeath::Plan { size: SIZE, lease: LEASE, leases: LEASES };
    let outcome = storedeath::play(&stage, plan).await.inspect_err(|_| say(stage.log_book().tails()))?;
    say(format!("{SIZE:?}, the store dead for {LEASES} leases of {LEASE:?}: {outcome}"));
    Ok(())
}

/// Plays and prints.
pub async fn start() -> anyhow::Result<()> {
    let stage = stage()?;
    let plan = blackstart::Plan { size: SIZE, lease: LEASE, leases: 3 };
    let outcome = blackstart::play(&stage, plan).await.inspect_err(|_| say(stage.log_book().tails()))?;
    say(format!("{SIZE:?}, all replicas started without the store: {outcome}"));
    Ok(())
}

fn stage() -> anyhow::Result<Stage> {
    Stage::new("soak-storedeath", Programs::new(std::env::current_exe().context("finding this program")?))
}
