//! Five hundred registrations of each kind until real Envoys have them, beside a bare tonic push.

use anyhow::Context;

use super::say;
use crate::{programs::Programs, scenario::visible, stage::Stage};

const CHANGES: u32 = 500;

/// Plays and prints.
pub async fn run() -> anyhow::Result<()> {
    let stage = Stage::new("soak-visible", Programs::new(std::env::current_exe().context("finding this program")?))?;
    let seen = visible::play(&stage, CHANGES).await.inspect_err(|_| say(stage.log_book().tails()))?;
    say(seen.to_string());
    Ok(())
}
