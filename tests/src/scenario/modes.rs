//! One Envoy for each way of asking, all on the same two replicas: after each thing that happens to a service all of them
//! have what the registry tells, and while somebody is healthy no request fails.
//!
//! One of them knows a single address, of a load balancer before both replicas, as many an operator would have it.

use std::{fmt, time::Duration};

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    api::Api,
    app::App,
    balancer::Balancer,
    dynamo::Dynamo,
    envoy::{Envoy, Guards, HealthChecks, Mode, Setup},
    load::Load,
    replicas::{self, Replica, addrs},
    stage::Stage,
    wait::{SOON, until},
};

const SERVICE: &str = "web";
const REFRESH: Duration = Duration::from_millis(250);
const RATE: u32 = 40;
/// A push takes a second at most, a poll two refreshes more.
const VISIBLE: Duration = Duration::from_millis(1500);
/// When its registry is gone, an Envoy has to find another one first.
const FOUND: Duration = Duration::from_secs(10);

/// All ways of asking.
const WAYS: [(Mode, Reach); 6] = [
    (Mode::Rest(REFRESH), Reach::Each),
    (Mode::Sotw, Reach::Each),
    (Mode::Delta, Reach::Each),
    (Mode::Ads, Reach::Each),
    (Mode::DeltaAds, Reach::Each),
    (Mode::Ads, Reach::Balanced),
];

/// How an Envoy finds the replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// It knows all of them, and asks one that says that it is ready.
    Each,
    /// It knows one address, behind which they are.
    Balanced,
}

/// What was seen.
#[derive(Debug)]
pub struct Outcome {
    /// Until all Envoys had it, by what happened.
    pub steps: Vec<(&'static str, Duration)>,
    /// Requests; none failed.
    pub requests: u64,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, took) in &self.steps {
            write!(f, "{name} {took:.0?}, ")?;
        }
        write!(f, "{} requests, none failed", self.requests)
    }
}

struct Play {
    envoys: Vec<Envoy>,
    steps: Vec<(&'static str, Duration)>,
}

impl Play {
    /// All Envoys have what this registry tells.
    async fn all_equal(&mut self, step: &'static str, api: &Api, within: Duration) -> anyhow::Result<()> {
        let start = Instant::now();
        let each =
            self.envoys.iter().zip(WAYS).map(async |(envoy, way)| {
                envoy.until_equal(api, within).await.with_context(|| format!("{step}: {way:?}"))
            });
        try_join_all(each).await?;
        self.steps.push((step, start.elapsed()));
        Ok(())
    }
}

/// Plays it.
pub async fn play(stage: &Stage) -> anyhow::Result<Outcome> {
    let store = Dynamo::in_memory(stage).await?;
    // Nobody here has a sidecar that would renew it.
    let mut replicas = replicas::start(stage, store.addr, 2, &[("SDS_LEASE", "1h")]).await?;
    let apps = try_join_all(["a", "b", "c"].map(|name| App::start(stage, name))).await?;
    let at: Vec<_> = apps.iter().map(App::endpoint).collect();
    let (addrs, services) = (addrs(&replicas), vec![SERVICE.to_owned(), "none".to_owned()]);
    let balancer = Balancer::before(&addrs).await?;
    let envoys = try_join_all(WAYS.map(|way| {
        let (mode, reach) = way;
        let replicas = if reach == Reach::Each { addrs.clone() } else { vec![balancer.addr] };
        let setup =
            Setup { replicas, services: services.clone(), mode, checks: HealthChecks::Off, guards: Guards::default() };
        async move { Envoy::set_up(stage, &setup).await.with_context(|| format!("{way:?}")) }
    }));
    let mut play = Play { envoys: envoys.await?, steps: Vec::new() };

    for at in &at {
        put(&replicas[0], at, (1, 1), json!({})).await?;
    }
    play.all_equal("registered", &replicas[0].api, VISIBLE).await?;
    let targets: Vec<_> = play.envoys.iter().map(|envoy| envoy.listener).collect();
    let load = Load::mixed(&targets, crate::load::Mix { rate: RATE, slow_every: u64::MAX, slow: Duration::ZERO });
    load.flows(u64::from(RATE)).await?;
    put(&replicas[1], &at[0], (1, 2), json!({"weight": 50})).await?;
    play.all_equal("weighed", &replicas[1].api, VISIBLE).await?;
    replicas[0].api.drain(SERVICE, &at[1], (1, 2)).await?.expect(200)?;
    play.all_equal("drained", &replicas[0].api, VISIBLE).await?;
    replicas[1].api.delete(SERVICE, &at[1], (1, 3)).await?.expect(204)?;
    play.all_equal("deregistered", &replicas[1].api, VISIBLE).await?;
    replicas[0].api.process.kill().await?;
    put(&replicas[1], &at[1], (2, 1), json!({})).await?;
    play.all_equal("a replica killed", &replicas[1].api, FOUND).await?;
    replicas[0].start_again(stage).await?;
    replicas[0].ready(SOON).await?;
    replicas[1].api.process.stop(SOON).await?;
    put(&replicas[0], &at[2], (1, 2), json!({"weight": 7})).await?;
    play.all_equal("the other one stopped", &replicas[0].api, FOUND).await?;
    replicas[1].start_again(stage).await?;
    replicas[1].ready(SOON).await?;
    load.flows(u64::from(RATE)).await?;
    let report = load.stop().await?;
    ensure!(report.failures() == 0, "{:?}", report.failed);

    for at in &at {
        replicas[1].api.delete(SERVICE, at, (2, 9)).await?.expect(204)?;
    }
    play.all_equal("all left", &replicas[1].api, VISIBLE).await?;
    put(&replicas[0], &at[0], (3, 1), json!({})).await?;
    play.all_equal("one came back", &replicas[0].api, VISIBLE).await?;
    for envoy in &play.envoys {
        envoy.set_clusters(&services[1..])?;
    }
    try_join_all(play.envoys.iter().map(is_without)).await?;
    put(&replicas[0], &at[1], (3, 1), json!({})).await?;
    for envoy in &play.envoys {
        envoy.set_clusters(&services)?;
    }
    play.all_equal("the cluster removed and added", &replicas[0].api, VISIBLE + REFRESH).await?;
    for (envoy, way) in play.envoys.iter().zip(WAYS) {
        let refused = envoy.sum("update_rejected").await?;
        ensure!(refused == 0, "{way:?}: {refused} answers were refused");
    }
    Ok(Outcome { steps: play.steps, requests: report.ok() })
}

async fn put(replica: &Replica, at: &str, order: (u64, u64), more: Value) -> anyhow::Result<()> {
    replica.api.put(SERVICE, at, order, more).await?.expect(200).map(drop)
}

async fn is_without(envoy: &Envoy) -> anyhow::Result<()> {
    until("the cluster to be gone", SOON, async || {
        ensure!(!envoy.clusters().await?.contains_key(SERVICE), "it is there");
        Ok(())
    })
    .await
}
