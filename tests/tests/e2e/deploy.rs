//! Rolling deploys of the task definitions that the docs ship cost no request, and the very same deploy does when the
//! drain is taken away: the test can fail.

use anyhow::ensure;
use e2e::{
    ecs::definition::Definition,
    scenario::deploy::{self, Plan},
};

use crate::alone;

#[test]
fn a_rolling_deploy_under_load_fails_no_request() {
    alone("a_rolling_deploy_under_load_fails_no_request", async |stage| {
        let definition = Definition::shipped("fargate")?;
        let plan = Plan { tasks: 3, rounds: 1, definition, restart: true };
        let outcome = deploy::play(stage, &plan).await?;
        println!("{} requests, {:.0}/s, rounds {:?}", outcome.report.ok(), outcome.rate, outcome.rounds);
        outcome.lost_nothing(&plan)
    });
}

#[test]
fn without_a_linger_the_same_deploy_fails_requests() {
    alone("without_a_linger_the_same_deploy_fails_requests", async |stage| {
        let definition = Definition::shipped("fargate")?.with("sds-sidecar", "SDS_LINGER", "0s")?;
        let plan = Plan { tasks: 3, rounds: 1, definition, restart: false };
        let outcome = deploy::play(stage, &plan).await?;
        println!("{} answered, failed: {:?}", outcome.report.ok(), outcome.report.failed);
        ensure!(outcome.report.failures() > 0, "the load does not see what a linger is for");
        Ok(())
    });
}
