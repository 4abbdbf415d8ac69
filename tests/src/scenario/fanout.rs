//! Many discovery streams at once: a change reaches all that want it, what a stream costs the registry, and how soon all are
//! back when the registry was started anew.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tonic::transport::Channel;

use crate::{
    api::Api,
    dynamo::Dynamo,
    replicas::Replica,
    stage::Stage,
    wait::{SOON, until},
    xds::{Sotw, connect, sotw},
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
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut reached = self.reached.clone();
        reached.sort_unstable();
        let at = |nth: usize| reached.get(nth).copied().unwrap_or_default();
        let (half, last) = (at(reached.len() / 2), at(reached.len().saturating_sub(1)));
        write!(f, "a change reached all who want it after {half:.0?} (median), {last:.0?} (longest); ")?;
        write!(f, "{:.1} KB a stream; all back {:.1?} after a restart", self.each as f64 / 1000.0, self.back)
    }
}

/// What the streams have seen.
#[derive(Debug, Default)]
struct Seen {
    /// Streams that were told what they asked for since the last restart.
    begun: AtomicUsize,
    /// Resources that came after that.
    news: AtomicUsize,
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
        clients.spawn(client(replica.api.addr, nth, plan, seen.clone()));
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

    seen.begun.store(0, Ordering::SeqCst);
    replica.api.process.kill().await?;
    let start = Instant::now();
    replica.start_again(stage).await?;
    counted("all streams to be back", &seen.begun, all, BACK).await?;
    Ok(Outcome { reached, each, back: start.elapsed() })
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

/// One connection with its streams, made anew for ever.
async fn client(addr: std::net::SocketAddr, nth: usize, plan: Plan, seen: Arc<Seen>) {
    loop {
        if let Ok(channel) = connect(addr).await {
            let streams = (0..plan.streams).map(|at| stream(&channel, nth * plan.streams + at, plan.wants, &seen));
            // The first that ends ends them all: the registry has gone.
            drop(try_join_all(streams).await);
        }
        sleep(Duration::from_millis(fastrand::u64(100..1000))).await;
    }
}

async fn stream(channel: &Channel, nth: usize, wants: usize, seen: &Seen) -> anyhow::Result<()> {
    let wanted: Vec<_> = (0..wants).map(|want| name(wish(nth, want))).collect();
    let wanted: Vec<_> = wanted.iter().map(String::as_str).collect();
    let mut stream = Sotw::aggregated(channel).await?;
    stream.say(sotw(&wanted, "")).await?;
    let mut response = stream.next(BACK).await.context("the first answer")?;
    seen.begun.fetch_add(1, Ordering::SeqCst);
    loop {
        stream.say(sotw(&wanted, &response.nonce)).await?;
        response = stream.next(Duration::MAX).await?;
        seen.news.fetch_add(response.resources.len(), Ordering::SeqCst);
    }
}
