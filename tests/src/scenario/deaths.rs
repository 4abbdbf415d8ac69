//! Everything that dies, hangs or hears no more, each in a service of its own at one registry, at the same moment; and how
//! long it took until the answers told it.
//!
//! The lease is a fifth of production's, and not a tenth, because the sidecar's patience with a call (2 s) has no option:
//! a connection that was lost without a word must be found out and replaced within a lease.

mod case;

use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use tokio::time::{Instant, sleep};

use crate::{
    api::Api,
    app::App,
    envoy::Envoy,
    fleet::{Fleet, Spec},
    gate::Gate,
    process::Signal,
    sidecar::Sidecar,
    stage::Stage,
    wait::{SOON, throughout, until},
};

pub use case::{CASES, Case, Seen, Who};

const LEASE: Duration = Duration::from_secs(6);
/// From one sign of life to the next.
pub const HEARTBEAT: Duration = Duration::from_secs(2);
/// Who is silent is gone within.
const GONE: Duration = Duration::from_secs(6 + 2);
/// Fall x interval + timeout + 1 s, with the sidecar's short times of the harness.
const HUNG: Duration = Duration::from_millis(3 * 500 + 300 + 1000);

/// Plays all cases; an error names the one that broke its promise. All happens `later` than it could, so that who plays
/// it again and again hits other moments between two heartbeats.
pub async fn play(stage: &Stage, later: Duration) -> anyhow::Result<Vec<Seen>> {
    let api = Api::start(stage, &[("SDS_LEASE", "6s")]).await?;
    // Enough others that live: many deaths of few would be taken for a cut, and held.
    let others = Fleet::start((0..40).map(|nth| Spec::new("others", nth)), &[api.addr], LEASE / 3);
    others.registered(2 * SOON).await?;
    let mut pairs = try_join_all(CASES.map(|case| Pair::start(stage, &api, case))).await?;
    // Whoever shares a service with a task that dies stays.
    let service = name(Case::Killed(Who::Both));
    let neighbour = App::start(stage, "neighbour").await?;
    let _sidecar = Sidecar::start(stage, api.addr, &service, &neighbour, &[]).await?;
    let envoy = Envoy::start(stage, api.addr, &service, Duration::from_millis(200)).await?;
    until("both of them to serve", SOON, async || {
        ensure!(envoy.hosts().await?.len() == 2);
        Ok(())
    })
    .await?;

    sleep(later).await;
    let suffer = async |pair: &mut Pair<'_>| pair.suffer().await.with_context(|| pair.case.to_string());
    let seen = try_join_all(pairs.iter_mut().map(suffer)).await?;
    ensure!(api.v1_endpoints(&service).await? == [neighbour.endpoint()], "{:?}", api.v1_endpoints(&service).await?);
    envoy.until_equal(&api, SOON).await?;
    let silent = api.metric("sds_instances_silent_total").await?;
    let expected = seen.iter().filter(|seen| seen.became == "absent").count();
    ensure!(silent == expected as f64, "{silent} were counted as silent, not {expected}");
    Ok(seen)
}

/// An app and its sidecar.
struct Pair<'a> {
    stage: &'a Stage,
    api: &'a Api,
    case: Case,
    app: App,
    sidecar: Sidecar,
    /// Between the sidecar and the registry, one or two.
    gates: Vec<Gate>,
}

fn name(case: Case) -> String {
    case.to_string().replace(|c: char| !c.is_ascii_alphanumeric(), "-")
}

impl<'a> Pair<'a> {
    async fn start(stage: &'a Stage, api: &'a Api, case: Case) -> anyhow::Result<Self> {
        let addresses = if case == Case::LostAddress { 2 } else { 1 };
        let mut gates = Vec::new();
        for _ in 0..addresses {
            gates.push(Gate::opened(api.addr).await?);
        }
        let urls: Vec<_> = gates.iter().map(|gate| format!("http://{}", gate.addr)).collect();
        let app = App::start(stage, &name(case)).await?;
        let sidecar = Sidecar::start(stage, api.addr, &name(case), &app, &[("SDS_API_URL", &urls.join(","))]).await?;
        let pair = Self { stage, api, case, app, sidecar, gates };
        pair.becomes("healthy", SOON).await?;
        Ok(pair)
    }

