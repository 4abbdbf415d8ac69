//! Rolling deploys in full size: ten tasks, replaced five times under load, with the registry started anew in the middle of
//! the third time; then with Envoys on streams and drains that end by receipts; then in bridge mode; then an app that needs a minute; then without a linger, which must fail requests.

use anyhow::{Context, ensure};

use super::say;
use crate::{
    ecs::definition::Definition,
    programs::Programs,
    scenario::deploy::{self, Outcome, Plan},
    stage::Stage,
};

const TASKS: usize = 10;
const ROUNDS: usize = 5;
/// Requests a second that the goal is about.
const RATE: f64 = 300.0;

/// Plays and prints.
pub async fn run() -> anyhow::Result<()> {
    let fargate = Definition::shipped("fargate")?;
    let plain = Plan::plain(TASKS, ROUNDS, fargate.clone());
    say(format!("{TASKS} tasks of sidecar/examples/fargate.json, times a fifth of production's, 3 Envoys (REST EDS)."));

    let plan = Plan { restart: true, ..plain.clone() };
    let outcome = play("replaced", &plan).await?;
    outcome.lost_nothing(&plan)?;
    ensure!(outcome.rate >= RATE, "only {:.0} requests a second were sent", outcome.rate);

    let plan = Plan::with_receipts(TASKS, ROUNDS)?;
    let outcome = play("replaced, Envoys on streams, drains ended by receipts", &plan).await?;
    outcome.lost_nothing(&plan)?;
    let drains = outcome.drains();
    let at = |nth: usize| drains.get(nth).copied().unwrap_or_default();
    say(format!("their drains took {:.1?} (median), {:.1?} (longest)", at(drains.len() / 2), at(drains.len() - 1)));
    outcome.drained_by_receipts()?;

    let plan = Plan::plain(TASKS, 1, Definition::shipped("ec2-bridge")?);
    play("replaced in bridge mode", &plan).await?.lost_nothing(&plan)?;

    let after = fargate.clone().with("app", deploy::READY_AFTER.0, deploy::READY_AFTER.1)?;
    let plan = Plan { rounds: 1, after, ..plain.clone() };
    play("replaced by an app that needs a minute", &plan).await?.lost_nothing(&plan)?;

    let definition = fargate.with("sds-sidecar", "SDS_LINGER", "0s")?;
    let outcome = play("replaced without a linger", &Plan::plain(TASKS, 1, definition)).await?;
    ensure!(outcome.report.failures() > 0, "the load does not see what a linger is for");
    say("No request failed but those without a linger, as they should.");
    Ok(())
}

async fn play(what: &str, plan: &Plan) -> anyhow::Result<Outcome> {
    let stage = Stage::new("soak-deploy", Programs::new(std::env::current_exe().context("finding this program")?))?;
    let logs = stage.log_book();
    let outcome = deploy::play(&stage, plan).await.inspect_err(|_| say(logs.tails()))?;
    let (sent, failed) = (outcome.report.ok() + outcome.report.failures(), outcome.report.failures());
    say(format!(
        "{what}: {sent} requests ({:.0}/s), {failed} failed; rounds took {:.1?}",
        outcome.rate, outcome.rounds
    ));
    Ok(outcome)
}
