//! The registry is away: what its sidecars do meanwhile, and how soon all are registered again when it is back.
//!
//! Each sidecar comes by a gate of its own, which counts: after a failure it takes a new connection for each call. The
//! scale is the lease, 3 s for production's 30, so ten minutes are one; the promised rate, two calls a second, is not scaled.

use std::{fmt, time::Duration};

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use tokio::time::{Instant, sleep};

use crate::{
    api::Api,
    app::App,
    gate::Gate,
    sidecar::Sidecar,
    stage::Stage,
    wait::{SOON, throughout, until},
};

/// The lease of the registry.
pub const LEASE: Duration = Duration::from_secs(3);
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Over which the calls of a sidecar are averaged, from when on, and how many a second there may be.
const WINDOW: Duration = Duration::from_secs(10);
const SETTLED: Duration = Duration::from_secs(2);
const RATE: f64 = 2.0;
const SERVICE: &str = "web";

/// How the registry is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Away {
    /// It is dead: connections end as soon as they are made.
    Dead,
    /// Connections are made, and everything is swallowed.
    Silent,
}

/// What is played.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many.
    pub sidecars: usize,
    /// How.
    pub away: Away,
    /// How long.
    pub outage: Duration,
    /// Whether the registry comes back with what it had stored, or with an empty store.
    pub keep: bool,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sidecars, away, outage, keep } = self;
        let back = if *keep { "its file" } else { "an empty store" };
        write!(f, "{sidecars} sidecars, {away:?} for {outage:?}, back with {back}")
    }
}

/// What was seen.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// From the registry's return until all were registered.
    pub back: Duration,
    /// Calls a second of the busiest sidecar in its busiest window.
    pub rate: f64,
}

/// Plays it; an error names what was not kept.
pub async fn play(stage: &Stage, plan: Plan) -> anyhow::Result<Outcome> {
    let data = |nth: u32| stage.file(&format!("outage-{:?}-{nth}.sqlite", plan.away)).to_string_lossy().into_owned();
    let (before, after) = (data(0), data(if plan.keep { 0 } else { 1 }));
    let mut api = Api::start(stage, &[("SDS_LEASE", "3s"), ("SDS_DATA", &before)]).await?;
    let (gates, sidecars, _apps) = fleet(stage, &api, plan.sidecars).await?;
    all_registered(&api, &sidecars, 2 * SOON).await?;

    if plan.away == Away::Silent {
        gates.iter().for_each(Gate::still);
    }
    api.process.kill().await?;
    let gone = Instant::now();
    alive(stage, &sidecars, gone, plan.outage).await?;
    let addr = api.addr.to_string();
    let api = Api::start(stage, &[("SDS_LEASE", "3s"), ("SDS_DATA", &after), ("SDS_LISTEN", &addr)]).await?;
    let returned = Instant::now();
    gates.iter().for_each(Gate::open);
    all_registered(&api, &sidecars, 2 * HEARTBEAT).await.context("after the return")?;
    let back = returned.elapsed();

    let rates = gates.iter().map(|gate| busiest(&gate.accepted(), gone + SETTLED, returned));
    let rate = rates.fold(0.0, f64::max);
    ensure!(rate <= RATE, "a sidecar made {rate:.2} calls a second");
    ensure!(rate > 0.0, "nobody counted");
    Ok(Outcome { back, rate })
}

/// Sidecars at addresses of their own, ten to an app.
async fn fleet(stage: &Stage, api: &Api, size: usize) -> anyhow::Result<(Vec<Gate>, Vec<Sidecar>, Vec<App>)> {
    let (mut gates, mut sidecars, mut apps) = (Vec::new(), Vec::new(), Vec::new());
    while sidecars.len() < size {
        let app = App::start(stage, &format!("app-{}", apps.len())).await?;
        let start = async |nth: usize| {
            let gate = Gate::opened(api.addr).await?;
            let host = format!("10.0.{}.{}", nth / 250, nth % 250 + 1);
            anyhow::Ok((Sidecar::start(stage, gate.addr, SERVICE, &app, &[("SDS_HOST", &host)]).await?, gate))
        };
        let next = sidecars.len()..size.min(sidecars.len() + 10);
        for (sidecar, gate) in try_join_all(next.map(start)).await? {
            sidecars.push(sidecar);
            gates.push(gate);
        }
        apps.push(app);
    }
    Ok((gates, sidecars, apps))
}

/// Each is in the answers, and has been told so by this registry.
async fn all_registered(api: &Api, sidecars: &[Sidecar], within: Duration) -> anyhow::Result<()> {
    until("all to be registered", within, async || {
        let listed = api.v1(SERVICE).await?.len();
        ensure!(listed == sidecars.len(), "{listed} are listed");
        let ready = try_join_all(sidecars.iter().map(|sidecar| sidecar.page("/readyz"))).await?;
        let ready = ready.into_iter().filter(|status| *status == 200).count();
        ensure!(ready == sidecars.len(), "{ready} are ready");
        Ok(())
    })
    .await
}

/// Nobody who asks a sidecar hears of trouble that ends a task, and it says that it is not ready once the lease is over.
async fn alive(stage: &Stage, sidecars: &[Sidecar], gone: Instant, outage: Duration) -> anyhow::Result<()> {
    let pages = async |path: &'static str, wanted: u16| {
        let statuses = try_join_all(sidecars.iter().map(|sidecar| sidecar.page(path))).await?;
        ensure!(statuses.iter().all(|status| *status == wanted), "{path}: {statuses:?}");
        Ok(())
    };
    let mut commands = 0;
    throughout("the sidecars live", outage, async || {
        pages("/livez", 200).await?;
        pages("/healthcheck", 200).await?;
        if gone.elapsed() > LEASE + HEARTBEAT {
            pages("/readyz", 503).await?;
        }
        // ECS asks through the binary itself.
        if let Some(sidecar) = sidecars.get(commands) {
            let mut command = stage.programs.sidecar();
            command.arg("healthcheck").env("SDS_ADMIN_LISTEN", sidecar.admin.to_string());
            let status = command.status().await?;
            ensure!(status.success(), "healthcheck: {status}");
            commands += 1;
        }
        sleep(HEARTBEAT / 2).await;
        Ok(())
    })
    .await
}

/// Calls a second in the busiest window between two moments.
fn busiest(calls: &[Instant], from: Instant, to: Instant) -> f64 {
    let window = WINDOW.min(to - from);
    let calls: Vec<_> = calls.iter().filter(|at| (from..to).contains(at)).collect();
    let in_window = |first: &Instant| calls.iter().filter(|at| (*first..*first + window).contains(at)).count();
    let most = calls.iter().map(|first| in_window(first)).max().unwrap_or(0);
    most as f64 / window.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_window() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        for (calls, to, expected) in [
            (&[][..], 60, 0.0),
            (&[1, 11, 21], 60, 0.1),
            (&[1, 11, 12, 20, 21], 60, 0.3),
            (&[1, 2, 3, 59, 70], 60, 0.3),
            (&[1, 2], 4, 0.5),
        ] {
            let calls: Vec<_> = calls.iter().map(|second| at(*second)).collect();
            assert_eq!(busiest(&calls, start, at(to)), expected, "{calls:?}");
        }
    }
}