    async fn suffer(&mut self) -> anyhow::Result<Seen> {
        let start = Instant::now();
        let (became, bound) = match self.case {
            Case::Killed(who) => (self.signal(who, Signal::KILL)?, Self::bound(who)),
            Case::Frozen(who) => (self.signal(who, Signal::STOP)?, Self::bound(who)),
            Case::Sick => (self.mode("sick").await?, HUNG),
            Case::Deaf => (self.mode("hang").await?, HUNG),
            Case::LostConnection | Case::LostAddress | Case::LostMoment => return self.lose().await,
        };
        self.becomes(became, bound).await?;
        let took = start.elapsed();
        // Two heartbeats may have been due since the last one: earlier would be no lease.
        ensure!(became != "absent" || took > LEASE / 2, "gone after {took:?} already");
        let listed = self.api.v1_endpoints(&name(self.case)).await?;
        ensure!(!listed.contains(&self.app.endpoint()), "v1 lists it still");
        Ok(Seen { case: self.case, became, took, bound, back: self.recover().await? })
    }

    fn bound(who: Who) -> Duration {
        if who == Who::App { HUNG } else { GONE }
    }

    /// Tells what is to come of it.
    fn signal(&self, who: Who, signal: Signal) -> anyhow::Result<&'static str> {
        if who != Who::App {
            self.sidecar.process.signal(signal)?;
        }
        if who != Who::Sidecar {
            self.app.process.signal(signal)?;
        }
        Ok(if who == Who::App { "unhealthy" } else { "absent" })
    }

    async fn mode(&self, mode: &str) -> anyhow::Result<&'static str> {
        self.app.mode(mode).await?;
        Ok("unhealthy")
    }

    async fn becomes(&self, status: &str, within: Duration) -> anyhow::Result<()> {
        self.api.until_status(&name(self.case), &self.app.endpoint(), status, within).await
    }

    /// Ends the trouble if it can be ended, and waits until all is well again.
    async fn recover(&mut self) -> anyhow::Result<Option<Duration>> {
        let start = Instant::now();
        let within = match self.case {
            // A successor, as a restart policy starts one.
            Case::Killed(Who::Sidecar) => {
                self.sidecar = Sidecar::start(self.stage, self.api.addr, &name(self.case), &self.app, &[]).await?;
                SOON
            }
            Case::Frozen(who) => {
                self.signal(who, Signal::CONT)?;
                // Who came back ten seconds ago is not trusted again at once.
                if who == Who::App { SOON } else { LEASE }
            }
            Case::Sick | Case::Deaf => {
                self.mode("ok").await?;
                SOON
            }
            _ => return Ok(None),
        };
        self.becomes("healthy", within).await?;
        Ok(Some(start.elapsed()))
    }

    /// The registry hears nothing on the way that was taken so far, and yet the lease never runs out.
    async fn lose(&self) -> anyhow::Result<Seen> {
        let last = |nth: &usize| self.gates[*nth].accepted().last().copied();
        let used = (0..self.gates.len()).max_by_key(last).context("there is no gate")?;
        let (gate, before) = (&self.gates[used], self.ways(used));
        match self.case {
            Case::LostConnection => gate.forget(),
            _ => gate.still(),
        }
        let (mut longest, endpoint, service) = (Duration::ZERO, self.app.endpoint(), name(self.case));
        let listen = throughout("it is heard", 2 * LEASE, async || {
            let instances = self.api.instances(&service).await?;
            let instance = instances.get(&endpoint).context("it is gone")?;
            ensure!(instance["status"] == "healthy", "{instance}");
            let age = instance["lease_age_ms"].as_u64().context("no age")?;
            longest = longest.max(Duration::from_millis(age));
            Ok(())
        });
        let end = async {
            if self.case == Case::LostMoment {
                sleep(LEASE / 2).await;
                gate.open();
            }
        };
        let (listened, ()) = tokio::join!(listen, end);
        listened.with_context(|| format!("the longest silence so far was {longest:?}"))?;
        match self.case {
            Case::LostMoment => ensure!(longest >= LEASE / 2, "nothing was swallowed: {longest:?}"),
            _ => ensure!(self.ways(used) > before && longest > HEARTBEAT, "it took no other way: {longest:?}"),
        }
        Ok(Seen { case: self.case, became: "healthy", took: longest, bound: LEASE, back: None })
    }

    /// How many connections were made on the ways that are left.
    fn ways(&self, lost: usize) -> usize {
        let left = self.gates.iter().enumerate();
        left.filter(|(nth, _)| self.case == Case::LostConnection || *nth != lost)
            .map(|(_, gate)| gate.accepted().len())
            .sum()
    }
}
