//! Many discovery streams at once, on every other connection in delta: a change reaches all that want it, what a stream costs the
//! registry, and how soon all are back when the registry was started anew. Who says what it holds is resent nothing of it.

mod client;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::ensure;
use futures_util::future::try_join_all;
use serde_json::json;
use tokio::{task::JoinSet, time::Instant};

use crate::{
    api::Api,
    dynamo::Dynamo,
    replicas::Replica,
    stage::Stage,
    wait::{SOON, until},
};

/// All services; each stream wants some of them.
const SERVICES: usize = 100;
/// P1.
const PUSH: Duration = Duration::from_secs(1);
/// How soon all streams are back.
const BACK: Duration = Duration::from_secs(60);

/// What is played.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Connections.
    pub connections: usize,
    /// Streams on each.
    pub streams: usize,
    /// Services that each stream wants.
    pub wants: usize,
    /// How many changes.
    pub changes: usize,
}

/// What was seen.
#[derive(Debug)]
pub struct Outcome {
    /// Until a change had reached all who want it, each.
    pub reached: Vec<Duration>,
    /// Resident bytes of the registry, for each stream.
    pub each: u64,
    /// Until all streams were back after a restart.
    pub back: Duration,
    /// Resources that delta streams held over the restart, and how many of them they were resent.
    pub held: usize,
    /// None is promised.
    pub resent: usize,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut reached = self.reached.clone();
        reached.sort_unstable();
        let at = |nth: usize| reached.get(nth).copied().unwrap_or_default();
        let (half, last) = (at(reached.len() / 2), at(reached.len().saturating_sub(1)));
        write!(f, "a change reached all who want it after {half:.0?} (median), {last:.0?} (longest); ")?;
        write!(f, "{:.1} KB a stream; all back {:.1?} after a restart, ", self.each as f64 / 1000.0, self.back)?;
        write!(f, "{} of {} held resources resent", self.resent, self.held)
    }
}

/// What the streams have seen.
#[derive(Debug, Default)]
struct Seen {
    /// Streams that were told what they asked for since the last restart.
    begun: AtomicUsize,
    /// Resources that came after that.
    news: AtomicUsize,
    /// Resources that delta streams said they hold since the last restart.
    held: AtomicUsize,
    /// Resources that came again in the version that was held.
    resent: AtomicUsize,
}

/// Plays it; an error names what was not kept.
pub async fn play(stage: &Stage, plan: Plan) -> anyhow::Result<Outcome> {
    let store = Dynamo::in_memory(stage).await?;
    // What is measured is not the age of a connection, and nobody here renews.
    let env = [("SDS_LEASE", "1h"), ("SDS_CONNECTION_AGE", "1h")];
    let mut replica = Replica::start(stage, store.addr, &env).await?;
    replica.ready(SOON).await?;
    try_join_all((0..SERVICES).map(|nth| put(&replica.api, nth, 1))).await?;
    let before = replica.api.process.resident()?[0];

    let all = plan.connections * plan.streams;
    let seen = Arc::<Seen>::default();
    let mut clients = JoinSet::new();
    for nth in 0..plan.connections {
        clients.spawn(client::run(replica.api.addr, nth, plan, seen.clone()));
    }
    counted("all streams to begin", &seen.begun, all, BACK).await?;
    let each = replica.api.process.resident()?[0].saturating_sub(before) / all as u64;

    let mut reached = Vec::new();
    for change in 0..plan.changes {
        let service = change % SERVICES;
        let wanted = (0..all).filter(|stream| (0..plan.wants).any(|want| wish(*stream, want) == service)).count();
        seen.news.store(0, Ordering::SeqCst);
        let start = Instant::now();
        put(&replica.api, service, 2 + change as u64).await?;
        counted("a change to reach all who want it", &seen.news, wanted, PUSH).await?;
        reached.push(start.elapsed());
    }

    replica.api.process.kill().await?;
    seen.begun.store(0, Ordering::SeqCst);
    let start = Instant::now();
    replica.start_again(stage).await?;
    counted("all streams to be back", &seen.begun, all, BACK).await?;
    let back = start.elapsed();
    let [held, resent] = [&seen.held, &seen.resent].map(|count| count.load(Ordering::SeqCst));
    let due = (0..plan.connections).filter(|nth| client::is_delta(*nth)).count() * plan.streams * plan.wants;
    ensure!(held >= due, "{held} resources were held, {due} at least were due");
    ensure!(resent == 0, "{resent} of {held} held resources were resent");
    Ok(Outcome { reached, each, back, held, resent })
}

/// A weight that is new.
async fn put(api: &Api, service: usize, seq: u64) -> anyhow::Result<()> {
    let weight = json!({"weight": 1 + seq % 100});
    api.put(&name(service), "10.0.0.1:80", (1, seq), weight).await?.expect(200).map(drop)
}

fn name(service: usize) -> String {
    format!("service-{service}")
}

/// The service that a stream wants in this place.
fn wish(stream: usize, want: usize) -> usize {
    (stream * 7 + want * 11) % SERVICES
}

async fn counted(what: &str, count: &AtomicUsize, wanted: usize, within: Duration) -> anyhow::Result<()> {
    until(what, within, async || {
        let count = count.load(Ordering::SeqCst);
        ensure!(count >= wanted, "{count} of {wanted}");
        Ok(())
    })
    .await
}
