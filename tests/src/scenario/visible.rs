//! From the word of a registrant to the host in a real Envoy: told to the replica that holds the Envoy's stream, told to the
//! other one, and, for comparison, pushed by a bare tonic server that has nothing to store, to an Envoy of its own.
//!
//! The three take turns, so that they share the machine's moods, and each change is the registration of a new host.
//! An Envoy says what it has when it is asked: its page is read again and again without a pause, and how long one reading
//! takes is told with the rest, for nothing is seen sooner. (What the workers of an Envoy route by follows new hosts at once,
//! but other weights only after its `update_merge_window`, a second by default: hence no weights here.)

use std::{fmt, net::SocketAddr, time::Duration};

use anyhow::Context;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use super::replicas::VISIBLE;
use crate::{
    api::Api,
    dynamo::Dynamo,
    envoy::{Envoy, Guards, HealthChecks, Mode, Setup},
    push::Push,
    replicas,
    stage::Stage,
    times::Times,
    wait::SOON,
};

const SERVICE: &str = "web";
/// A stream pauses for so long after a push, which is no part of what a single change costs.
const PAUSE: Duration = Duration::from_millis(100);

/// What was seen.
#[derive(Debug)]
pub struct Outcome {
    /// Told to the replica that holds the stream.
    pub here: Times,
    /// Told to the other one.
    pub across: Times,
    /// Pushed by the bare server.
    pub bare: Times,
    /// Until the request of a change told here was answered: it is stored then, and told to other replicas.
    pub answered: Times,
    /// One reading of an Envoy's page.
    pub look: Times,
}

impl Outcome {
    /// How many times as long as the bare push, at this quantile: told here, and told across.
    fn ratios(&self, share: f64) -> [f64; 2] {
        let bare = self.bare.quantile(share).as_secs_f64();
        [&self.here, &self.across].map(|ours| ours.quantile(share).as_secs_f64() / bare)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "told to the replica of the stream: {} (the request is answered: {})", self.here, self.answered)?;
        writeln!(f, "told to the other replica: {}", self.across)?;
        writeln!(f, "bare tonic push: {}", self.bare)?;
        let ([here, across], [here_99, across_99]) = (self.ratios(0.5), self.ratios(0.99));
        writeln!(f, "times the bare push: {here:.1} and {across:.1} (p50), {here_99:.1} and {across_99:.1} (p99)")?;
        write!(f, "an Envoy's page is read: {}", self.look)
    }
}

/// Plays `changes` of each kind; an error if one of ours is not visible in time.
pub async fn play(stage: &Stage, changes: u32) -> anyhow::Result<Outcome> {
    let store = Dynamo::in_memory(stage).await?;
    // Nobody here has a sidecar that would renew it, and a stream that moves is another measurement.
    let env = [("SDS_LEASE", "1h"), ("SDS_CONNECTION_AGE", "1h")];
    let replicas = replicas::start(stage, store.addr, 2, &env).await?;
    let (here, there) = (&replicas[0].api, &replicas[1].api);
    let push = Push::start(SERVICE)?;
    let ours = Watched::start(stage, here.addr).await?;
    let bares = Watched::start(stage, push.addr).await?;
    // Who is always there, so that no cluster is ever empty.
    let stays = address(0);
    put(here, stays).await?;
    push.tell(&[stays]);
    let mut looks = Vec::new();
    tokio::try_join!(ours.until(stays, true, SOON), bares.until(stays, true, SOON))?;

    let (mut seen, mut answers) = ([const { Vec::new() }; 3], Vec::new());
    for nth in 0..changes {
        for (told, took) in [here, there].into_iter().zip(&mut seen) {
            pause().await;
            let (host, start) = (address(1 + 2 * nth + u32::from(told.addr == there.addr)), Instant::now());
            let answered = async {
                put(told, host).await?;
                anyhow::Ok(start.elapsed())
            };
            let visible = async {
                let all = ours.until(host, true, VISIBLE).await?;
                Ok((start.elapsed(), all))
            };
            let (answered, (visible, all)) =
                tokio::try_join!(answered, visible).with_context(|| format!("change {nth}, told to {}", told.addr))?;
            took.push(visible);
            looks.extend(all);
            if told.addr == here.addr {
                answers.push(answered);
            }
            here.delete(SERVICE, &host.to_string(), (1, 2)).await?.expect(204)?;
            ours.until(host, false, SOON).await?;
        }
        pause().await;
        let (host, start) = (address(1 + nth), Instant::now());
        push.tell(&[stays, host]);
        looks.extend(bares.until(host, true, SOON).await?);
        seen[2].push(start.elapsed());
        push.tell(&[stays]);
        bares.until(host, false, SOON).await?;
    }
    let [here, across, bare] = seen.map(Times::new);
    Ok(Outcome { here, across, bare, answered: Times::new(answers), look: Times::new(looks) })
}

/// Long enough for a stream to be ready again, and of random length, so that changes meet every moment between two looks of
/// the other replica.
async fn pause() {
    sleep(PAUSE + Duration::from_millis(fastrand::u64(0..200))).await;
}

fn address(nth: u32) -> SocketAddr {
    let [_, a, b, c] = nth.to_be_bytes();
    SocketAddr::from(([10, a, b, c], 80))
}

async fn put(api: &Api, host: SocketAddr) -> anyhow::Result<()> {
    api.put(SERVICE, &host.to_string(), (1, 1), json!({})).await?.expect(200).map(drop)
}

/// An Envoy whose page is read without a pause.
struct Watched(Envoy);

impl Watched {
    async fn start(stage: &Stage, at: SocketAddr) -> anyhow::Result<Self> {
        let services = vec![SERVICE.to_owned()];
        let setup = Setup {
            replicas: vec![at],
            services,
            mode: Mode::DeltaAds,
            checks: HealthChecks::Off,
            guards: Guards::default(),
        };
        Ok(Self(Envoy::set_up(stage, &setup).await?))
    }

    /// Waits until it has a host, or no longer has it; tells how long each reading of the page took.
    async fn until(&self, host: SocketAddr, there: bool, within: Duration) -> anyhow::Result<Vec<Duration>> {
        let (host, mut looks) = (host.to_string(), Vec::new());
        let seen = async {
            loop {
                let start = Instant::now();
                let has = self.0.hosts().await?.contains_key(&host);
                looks.push(start.elapsed());
                if has == there {
                    return anyhow::Ok(());
                }
            }
        };
        let in_time = timeout(within, seen).await;
        in_time.with_context(|| format!("{host} (there: {there}) is not seen within {within:?}"))??;
        Ok(looks)
    }
}
