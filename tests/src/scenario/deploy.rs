//! Rolling deploys under load: a service of the small ECS is replaced, task by task, while requests run through real Envoys
//! of each kind, and somebody counts those that fail.
//!
//! Times are a fifth of production's (`Settings::scale`), the requests are not: the slow ones take their full two seconds.
//! What the linger has to cover, from SIGTERM on: the DRAINING reaches the registry (milliseconds), each Envoy polls
//! (`REFRESH` to twice that after its last poll, and once more if the registry is just then away), and what was sent in
//! the last moment before that ends (two seconds, although the app would end it after its own SIGTERM too).

use std::{sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use tokio::time::Instant;

use crate::{
    api::Api,
    ecs::{
        Ecs, Settings,
        definition::Definition,
        history::{History, What},
        service::{Service, View},
        task::{Phase, Task},
    },
    envoy::{Envoy, Guards, HealthChecks, Mode, Setup},
    load::{Load, Mix, Report},
    process::Signal,
    stage::Stage,
    wait::{SOON, until},
};

/// What Envoy waits between polls, at least.
pub(super) const REFRESH: Duration = Duration::from_millis(500);
/// A fifth of the default.
pub(super) const LEASE: &str = "6s";
/// The variable of an app that needs a minute (a fifth of it) until its check passes.
pub const READY_AFTER: (&str, &str) = ("APP_READY_AFTER", "12s");
const MIX: Mix = Mix { rate: 330, slow_every: 20, slow: Duration::from_secs(2) };
pub(super) const SERVICE: &str = "web";
/// Nothing here should take this long, also on a slow machine.
pub(super) const ROUND: Duration = Duration::from_secs(60);

const POLLING: [(Mode, HealthChecks); 3] = [
    (Mode::Rest(REFRESH), HealthChecks::Off),
    (Mode::Rest(REFRESH), HealthChecks::On),
    (Mode::Rest(REFRESH), HealthChecks::IgnoredOnRemoval),
];
pub(super) const STREAMING: [(Mode, HealthChecks); 3] = [
    (Mode::DeltaAds, HealthChecks::Off),
    (Mode::Ads, HealthChecks::On),
    (Mode::Rest(REFRESH), HealthChecks::IgnoredOnRemoval),
];
/// What the slow requests need.
const INFLIGHT: Duration = Duration::from_millis(2500);
/// From the last Envoy's word until the sidecar has heard it and all else is done, beside what is in flight.
const RECEIPT: Duration = Duration::from_secs(2);

/// The same with a linger (a fifth of it) that only ends a drain of which somebody does not know.
pub fn receipts(definition: Definition) -> anyhow::Result<Definition> {
    // Requests are not faster here than there, so what is in flight is not scaled.
    definition
        .with("sds-sidecar", "SDS_LINGER", "60s")?
        .with("sds-sidecar", "SDS_INFLIGHT", "2500ms")?
        .changed("sds-sidecar", |sidecar| sidecar.stop_timeout = Some(70))
}

/// What is deployed, and how often.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Tasks of the service.
    pub tasks: usize,
    /// How often all of them are replaced.
    pub rounds: usize,
    /// What runs before.
    pub before: Definition,
    /// What is deployed.
    pub after: Definition,
    /// The Envoys: how each asks, and whether it checks hosts itself.
    pub envoys: [(Mode, HealthChecks); 3],
    /// Whether the registry is started anew in the middle of the middle round.
    pub restart: bool,
}

impl Plan {
    /// The same definition before and after, and no accident.
    pub fn plain(tasks: usize, rounds: usize, definition: Definition) -> Self {
        Self { tasks, rounds, before: definition.clone(), after: definition, envoys: POLLING, restart: false }
    }

    /// Envoys on streams, and one that polls; each drain ends when all of them know of it, long before its linger does.
    pub fn with_receipts(tasks: usize, rounds: usize) -> anyhow::Result<Self> {
        Ok(Self { envoys: STREAMING, ..Self::plain(tasks, rounds, receipts(Definition::shipped("fargate")?)?) })
    }
}

/// What was seen.
#[derive(Debug)]
pub struct Outcome {
    /// All requests.
    pub report: Report,
    /// Requests a second that were sent.
    pub rate: f64,
    /// How long each round took.
    pub rounds: Vec<Duration>,
    /// The stories of all tasks, each with its id; first of those that were replaced.
    pub tasks: Vec<(String, History)>,
}

