//! Ten thousand discovery streams, and two thousand connections with one each.

use anyhow::{Context, ensure};

use super::say;
use crate::{
    programs::Programs,
    scenario::fanout::{self, Plan},
    stage::Stage,
};

/// Streams on shared connections, and the most that each may cost.
const SHARED: (Plan, u64) = (Plan { connections: 200, streams: 50, wants: 10, changes: 50 }, 20_000);
const ALONE: (Plan, u64) = (Plan { connections: 2000, streams: 1, wants: 10, changes: 20 }, 60_000);

/// Plays and prints.
pub async fn run() -> anyhow::Result<()> {
    for (plan, most) in [SHARED, ALONE] {
        let stage = Stage::new("soak-fanout", Programs::new(std::env::current_exe().context("finding this program")?))?;
        let seen = fanout::play(&stage, plan).await.inspect_err(|_| say(stage.log_book().tails()))?;
        say(format!("{plan:?}: {seen}"));
        ensure!(seen.each <= most, "{} bytes a stream, at most {most} are promised", seen.each);
    }
    Ok(())
}
