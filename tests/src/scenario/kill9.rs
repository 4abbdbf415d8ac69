//! What a `kill -9` of a task costs those who call its service: one of three tasks dies, sidecar and app at the same moment, under
//! load through Envoys that differ in what they do about a host that fails.
//!
//! Nobody tells of such a death: the registry hears it as a silence, and says so when the lease is over. Until then an Envoy
//! is alone with what it sees itself. All of them meet the same death, each with a load of its own. The last one is the
//! configuration that is shipped. On loopback the dead port refuses at once; where packets are lost instead, each attempt
//! takes the cluster's `connect_timeout`, which is not seen here.

use std::{fmt, time::Duration};

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use tokio::time::Instant;

use crate::{
    api::Api,
    app::App,
    envoy::{Envoy, Guards, HealthChecks, Mode, Setup},
    load::Load,
    sidecar::Sidecar,
    stage::Stage,
    wait::{SOON, until},
};

const SERVICE: &str = "web";
const TASKS: usize = 3;
const LEASE: Duration = Duration::from_secs(3);
/// P2: beyond the lease, until a task that was killed is gone.
const GRACE: Duration = Duration::from_secs(2);

/// What an Envoy does about it.
const NOTHING: Guards = Guards { outliers: false, retries: false };
const OUTLIERS: Guards = Guards { outliers: true, ..NOTHING };
const RETRIES: Guards = Guards { retries: true, ..NOTHING };
const BOTH: Guards = Guards { outliers: true, retries: true };
const DETECTION: &str = "outlier detection";
const CHECKS: &str = "active health checks";
const SETUPS: [(&str, Guards, HealthChecks); 5] = [
    ("nothing", NOTHING, HealthChecks::Off),
    (DETECTION, OUTLIERS, HealthChecks::Off),
    ("retries", RETRIES, HealthChecks::Off),
    (CHECKS, NOTHING, HealthChecks::IgnoredOnRemoval),
    ("all three", BOTH, HealthChecks::IgnoredOnRemoval),
];
const SHIPPED: (&str, &str) = ("docker/envoy/delta-ads.yaml", include_str!("../../../docker/envoy/delta-ads.yaml"));

/// How much is played.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Tasks that are killed, one after the other.
    pub kills: usize,
    /// Requests a second through each Envoy.
    pub rate: u32,
}

/// What one set-up cost, over all kills.
#[derive(Debug)]
pub struct Row {
    /// What it is.
    pub setup: &'static str,
    /// Requests that were sent from the kills until the registry told of them.
    pub sent: u64,
    /// Requests that failed, also later.
    pub failed: u64,
    /// The longest time from a first failure to the last one.
    pub longest: Duration,
}

/// What was seen.
#[derive(Debug)]
pub struct Outcome {
    /// One for each set-up.
    pub rows: Vec<Row>,
    /// From each kill until the registry told of it.
    pub gone: Vec<Duration>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "one of {TASKS} tasks killed, lease {LEASE:?}; the registry told of it after {:.1?}", self.gone)?;
        writeln!(f, "{:28} {:>6} of {:>6}  {:>6}  for at most", "", "failed", "sent", "share")?;
        for Row { setup, sent, failed, longest } in &self.rows {
            let share = 100.0 * *failed as f64 / *sent as f64;
            writeln!(f, "{setup:28} {failed:>6} of {sent:>6}  {share:>5.1}%  {:.2} s", longest.as_secs_f64())?;
        }
        Ok(())
    }
}

impl Outcome {
    /// Without anything the dead task gets its share for about a lease, and anything is better than that.
    fn is_as_told(&self) -> anyhow::Result<()> {
        let [nothing, guarded @ ..] = &self.rows[..] else { anyhow::bail!("no rows") };
        let share = nothing.failed as f64 / nothing.sent as f64;
        ensure!((0.2..0.45).contains(&share), "{share:.2} of the requests failed without anything\n{self}");
        for row in &self.rows {
            ensure!(row.longest <= LEASE + GRACE, "{}: failures go on after the lease\n{self}", row.setup);
        }
        for row in guarded {
            // An active check needs two of its intervals, which is not much less than so short a lease.
            let most = if row.setup == CHECKS { nothing.failed } else { nothing.failed / 3 };
            ensure!(row.failed <= most, "{} does not help\n{self}", row.setup);
        }
        Ok(())
    }
}

