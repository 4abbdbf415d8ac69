//! Bad company on discovery streams, one after the other, beside one well-behaved stream for which changes go on meanwhile: each
//! push comes within a second, what was refused is sent once, the registry's memory is bounded, and nothing is left of who went.

mod attacks;

use std::{cell::Cell, fmt, time::Duration};

use anyhow::{Context, ensure};
use serde_json::json;
use tokio::time::Instant;

use crate::{
    api::Api,
    stage::Stage,
    wait::{SOON, until},
    xds::{Sotw, connect, sotw},
};

/// P1.
const PUSH: Duration = Duration::from_secs(1);
/// How many kinds of bad company there are.
const KINDS: usize = 5;
const SERVICE: &str = "web";

/// What is played.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Names that one stream wants and wants not.
    pub names: usize,
    /// How often.
    pub rounds: usize,
    /// Streams whose clients take nothing.
    pub deaf: u32,
    /// Streams that are opened only to be reset.
    pub resets: u32,
    /// Requests of five megabytes.
    pub messages: usize,
    /// Changes at least, in equal parts beside each.
    pub changes: usize,
    /// Bytes by which the registry's memory may grow, at its peak.
    pub memory: u64,
}

/// What was seen.
#[derive(Debug)]
pub struct Outcome {
    /// Beside whom.
    pub beside: Vec<(&'static str, Beside)>,
    /// By how many bytes the registry's memory has grown, at its peak and in the end.
    pub grown: [u64; 2],
    /// Responses that were refused, each of another version.
    pub refused: usize,
    /// Connections that the registry ended because of their resets.
    pub ended: usize,
}

/// What was seen of the well-behaved stream beside an attack.
#[derive(Debug)]
pub struct Beside {
    /// How long the attack took; changes may have gone on after it.
    pub took: Duration,
    /// How soon each change was pushed. They follow on each other, so each waits as long as changes wait for others.
    pub pushes: Vec<Duration>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (whom, Beside { took, pushes }) in &self.beside {
            let mut pushes = pushes.clone();
            pushes.sort_unstable();
            let at = |nth: usize| pushes.get(nth).copied().unwrap_or_default();
            let (half, last) = (at(pushes.len() / 2), at(pushes.len().saturating_sub(1)));
            let many = pushes.len();
            writeln!(f, "beside {whom} ({took:.1?}): {many} pushes, after {half:.0?} (median), {last:.0?} (longest)")?;
        }
        let [peak, end] = self.grown.map(|bytes| bytes as f64 / f64::from(1 << 20));
        write!(f, "{end:.1} MiB more in the end, {peak:.1} at most; {} versions were refused, ", self.refused)?;
        write!(f, "each was sent once; {} connections were ended for their resets", self.ended)
    }
}

/// Plays it; an error names what was not kept.
pub async fn play(stage: &Stage, plan: Plan) -> anyhow::Result<Outcome> {
    // What is measured is not the age of a connection, and nobody here renews.
    let api = Api::start(stage, &[("SDS_LEASE", "1h"), ("SDS_CONNECTION_AGE", "1h")]).await?;
    let mut good = Good::begin(&api, plan.changes / KINDS).await?;
    let before = api.process.resident()?[0];

    let (refused, beside_refusing) = good.beside(attacks::refuse(api.addr, plan.changes / KINDS)).await?;
    let counted = api.metric("sds_xds_nacks_total").await?;
    ensure!(counted == refused as f64, "{counted} of {refused} refusals are counted");
    let (deaf, beside_deaf) = good.beside(attacks::deaf(api.addr, plan.deaf)).await?;
    attacks::took_nothing(deaf).await?;
    let ((), beside_fickle) = good.beside(attacks::fickle(api.addr, plan.names, plan.rounds)).await?;
    let ((), beside_messages) = good.beside(attacks::messages(api.addr, plan.messages)).await?;
    let (ended, beside_resets) = good.beside(attacks::resets(api.addr, plan.resets)).await?;

    until("all bad company to be forgotten", SOON, async || {
        let open = api.get("/v1/clients").await?.expect(200)?.json()?["open"].clone();
        ensure!(open == 1, "{open} streams are open");
        Ok(())
    })
    .await?;
    let [end, peak] = api.process.resident()?.map(|bytes| bytes.saturating_sub(before));
    ensure!(peak <= plan.memory, "{} MiB more at most, {} are allowed", peak >> 20, plan.memory >> 20);
    let beside = vec![
        ("who refuses everything", beside_refusing),
        ("streams that take nothing", beside_deaf),
        ("who wants thousands and wants them not", beside_fickle),
        ("requests of 5 MB", beside_messages),
        ("resets", beside_resets),
    ];
    Ok(Outcome { beside, grown: [peak, end], refused, ended })
}

/// The well-behaved stream, and the service that it wants.
struct Good<'a> {
    api: &'a Api,
    stream: Sotw,
    nonce: String,
    /// Changes so far, and how many there are at least beside each attack.
    changes: u64,
    share: usize,
}

impl<'a> Good<'a> {
    async fn begin(api: &'a Api, share: usize) -> anyhow::Result<Self> {
        let mut stream = Sotw::endpoints(&connect(api.addr).await?).await?;
        stream.say(sotw(&[SERVICE], "")).await?;
        let nonce = stream.next(PUSH).await?.nonce;
        Ok(Self { api, stream, nonce, changes: 0, share })
    }

    /// Changes its service until an attack is over.
    async fn beside<T>(&mut self, attack: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<(T, Beside)> {
        let start = Instant::now();
        let over = Cell::new(None);
        let attack = async {
            let outcome = attack.await?;
            over.set(Some(start.elapsed()));
            Ok(outcome)
        };
        let changes = async {
            let mut pushes = Vec::new();
            while pushes.len() < self.share || over.get().is_none() {
                pushes.push(self.change().await?);
            }
            anyhow::Ok(pushes)
        };
        let (outcome, pushes) = tokio::try_join!(attack, changes)?;
        Ok((outcome, Beside { took: over.get().unwrap_or_default(), pushes }))
    }

    /// No two changes make the same content.
    async fn change(&mut self) -> anyhow::Result<Duration> {
        self.changes += 1;
        let (weight, zone) = (1 + self.changes % 100, format!("zone-{}", self.changes / 100));
        let more = json!({"weight": weight, "locality": {"zone": zone}});
        self.stream.say(sotw(&[SERVICE], &self.nonce)).await?;
        let start = Instant::now();
        self.api.put(SERVICE, "10.0.0.1:80", (1, self.changes), more).await?.expect(200)?;
        let told = self.stream.next(PUSH).await.with_context(|| format!("change {}", self.changes))?;
        let took = start.elapsed();
        ensure!(took < PUSH, "change {} was pushed after {took:?}", self.changes);
        self.nonce = told.nonce;
        Ok(took)
    }
}
