//! What several replicas on one table promise in figures: how soon what one is told is in the answers of the other, that the
//! store's work does not grow with those who poll, and what a fleet that only sends heartbeats costs.

use std::{collections::BTreeMap, fmt, time::Duration};

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    dynamo::Dynamo,
    fleet::{Fleet, Spec},
    replicas::{self, Replica, TABLE, addrs},
    stage::Stage,
    times::Times,
    wait::{SOON, until},
    watch::{Expected, Polls},
};

/// A change at one replica is in the answers of the other within.
pub const VISIBLE: Duration = Duration::from_secs(1);
/// US dollars for a million request units, on demand, in us-east-1.
const WRITES: f64 = 0.625;
const READS: f64 = 0.125;
const MONTH: f64 = 730.0 * 3600.0;

/// Registers, changes, drains and deregisters in turn, `changes` in all, each at one of two replicas while the other one is
/// polled; the lease is the default. Tells how long each took from its request on.
pub async fn visible(stage: &Stage, changes: u32) -> anyhow::Result<Times> {
    let store = Dynamo::in_memory(stage).await?;
    let replicas = replicas::start(stage, store.addr, 2, &[]).await?;
    let mut took = Vec::new();
    for nth in 0..changes {
        let (told, asked) = (&replicas[nth as usize % 2].api, &replicas[(nth as usize + 1) % 2].api);
        let (life, step) = (nth / 4, nth % 4);
        let at = format!("10.1.{}.{}:80", life / 250, life % 250 + 1);
        let order = (1, u64::from(step) + 1);
        let start = Instant::now();
        let wanted = match step {
            0 => (told.put("web", &at, order, json!({})).await?.expect(200)?, Some(("healthy", json!(null)))),
            1 => (told.put("web", &at, order, json!({"weight": 7})).await?.expect(200)?, Some(("healthy", json!(7)))),
            2 => (told.drain("web", &at, order).await?.expect(200)?, Some(("draining", json!(null)))),
            _ => (told.delete("web", &at, order).await?.expect(204)?, None),
        };
        until("a change to be in the other's answers", SOON, async || {
            let instances = asked.instances("web").await?;
            let seen = instances.get(&at).map(|one| (one["status"].as_str().unwrap_or(""), one["weight"].clone()));
            ensure!(seen == wanted.1, "{at} is {seen:?}");
            Ok(())
        })
        .await?;
        took.push(start.elapsed());
        // So that changes meet every moment between two looks of the other.
        sleep(Duration::from_millis(fastrand::u64(0..200))).await;
    }
    Ok(Times::new(took))
}

/// Calls of the store a second with one poller, and with many.
#[derive(Debug)]
pub struct Polled {
    /// How many are many.
    pub pollers: usize,
    /// With one.
    pub one: BTreeMap<String, f64>,
    /// With many.
    pub many: BTreeMap<String, f64>,
    /// How many polls were answered meanwhile, a second.
    pub polls: f64,
}

impl Polled {
    fn sums(&self) -> [f64; 2] {
        [&self.one, &self.many].map(|calls| calls.values().sum())
    }

    /// Many pollers cost the store no more than one, up to what two looks at a clock differ.
    pub fn costs_nothing(&self) -> anyhow::Result<()> {
        let [one, many] = self.sums();
        ensure!(one > 0.0 && many <= one * 1.1 + 0.5, "{self}");
        ensure!(self.polls > self.pollers as f64 / 2.0, "only {:.0} polls a second were answered", self.polls);
        Ok(())
    }
}

impl fmt::Display for Polled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [one, many] = self.sums();
        write!(
            f,
            "with 1 poller {one:.2} calls of the store a second, with {} ({:.0} polls/s) ",
            self.pollers, self.polls
        )?;
        write!(f, "{many:.2}: {:.2?} and {:.2?}", self.one, self.many)
    }
}

