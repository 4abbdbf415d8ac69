//! A release of the registry is rolled out and rolled back: all replicas are replaced, one after the other, as an
//! orchestrator does it (SIGTERM, wait, the next one once it is ready), by this release in the first round and by the
//! other one in the second, under load through Envoys that know all of them, and an app is deployed in each round, with the
//! sidecar of the same release.
//! Beside it a service that nobody touches is in every answer: one that lacks somebody for a moment may fail no request.
//!
//! Without another release (`Programs::other`) both are the same one, and the replicas are restarted twice.

use std::time::Duration;

use anyhow::ensure;
use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::{
    crowd::has_all,
    deploy::{self, LEASE, Outcome, ROUND, SERVICE, all_serve},
};
use crate::{
    dynamo::Dynamo,
    ecs::{Ecs, Settings, image::OTHER_SIDECAR},
    envoy::{Envoy, Guards, Setup},
    fleet::{Fleet, Spec},
    load::{Load, Mix},
    programs::Programs,
    replicas::{self, Replica, addrs},
    stage::Stage,
    wait::SOON,
    watch::{Expected, Polls, Watch},
};

const REPLICAS: usize = 3;
const OTHERS: &str = "others";
/// In which it says that it is not ready, and still answers: Envoys look twice a second.
const DELAY: (&str, &str) = ("SDS_SHUTDOWN_DELAY", "1500ms");

/// Plays it, `plan.rounds` times; `rate` requests a second, of which one in twenty is slow.
pub async fn play(stage: &Stage, plan: &deploy::Plan, rate: u32) -> anyhow::Result<Outcome> {
    let store = Dynamo::in_memory(stage).await?;
    let (ours, other) = (stage.programs.clone(), stage.programs.other());
    let env = [("SDS_LEASE", LEASE), DELAY];
    let mut replicas = replicas::start_of(stage, &other, store.addr, REPLICAS, &env).await?;
    let addrs = addrs(&replicas);
    let settings = Settings { replicas: addrs.clone(), ..Settings::new(addrs[0]) };
    let service = Ecs::new(stage, settings).service(plan.tasks);
    let back = plan.before.clone().changed("sds-sidecar", |sidecar| sidecar.image = OTHER_SIDECAR.to_owned())?;
    service.deploy(&back, ROUND).await?;
    let others = Fleet::start((0..10).map(|nth| Spec::new(OTHERS, nth)), &addrs, Duration::from_secs(1));
    others.registered(SOON).await?;
    replicas::agree(&replicas, OTHERS, 10, SOON).await?;
    let expected = Expected::fleet(&others);
    let envoys = plan.envoys.map(|(mode, checks)| {
        let services = [SERVICE, OTHERS].map(str::to_owned).into();
        let setup = Setup { replicas: addrs.clone(), services, mode, checks, guards: Guards::default() };
        async move { Envoy::set_up(stage, &setup).await }
    });
    let envoys = try_join_all(envoys).await?;
    all_serve(&envoys, plan.tasks).await?;

    for envoy in &envoys {
        has_all(envoy, &expected).await?;
    }
    let watch = Watch::over(&envoys, &expected);
    let polls = Polls::start(&addrs, &expected, 2 * REPLICAS, Duration::from_millis(100));
    let targets: Vec<_> = envoys.iter().map(|envoy| envoy.listener).collect();
    let mix = Mix { rate, slow_every: 20, slow: Duration::from_secs(2) };
    let (load, start) = (Load::mixed(&targets, mix), Instant::now());
    load.flows(u64::from(rate)).await?;
    let mut rounds = Vec::new();
    for round in 0..plan.rounds {
        let (release, tasks) = if round % 2 == 0 { (&ours, &plan.after) } else { (&other, &back) };
        let (took, ()) = tokio::try_join!(service.deploy(tasks, ROUND), roll(stage, &mut replicas, release))?;
        rounds.push(took);
        all_serve(&envoys, plan.tasks).await?;
        load.flows(u64::from(rate)).await?;
    }
    let sent_for = start.elapsed();
    watch.lost_nothing()?;
    polls.seen().lost_nothing()?;
    let report = load.stop().await?;
    for envoy in &envoys {
        ensure!(envoy.stat("update_rejected").await? == 0, "an Envoy refused an answer");
    }
    replicas::agree(&replicas, SERVICE, plan.tasks, SOON).await?;
    let rate = (report.ok() + report.failures()) as f64 / sent_for.as_secs_f64();
    Ok(Outcome { report, rate, rounds, tasks: deploy::stories(&service) })
}

async fn roll(stage: &Stage, replicas: &mut [Replica], release: &Programs) -> anyhow::Result<()> {
    for replica in replicas {
        let status = replica.api.process.stop(SOON).await?;
        ensure!(status.success(), "a replica ended with {status}");
        replica.become_release(stage, release).await?;
        replica.ready(SOON).await?;
    }
    Ok(())
}
