//! Ten minutes without the registry and without the metadata, scaled by the lease to one, with fifty sidecars.

use std::time::Duration;

use anyhow::Context;

use super::say;
use crate::{
    programs::Programs,
    scenario::{
        blind,
        outage::{self, Away, Plan},
    },
    stage::Stage,
};

const OUTAGE: Duration = Duration::from_secs(60);
const SIDECARS: usize = 50;

/// Plays and prints.
pub async fn run() -> anyhow::Result<()> {
    for (away, keep) in [(Away::Dead, true), (Away::Dead, false), (Away::Silent, true), (Away::Silent, false)] {
        let (stage, plan) = (stage()?, Plan { sidecars: SIDECARS, away, outage: OUTAGE, keep });
        let outcome = outage::play(&stage, plan).await.inspect_err(|_| say(stage.log_book().tails()))?;
        say(format!(
            "{plan}: all registered {:.2} s after its return (2 s are promised), at most {:.2} calls a second of one sidecar",
            outcome.back.as_secs_f64(),
            outcome.rate
        ));
    }
    let stage = stage()?;
    blind::play(&stage, OUTAGE).await.inspect_err(|_| say(stage.log_book().tails()))?;
    say(format!("Metadata that failed in eight ways for {OUTAGE:?} changed nothing and ended no task."));
    Ok(())
}

fn stage() -> anyhow::Result<Stage> {
    Stage::new("soak-outage", Programs::new(std::env::current_exe().context("finding this program")?))
}