/// Counts at the gates of two replicas for `span` with one poller, and again with many, who poll once a second each.
pub async fn polled(stage: &Stage, pollers: usize, span: Duration) -> anyhow::Result<Polled> {
    let store = Dynamo::in_memory(stage).await?;
    let replicas = replicas::start(stage, store.addr, 2, &[("SDS_LEASE", "9s"), ("SDS_FULL_READ", "10m")]).await?;
    let fleet = Fleet::start((0..20).map(|nth| Spec::new("web", nth)), &addrs(&replicas), Duration::from_secs(1));
    fleet.registered(SOON).await?;
    settled(&store, Duration::from_secs(3)).await?;
    let (one, _) = count(&replicas, &fleet, 1, span).await?;
    let (many, polls) = count(&replicas, &fleet, pollers, span).await?;
    Ok(Polled { pollers, one, many, polls })
}

async fn count(
    replicas: &[Replica],
    fleet: &Fleet,
    pollers: usize,
    span: Duration,
) -> anyhow::Result<(BTreeMap<String, f64>, f64)> {
    let polls = Polls::start(&addrs(replicas), &Expected::fleet(fleet), pollers, Duration::from_secs(1));
    until("all pollers to poll", SOON, async || {
        let answers = polls.seen().answers.values().sum::<u64>();
        ensure!(answers >= pollers as u64, "{answers} of {pollers}");
        Ok(())
    })
    .await?;
    let (start, before, _) = (Instant::now(), calls(replicas), polls.take());
    sleep(span).await;
    let (after, seen, seconds) = (calls(replicas), polls.seen(), start.elapsed().as_secs_f64());
    seen.all_answered()?;
    let rates = after.into_iter().map(|(call, n)| {
        let rate = (n - before.get(&call).copied().unwrap_or(0)) as f64 / seconds;
        (call, rate)
    });
    Ok((rates.filter(|(_, rate)| *rate > 0.0).collect(), seen.answers.values().sum::<u64>() as f64 / seconds))
}

/// All calls of the store so far, by operation, as the gates counted them.
fn calls(replicas: &[Replica]) -> BTreeMap<String, u64> {
    let mut calls = BTreeMap::new();
    for (call, n) in replicas.iter().flat_map(|replica| replica.gate.requests()) {
        *calls.entry(call).or_default() += n;
    }
    calls
}

/// Waits until no replica has anything left to tell of a change: registrations are no part of an idle fleet.
async fn settled(store: &Dynamo, heartbeat: Duration) -> anyhow::Result<()> {
    let table = store.table(TABLE);
    until("the rings to be empty", SOON + 2 * heartbeat, async || {
        for head in table.query("#replica").await? {
            let ring = head.get("ring").and_then(|ring| ring.as_l().ok()).map_or(0, Vec::len);
            ensure!(ring == 0, "{ring} changes are told");
        }
        Ok(())
    })
    .await
}

/// A fleet that only sends heartbeats.
#[derive(Debug, Clone, Copy)]
pub struct Idle {
    /// How many.
    pub instances: u32,
    /// Replicas of the registry.
    pub replicas: usize,
    /// The lease.
    pub lease: Duration,
    /// It is looked at for so long.
    pub span: Duration,
}

/// What it costs.
#[derive(Debug)]
pub struct Cost {
    /// Of what.
    pub idle: Idle,
    /// It was looked at for so long indeed.
    pub seconds: f64,
    /// Heartbeats that were answered meanwhile.
    pub heartbeats: u64,
    /// Units of writes and of reads, as the replicas were told by the store.
    pub units: [f64; 2],
    /// Calls, as the gates counted them.
    pub calls: BTreeMap<String, u64>,
}

impl Cost {
    /// Write units for each heartbeat.
    pub fn share(&self) -> f64 {
        self.units[0] / self.heartbeats.max(1) as f64
    }

    /// Of the same for a month.
    pub fn bill(&self) -> f64 {
        let [writes, reads] = self.units.map(|units| units / self.seconds * MONTH / 1e6);
        writes * WRITES + reads * READS
    }

