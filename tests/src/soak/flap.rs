//! An app that flaps for five minutes.

use std::time::Duration;

use anyhow::Context;

use super::say;
use crate::{programs::Programs, scenario::flap, stage::Stage};

const SPAN: Duration = Duration::from_secs(300);

/// Plays and prints.
pub async fn run() -> anyhow::Result<()> {
    let stage = Stage::new("soak-flap", Programs::new(std::env::current_exe().context("finding this program")?))?;
    let outcome = flap::play(&stage, SPAN).await.inspect_err(|_| say(stage.log_book().tails()))?;
    let flap::Outcome { drops, pauses } = outcome;
    say(format!(
        "{} drops, the slowest arrived after {:.2?} (1.7 s are promised)",
        drops.len(),
        drops.iter().max().copied().unwrap_or_default()
    ));
    say(format!(
        "{} returns, the soonest {:.2?} after the one before (10 s are promised)",
        pauses.len(),
        pauses.iter().min().copied().unwrap_or_default()
    ));
    Ok(())
}
