//! Twenty tasks that prove their roles, and each kind of trouble with AWS for twenty leases.

use anyhow::Context;

use super::say;
use crate::{programs::Programs, scenario::roles, stage::Stage};

/// Plays and prints.
pub async fn run() -> anyhow::Result<()> {
    let stage = Stage::new("soak-roles", Programs::new(std::env::current_exe().context("finding this program")?))?;
    let outcome = roles::play(&stage, 20, 20).await.inspect_err(|_| say(stage.log_book().tails()))?;
    let roles::Outcome { calls, returned, lifetimes } = outcome;
    say(format!(
        "20 tasks, {calls} calls of STS for their registrations, {lifetimes:.0} lifetimes of a token: 0 calls refused, 0 lost"
    ));
    for (trouble, after) in returned {
        say(format!(
            "STS and ECS {trouble} for 20 leases: a first registration {after:.2?} after their return (30 s are promised)"
        ));
    }
    match stage.log_book().told() {
        None => say("no secret in any line of the logs, at trace"),
        Some(told) => say(format!("A SECRET WAS TOLD: {told}")),
    }
    Ok(())
}