    /// Nothing is written but a page and a header for each flush of each replica: the heartbeats themselves cost nothing.
    pub fn only_flushes(&self) -> anyhow::Result<()> {
        let Idle { replicas, lease, instances, .. } = self.idle;
        let flushes = self.seconds * 15.0 / lease.as_secs_f64() * replicas as f64;
        // One unit a header, and one for each KB of a page, of 8 bytes for who was heard.
        let kilobytes = 1.0 + f64::from(instances) / 5.0 / replicas as f64 * 8.0 / 1024.0;
        let allowed = (flushes + replicas as f64) * (1.0 + kilobytes);
        ensure!(self.units[0] > 0.0 && self.units[0] <= allowed, "{allowed:.0} units are allowed: {self}");
        let written =
            self.calls.get("UpdateItem").copied().unwrap_or(0) + self.calls.get("PutItem").copied().unwrap_or(0);
        // A call is counted on its way there, its units on the way back.
        let told = self.units[0] + 2.0 * replicas as f64;
        ensure!(told >= written as f64, "the units are fewer than the writes: {self}");
        Ok(())
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { idle: Idle { instances, replicas, lease, .. }, seconds, heartbeats, units: [writes, reads], calls } =
            self;
        write!(
            f,
            "{instances} idle instances, {replicas} replicas, lease {lease:?}, {seconds:.0} s: {heartbeats} heartbeats, "
        )?;
        write!(f, "{writes:.1} write units (1/{:.0} of one a heartbeat), {reads:.1} read units; ", 1.0 / self.share())?;
        write!(f, "calls {calls:?}; ${:.2} a month", self.bill())
    }
}

/// Looks at it.
pub async fn idle(stage: &Stage, idle: Idle) -> anyhow::Result<Cost> {
    let store = Dynamo::in_memory(stage).await?;
    let lease = format!("{}ms", idle.lease.as_millis());
    let replicas = replicas::start(stage, store.addr, idle.replicas, &[("SDS_LEASE", &lease)]).await?;
    let heartbeat = idle.lease / 3;
    // Registrations at a pace that even a slow build keeps.
    let spread = heartbeat.max(Duration::from_millis(10) * idle.instances);
    let specs = (0..idle.instances).map(|nth| Spec::new(&format!("svc-{}", nth % 100), nth));
    let fleet = Fleet::start(specs, &addrs(&replicas), spread);
    fleet.registered(spread + 2 * SOON).await?;
    settled(&store, heartbeat).await?;
    let (start, before) = (Instant::now(), (calls(&replicas), units(&replicas).await?, fleet.sum()));
    sleep(idle.span).await;
    let (seconds, sum) = (start.elapsed().as_secs_f64(), fleet.sum());
    let (after, spent) = (calls(&replicas), units(&replicas).await?);
    let (calls_before, units_before, sum_before) = before;
    ensure!(sum.failed == sum_before.failed && sum.superseded == 0 && sum.refused == 0, "{sum:?}");
    let calls = after.into_iter().map(|(call, n)| {
        let before = calls_before.get(&call).copied().unwrap_or(0);
        (call, n - before)
    });
    let heartbeats = sum.held - sum_before.held;
    let due = f64::from(idle.instances) * seconds / heartbeat.as_secs_f64();
    ensure!(heartbeats as f64 >= due * 0.9, "only {heartbeats} heartbeats of {due:.0}");
    let calls = calls.filter(|(_, n)| *n > 0).collect();
    Ok(Cost { idle, seconds, heartbeats, units: [0, 1].map(|nth| spent[nth] - units_before[nth]), calls })
}

/// Of writes and of reads, of all replicas so far.
async fn units(replicas: &[Replica]) -> anyhow::Result<[f64; 2]> {
    let of = |kind: &'static str| async move {
        let name = format!("sds_store_units_total{{kind=\"{kind}\"}}");
        let told = try_join_all(replicas.iter().map(|replica| replica.api.metric(&name))).await;
        Ok::<f64, anyhow::Error>(told.context("units")?.into_iter().sum())
    };
    Ok([of("write").await?, of("read").await?])
}