/// Plays it.
pub async fn play(stage: &Stage, plan: &Plan) -> anyhow::Result<Outcome> {
    let data = stage.file("deploy.sqlite");
    let data = data.to_str().context("not UTF-8")?;
    let mut api = Api::start(stage, &[("SDS_LEASE", LEASE), ("SDS_DATA", data)]).await?;
    let ecs = Ecs::new(stage, Settings::new(api.addr));
    let service = ecs.service(plan.tasks);
    service.deploy(&plan.before, ROUND).await.context("the first tasks")?;
    let mut envoys = Vec::new();
    for (mode, checks) in plan.envoys {
        let (replicas, services) = (vec![api.addr], vec![SERVICE.to_owned()]);
        envoys
            .push(Envoy::set_up(stage, &Setup { replicas, services, mode, checks, guards: Guards::default() }).await?);
    }
    all_serve(&envoys, plan.tasks).await?;

    let targets: Vec<_> = envoys.iter().map(|envoy| envoy.listener).collect();
    let (load, start) = (Load::mixed(&targets, MIX), Instant::now());
    load.flows(u64::from(MIX.rate)).await?;
    let mut rounds = Vec::new();
    for round in 0..plan.rounds {
        let deploy = service.deploy(&plan.after, ROUND);
        let took = if plan.restart && round == plan.rounds / 2 {
            tokio::try_join!(deploy, restart(stage, &mut api, &service, data))?.0
        } else {
            deploy.await?
        };
        rounds.push(took);
        all_serve(&envoys, plan.tasks).await?;
        load.flows(u64::from(MIX.rate)).await?;
    }
    let sent_for = start.elapsed();
    let report = load.stop().await?;
    for envoy in &envoys {
        ensure!(envoy.stat("update_rejected").await? == 0, "an Envoy refused an answer");
    }
    let rate = (report.ok() + report.failures()) as f64 / sent_for.as_secs_f64();
    Ok(Outcome { report, rate, rounds, tasks: stories(&service) })
}

/// Of all tasks of a service, each with its id; first of those that have ended.
pub(super) fn stories(service: &Service) -> Vec<(String, History)> {
    let View { past, tasks, .. } = service.view();
    past.iter().chain(&tasks).map(|(_, task)| (task.id().to_owned(), task.history.clone())).collect()
}

impl Outcome {
    /// No request failed, every task has served, and each of the replaced left in the right order, by itself, when
    /// another had become healthy.
    pub fn lost_nothing(&self, plan: &Plan) -> anyhow::Result<()> {
        let Report { failed, answered, .. } = &self.report;
        ensure!(failed.is_empty(), "{} answered, {} failed: {failed:?}", self.report.ok(), self.report.failures());
        let replaced = plan.tasks * plan.rounds;
        ensure!(self.tasks.len() == replaced + plan.tasks, "there were {} tasks in all", self.tasks.len());
        for (id, history) in &self.tasks {
            ensure!(answered.contains_key(id), "task {id} has served nobody");
            let trace = history.trace();
            ensure!(LIFE.starts_with(&trace), "task {id} lived otherwise: {trace}");
        }
        let (healthy, stopped) = (self.moments(&What::Healthy), self.moments(&What::Signalled(Signal::TERM)));
        ensure!(stopped.len() == replaced, "{} tasks were replaced", stopped.len());
        let in_turn = healthy.iter().skip(plan.tasks).zip(&stopped).all(|(new, old)| new <= old);
        ensure!(in_turn, "an old task was stopped before a new one was registered");
        Ok(())
    }

    /// How long each drain took, from SIGTERM to the sidecar's end, the shortest first.
    pub fn drains(&self) -> Vec<Duration> {
        let drain = |(_, story): &(String, History)| {
            let when = |what| story.when("sds-sidecar", &what);
            Some(when(What::Exited(0))? - when(What::Signalled(Signal::TERM))?)
        };
        let mut drains: Vec<_> = self.tasks.iter().filter_map(drain).collect();
        drains.sort_unstable();
        drains
    }

    /// Each drain had time for what was in flight, and no more than receipts take. A poller knows with its second poll at the
    /// latest.
    pub fn drained_by_receipts(&self) -> anyhow::Result<()> {
        let (drains, most) = (self.drains(), INFLIGHT + RECEIPT + 2 * REFRESH);
        ensure!(drains.iter().all(|took| (INFLIGHT..most).contains(took)), "drains took {drains:.1?}, not {most:?}");
        Ok(())
    }

    /// When this happened to sidecars, in order of time.
    pub fn moments(&self, what: &What) -> Vec<Instant> {
        let mut moments: Vec<_> = self.tasks.iter().filter_map(|(_, story)| story.when("sds-sidecar", what)).collect();
        moments.sort();
        moments
    }
}

/// The whole life of a task that was replaced.
const LIFE: &str = "app started, sds-sidecar started, sds-sidecar healthy, sds-sidecar SIGTERM, sds-sidecar exited 0, \
    app SIGTERM, app exited 0";

pub(super) async fn all_serve(envoys: &[Envoy], tasks: usize) -> anyhow::Result<()> {
    until("each Envoy to have the tasks, and only them", SOON, async || {
        for envoy in envoys {
            let hosts = envoy.hosts().await?;
            ensure!(hosts.len() == tasks && hosts.values().all(|host| host.health == "HEALTHY"), "{hosts:?}");
        }
        Ok(())
    })
    .await
}

/// Starts the registry anew, at the same address and on the same file, once the first task is draining.
async fn restart(stage: &Stage, api: &mut Api, service: &Service, data: &str) -> anyhow::Result<()> {
    let draining = |(_, task): &(u32, Arc<Task>)| {
        task.history.when("sds-sidecar", &What::Signalled(Signal::TERM)).is_some()
            && task.status().phase == Phase::Stopping
    };
    service.until("draining a task", |view| view.tasks.iter().any(draining), ROUND).await?;
    api.process.stop(SOON).await?;
    let addr = api.addr.to_string();
    *api = Api::start(stage, &[("SDS_LEASE", LEASE), ("SDS_DATA", data), ("SDS_LISTEN", &addr)]).await?;
    Ok(())
}
