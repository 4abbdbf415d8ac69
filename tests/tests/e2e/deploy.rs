//! Rolling deploys of the task definitions that the docs ship cost no request, and the very same deploy does when the
//! drain is taken away: the test can fail.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, ensure};
use e2e::{
    api::Api,
    ecs::{Ecs, Settings, definition::Definition, history::What, task::Task},
    process::Signal,
    scenario::deploy::{self, Outcome, Plan},
    wait::SOON,
};

use crate::alone;

fn told(outcome: &Outcome) {
    let (ok, failed) = (outcome.report.ok(), outcome.report.failures());
    println!("{ok} answered, {failed} failed, {:.0}/s, rounds {:.1?}", outcome.rate, outcome.rounds);
}

#[test]
fn a_rolling_deploy_under_load_fails_no_request() {
    alone("a_rolling_deploy_under_load_fails_no_request", async |stage| {
        let plan = Plan { restart: true, ..Plan::plain(3, 1, Definition::shipped("fargate")?) };
        let outcome = deploy::play(stage, &plan).await?;
        told(&outcome);
        outcome.lost_nothing(&plan)
    });
}

#[test]
fn with_receipts_a_drain_takes_as_long_as_its_requests() {
    alone("with_receipts_a_drain_takes_as_long_as_its_requests", async |stage| {
        let plan = Plan::with_receipts(3, 1)?;
        let outcome = deploy::play(stage, &plan).await?;
        told(&outcome);
        outcome.lost_nothing(&plan)?;
        println!("drains took {:.1?}", outcome.drains());
        outcome.drained_by_receipts()
    });
}

#[test]
fn a_rolling_deploy_in_bridge_mode_fails_no_request() {
    alone("a_rolling_deploy_in_bridge_mode_fails_no_request", async |stage| {
        let plan = Plan::plain(3, 1, Definition::shipped("ec2-bridge")?);
        let outcome = deploy::play(stage, &plan).await?;
        told(&outcome);
        outcome.lost_nothing(&plan)
    });
}

#[test]
fn without_a_linger_the_same_deploy_fails_requests() {
    alone("without_a_linger_the_same_deploy_fails_requests", async |stage| {
        let definition = Definition::shipped("fargate")?.with("sds-sidecar", "SDS_LINGER", "0s")?;
        let outcome = deploy::play(stage, &Plan::plain(3, 1, definition)).await?;
        told(&outcome);
        ensure!(outcome.report.failures() > 0, "the load does not see what a linger is for");
        Ok(())
    });
}

#[test]
fn a_slow_app_keeps_the_old_tasks_until_it_is_registered() {
    alone("a_slow_app_keeps_the_old_tasks_until_it_is_registered", async |stage| {
        let plain = Plan::plain(3, 1, Definition::shipped("fargate")?);
        let after = plain.after.clone().with("app", deploy::READY_AFTER.0, deploy::READY_AFTER.1)?;
        let plan = Plan { after, ..plain };
        let outcome = deploy::play(stage, &plan).await?;
        told(&outcome);
        let stopped = outcome.moments(&What::Signalled(Signal::TERM));
        let started = outcome.moments(&What::Started);
        let kept = *stopped.first().context("none was stopped")? - *started.get(3).context("none was started")?;
        ensure!(kept >= Duration::from_secs(12), "the old ones were kept for {kept:?} only");
        outcome.lost_nothing(&plan)
    });
}

#[test]
fn in_host_mode_the_hosts_address_is_deployed() {
    alone("in_host_mode_the_hosts_address_is_deployed", async |stage| {
        let api = Api::start(stage, &[("SDS_LEASE", "3s")]).await?;
        let service = Ecs::new(stage, Settings { scale: 10, ..Settings::new(api.addr) }).service(2);
        for _ in 0..2 {
            service.deploy(&Definition::shipped("ec2-host")?, 2 * SOON).await?;
            let view = service.view();
            let host = |task: &Task| format!("{}:8080", task.metadata.identity().network.host);
            let hosts: BTreeSet<_> = view.tasks.iter().map(|(_, task)| host(task)).collect();
            let registered: BTreeSet<_> = api.v1_endpoints("web").await?.into_iter().collect();
            ensure!(hosts.len() == 2 && registered == hosts, "{registered:?} are registered, {hosts:?} run");
        }
        Ok(())
    });
}