struct Task {
    app: App,
    sidecar: Sidecar,
}

/// Plays it.
pub async fn play(stage: &Stage, plan: Plan) -> anyhow::Result<Outcome> {
    let api = Api::start(stage, &[("SDS_LEASE", "3s")]).await?;
    let mut envoys = Vec::new();
    for (setup, guards, checks) in SETUPS {
        let services = vec![SERVICE.to_owned()];
        let spec = Setup { replicas: vec![api.addr], services, mode: Mode::DeltaAds, checks, guards };
        envoys.push((setup, Envoy::set_up(stage, &spec).await.context(setup)?));
    }
    let (setup, text) = SHIPPED;
    envoys.push((setup, Envoy::shipped(stage, text, api.addr).await.context(setup)?));
    let mut rows: Vec<_> =
        envoys.iter().map(|(setup, _)| Row { setup, sent: 0, failed: 0, longest: Duration::ZERO }).collect();
    let (mut tasks, mut gone) = (Vec::new(), Vec::new());
    for kill in 0..plan.kills {
        while tasks.len() < TASKS {
            tasks.push(Task::start(stage, &api, &format!("{kill}-{}", tasks.len())).await?);
        }
        all_equal(&envoys, &api, TASKS).await?;
        let loads: Vec<_> = envoys.iter().map(|(_, envoy)| Load::start(envoy.listener, plan.rate)).collect();
        try_join_all(loads.iter().map(|load| load.flows(u64::from(plan.rate)))).await?;
        let sent = |load: &Load| load.report().ok() + load.report().failures();
        let before: Vec<_> = loads.iter().map(sent).collect();
        let Task { mut app, mut sidecar } = tasks.remove(0);
        let start = Instant::now();
        sidecar.kill_task(&mut app).await?;
        api.until_status(SERVICE, &app.endpoint(), "absent", LEASE + GRACE).await?;
        gone.push(start.elapsed());
        let after: Vec<_> = loads.iter().map(sent).collect();
        all_equal(&envoys, &api, TASKS - 1).await?;
        try_join_all(loads.iter().map(|load| load.flows(u64::from(plan.rate)))).await?;
        let spans = before.into_iter().zip(after).map(|(before, after)| after - before);
        for ((row, load), sent) in rows.iter_mut().zip(loads).zip(spans) {
            let report = load.stop().await?;
            row.sent += sent;
            row.failed += report.failures();
            row.longest = row.longest.max(report.failing_for());
        }
    }
    // Retries hide an outlier detection that does nothing.
    for (setup, envoy) in envoys.iter().filter(|(setup, _)| [DETECTION, SHIPPED.0].contains(setup)) {
        let ejected = envoy.stat("outlier_detection.ejections_enforced_total").await?;
        ensure!(ejected >= plan.kills as u64, "{setup}: {ejected} hosts were left alone, of {}", plan.kills);
    }
    let outcome = Outcome { rows, gone };
    outcome.is_as_told()?;
    Ok(outcome)
}

impl Task {
    async fn start(stage: &Stage, api: &Api, name: &str) -> anyhow::Result<Self> {
        let app = App::start(stage, name).await?;
        let sidecar = Sidecar::start(stage, api.addr, SERVICE, &app, &[]).await?;
        api.until_status(SERVICE, &app.endpoint(), "healthy", SOON).await?;
        Ok(Self { app, sidecar })
    }
}

/// All Envoys have so many hosts, and what the registry tells of them.
async fn all_equal(envoys: &[(&str, Envoy)], api: &Api, hosts: usize) -> anyhow::Result<()> {
    until("the registry to tell of all tasks", SOON, async || {
        let told = api.instances(SERVICE).await?.len();
        ensure!(told == hosts, "{told}");
        Ok(())
    })
    .await?;
    let each = envoys.iter().map(async |(setup, envoy)| envoy.until_equal(api, SOON).await.context(setup.to_string()));
    try_join_all(each).await.map(drop)
}
