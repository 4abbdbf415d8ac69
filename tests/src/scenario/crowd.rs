//! What stands around several replicas while something happens to them: many services of the harness's own registrants, one
//! of real apps with real sidecars, Envoys that have them all, requests through these, pollers, and those who look whether
//! anybody is missing.

use std::{fmt, time::Duration};

use anyhow::ensure;
use futures_util::future::try_join_all;

use crate::{
    app::App,
    envoy::{Envoy, Guards, HealthChecks, Mode, Setup},
    fleet::{Fleet, Spec},
    load::Load,
    replicas::{self, Replica},
    sidecar::Sidecar,
    stage::Stage,
    wait::{SOON, until},
    watch::{Expected, Polls, Seen, Watch},
};

/// The service of the real apps.
pub const WEB: &str = "web";
/// What Envoys wait between polls, at least.
pub const REFRESH: Duration = Duration::from_millis(500);
const ENVOYS: usize = 2;

/// How many of them.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Services of registrants.
    pub services: u32,
    /// Registrants of each.
    pub hosts: u32,
    /// Real apps.
    pub apps: usize,
    /// Requests a second to them.
    pub rate: u32,
}

/// All of it, running.
#[derive(Debug)]
pub struct Crowd {
    /// The registrants.
    pub fleet: Fleet,
    /// The Envoys, with all services.
    pub envoys: Vec<Envoy>,
    /// Who may not be missing.
    pub expected: Expected,
    /// Two for each replica.
    pub polls: Polls,
    size: Size,
    load: Load,
    watch: Watch,
    _apps: Vec<(App, Sidecar)>,
}

/// What was seen, when nothing was lost.
#[derive(Debug)]
pub struct Story {
    /// Requests through Envoys, none of which failed.
    pub requests: u64,
    /// Looks at Envoys' hosts.
    pub looks: u64,
    /// Polls of all replicas.
    pub polls: Seen,
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seen { answers, unanswered, slowest, states, .. } = &self.polls;
        write!(f, "{} requests, {} looks at hosts, nothing lost; ", self.requests, self.looks)?;
        write!(f, "polls {answers:?}, {unanswered} unanswered, slowest {slowest:.0?}, {states:?}")
    }
}

/// The name of a service of registrants.
pub fn service(nth: u32) -> String {
    format!("svc-{nth}")
}

impl Crowd {
    /// Starts all and waits until each replica and each Envoy has everybody; then begins the load and the looking.
    pub async fn start(stage: &Stage, replicas: &[Replica], size: Size, spread: Duration) -> anyhow::Result<Self> {
        let addrs = replicas::addrs(replicas);
        let nth = 0..size.services * size.hosts;
        let fleet = Fleet::start(nth.map(|nth| Spec::new(&service(nth / size.hosts), nth)), &addrs, spread);
        let urls: Vec<_> = addrs.iter().map(|addr| format!("http://{addr}")).collect();
        let urls = urls.join(",");
        let pair = async |nth: usize| {
            let app = App::start(stage, &format!("web-{nth}")).await?;
            let env = [("SDS_API_URL", urls.as_str())];
            let sidecar = Sidecar::start(stage, addrs[nth % addrs.len()], WEB, &app, &env).await?;
            anyhow::Ok((app, sidecar))
        };
        let apps = try_join_all((0..size.apps).map(pair)).await?;
        fleet.registered(spread + SOON).await?;
        for nth in 0..size.services {
            replicas::agree(replicas, &service(nth), size.hosts as usize, SOON).await?;
        }
        replicas::agree(replicas, WEB, size.apps, SOON).await?;

        let services: Vec<_> = std::iter::once(WEB.to_owned()).chain((0..size.services).map(service)).collect();
        let setup = Setup {
            replicas: addrs.clone(),
            services,
            mode: Mode::Rest(REFRESH),
            checks: HealthChecks::Off,
            guards: Guards::default(),
        };
        let envoys = try_join_all((0..ENVOYS).map(|_| Envoy::set_up(stage, &setup))).await?;
        let expected = Expected::fleet(&fleet);
        apps.iter().for_each(|(app, _)| expected.add(WEB, &app.endpoint()));
        for envoy in &envoys {
            has_all(envoy, &expected).await?;
        }
        let listeners: Vec<_> = envoys.iter().map(|envoy| envoy.listener).collect();
        let mix = crate::load::Mix { rate: size.rate, slow_every: 0, slow: Duration::ZERO };
        let load = Load::mixed(&listeners, mix);
        load.flows(u64::from(size.rate)).await?;
        let watch = Watch::over(&envoys, &expected);
        let polls = Polls::start(&addrs, &expected, 2 * addrs.len(), Duration::from_millis(200));
        until("every poller to have polled", SOON, async || {
            ensure!(polls.seen().answers.values().sum::<u64>() >= 2 * addrs.len() as u64);
            Ok(())
        })
        .await?;
        Ok(Self { fleet, envoys, expected, polls, size, load, watch, _apps: apps })
    }

    /// Nobody was missing on any Envoy so far, and no request failed.
    pub async fn is_well(&self) -> anyhow::Result<()> {
        self.watch.lost_nothing()?;
        let report = self.load.report();
        ensure!(report.failed.is_empty(), "{} answered, failed: {:?}", report.ok(), report.failed);
        self.polls.seen().lost_nothing()
    }

    /// Waits until each replica answers with everybody and says that this is fresh.
    pub async fn is_whole(&self, replicas: &[Replica], within: Duration) -> anyhow::Result<()> {
        until("every replica to be fresh", within, async || {
            for replica in replicas {
                let answer = replica.api.get("/v1/registration/web").await?.expect(200)?;
                ensure!(answer.header("x-sds-state") == "fresh", "{}", answer.header("x-sds-state"));
            }
            Ok(())
        })
        .await?;
        for nth in 0..self.size.services {
            let service = service(nth);
            let hosts = self.size.hosts as usize;
            let gone = self
                .fleet
                .of(&service)
                .filter(|one| self.expected.missing(&service, |at| at != one.spec.at).is_empty());
            replicas::agree(replicas, &service, hosts - gone.count(), within).await?;
        }
        replicas::agree(replicas, WEB, self.size.apps, within).await.map(drop)
    }

    /// Ends it; an error if anybody was missing or any request failed.
    pub async fn end(self) -> anyhow::Result<Story> {
        self.load.flows(u64::from(self.size.rate)).await?;
        let polls = self.polls.seen();
        polls.lost_nothing()?;
        let looks = self.watch.lost_nothing()?;
        for envoy in &self.envoys {
            ensure!(envoy.stat("update_rejected").await? == 0, "an Envoy refused an answer");
        }
        let report = self.load.stop().await?;
        ensure!(report.failed.is_empty(), "{} answered, failed: {:?}", report.ok(), report.failed);
        Ok(Story { requests: report.ok(), looks, polls })
    }
}

/// Waits until an Envoy has all of them.
pub async fn has_all(envoy: &Envoy, expected: &Expected) -> anyhow::Result<()> {
    until("an Envoy to have everybody", SOON, async || {
        let clusters = envoy.clusters().await?;
        for service in expected.services() {
            let has = |at: &str| clusters.get(&service).is_some_and(|hosts| hosts.contains_key(at));
            let missing = expected.missing(&service, has);
            ensure!(missing.is_empty(), "{service} without {missing:?}");
        }
        Ok(())
    })
    .await
}
