//! Late, doubled and reordered writes through two replicas: each address has a story of up to three tenants, told in a
//! random order, partly twice, partly long after its end; and the writes of the replicas to the store are late, doubled or
//! held back too. Whatever comes last, the newest tenant's last word stands in both replicas' answers.

mod story;

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, ensure};
use futures_util::{StreamExt, TryStreamExt, future::join_all, stream};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    api::Api,
    dynamo::Dynamo,
    gate::Fault,
    replicas::{self, Replica},
    stage::Stage,
    wait::{SOON, throughout, until},
};
use story::{End, Request, Story, What};

const LEASE: Duration = Duration::from_secs(6);
/// Some fall silent, and if the machine is slow all are late: a hold must end within the play.
const ENV: [(&str, &str); 3] = [("SDS_LEASE", "6s"), ("SDS_HOLD_MAX", "9s"), ("SDS_FULL_READ", "1s")];
/// How many stories at a time, so that those who serve can be heard in time.
const WAVE: u32 = 200;

/// Stories that are told at the same time.
const AT_ONCE: usize = 12;

/// What is played.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many.
    pub stories: u32,
    /// Of all that is random, but for the order in which the machine runs.
    pub seed: u64,
}

/// What was seen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outcome {
    /// How many requests were made besides heartbeats.
    pub requests: usize,
    /// How many writes of the replicas were late, doubled or held back.
    pub struck: u64,
}

/// Plays it; an error names what was not kept.
pub async fn play(stage: &Stage, plan: Plan) -> anyhow::Result<Outcome> {
    let store = Dynamo::in_memory(stage).await?;
    let replicas = replicas::start(stage, store.addr, 2, &ENV).await?;
    let mut random = fastrand::Rng::with_seed(plan.seed);
    let mut requests = 0;
    for wave in 0..plan.stories.div_ceil(WAVE) {
        let size = WAVE.min(plan.stories - wave * WAVE);
        let stories: Vec<_> = (0..size).map(|nth| Story::new(wave, nth, &mut random)).collect();
        requests += tell(&replicas, &stories).await.with_context(|| format!("wave {wave} of seed {}", plan.seed))?;
    }
    Ok(Outcome { requests, struck: replicas.iter().map(|replica| replica.gate.struck()).sum() })
}

/// Tells stories, all at the same time.
async fn tell(replicas: &[Replica], stories: &[Story]) -> anyhow::Result<usize> {
    for replica in replicas {
        let chance = |one_in: u32| {
            move |request: &crate::wire::Message| {
                let is_row =
                    request.operation() == "UpdateItem" && !request.says("#replica") && !request.says("#vouch");
                is_row && fastrand::u32(0..one_in) == 0
            }
        };
        replica.gate.strike(Fault::Held, chance(20));
        replica.gate.strike(Fault::Late(Duration::from_millis(300)), chance(10));
        replica.gate.strike(Fault::Twice(Duration::from_millis(700)), chance(10));
    }
    let apis: Vec<&Api> = replicas.iter().map(|replica| &replica.api).collect();
    let mut alive = JoinSet::new();
    // Whatever becomes of them, one by one: they come in a random order, and some at the same time.
    let early = stories.iter().map(async |story| {
        for two in story.early.chunks(2) {
            join_all(two.iter().map(|request| send(&apis, story, request))).await;
        }
    });
    stream::iter(early).buffer_unordered(AT_ONCE).collect::<()>().await;
    let addrs: Vec<SocketAddr> = apis.iter().map(|api| api.addr).collect();
    let ends = stories.iter().map(async |story| {
        let seq = end(&apis, story).await?;
        let serves = story.end == End::Serves;
        anyhow::Ok(serves.then(|| heartbeats(addrs.clone(), story.clone(), seq)))
    });
    let mut ends = stream::iter(ends).buffer_unordered(AT_ONCE);
    while let Some(serves) = ends.next().await {
        serves?.into_iter().for_each(|heartbeats| drop(alive.spawn(heartbeats)));
    }
    replicas.iter().for_each(|replica| replica.gate.spare());
    for replica in replicas {
        replica.gate.release();
    }
    let spoken = |story: &Story| story.end != End::Silent;
    until("last words to be told", SOON, async || equal(&apis, stories, spoken).await).await?;
    let late = stories.iter().flat_map(|story| story.late.iter().map(|request| send(&apis, story, request)));
    stream::iter(late).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
    // Who comes back would be there for a lease only. (What the tenant itself said before may count for a heartbeat: the
    // replica that it comes to late need not have heard the heartbeats after it.)
    throughout("nobody comes back or goes", LEASE / 2, async || same(&apis, stories, spoken, Depth::Who).await).await?;
    until("the answers to equal the model", 2 * LEASE + SOON, async || equal(&apis, stories, |_| true).await).await?;
    alive.shutdown().await;
    // Room for the next wave.
    let goodbyes = stories.iter().map(async |story| {
        until("a goodbye to be heard", SOON, async || {
            apis[0].delete(&story.service, &story.at, (story.newest, 1_000_000)).await?.expect(204).map(drop)
        })
        .await
    });
    stream::iter(goodbyes).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    Ok(stories.iter().map(|story| story.early.len() + story.late.len() + 1).sum())
}

/// One request; its answer may be any, but none that says that we are broken.
async fn send(apis: &[&Api], story: &Story, request: &Request) -> anyhow::Result<u16> {
    let api = apis[request.replica % apis.len()];
    let order = (request.incarnation, request.seq);
    let answer = match request.what {
        What::Register(weight) => api.put(&story.service, &story.at, order, story::weight(weight)).await?,
        What::Drain => api.drain(&story.service, &story.at, order).await?,
        What::Leave => api.delete(&story.service, &story.at, order).await?,
    };
    ensure!(matches!(answer.status, 200 | 202 | 204 | 409 | 503), "{request:?} was answered {}", answer.status);
    Ok(answer.status)
}

/// The newest tenant's last word, until it is taken; the number that it had.
async fn end(apis: &[&Api], story: &Story) -> anyhow::Result<u64> {
    let mut seq = 1000;
    until("a last word to be taken", SOON, async || {
        seq += 1;
        let what = if story.end == End::Leaves { What::Leave } else { What::Register(story.weight) };
        let request = Request { replica: seq as usize, incarnation: story.newest, seq, what };
        let status = send(apis, story, &request).await?;
        ensure!(matches!(status, 200 | 204), "{} {:?} was answered {status}", story.at, story.end);
        Ok(seq)
    })
    .await
}

async fn heartbeats(addrs: Vec<SocketAddr>, story: Story, mut seq: u64) {
    let client = crate::http::client(Duration::from_secs(2));
    loop {
        sleep(LEASE.mul_f64(0.3)).await;
        seq += 1;
        let addr = addrs[seq as usize % addrs.len()];
        let url = format!("http://{addr}{}", crate::api::native_path(&story.service, &story.at));
        let body = crate::api::registration((story.newest, seq), story::weight(story.weight)).to_string();
        let headers = [("content-type", "application/json")];
        drop(crate::http::send(&client, reqwest::Method::PUT, &url, &headers, body).await);
    }
}

/// Each replica answers what the model says of some stories.
async fn equal(apis: &[&Api], stories: &[Story], of: impl Fn(&Story) -> bool) -> anyhow::Result<()> {
    same(apis, stories, of, Depth::All).await
}

/// How closely a look is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// Which tenant stands there.
    Who,
    /// And what it says.
    All,
}

async fn same(apis: &[&Api], stories: &[Story], of: impl Fn(&Story) -> bool, depth: Depth) -> anyhow::Result<()> {
    let mut services: Vec<_> = stories.iter().map(|story| story.service.as_str()).collect();
    services.sort_unstable();
    services.dedup();
    for api in apis {
        for service in &services {
            let instances = api.instances(service).await?;
            for story in stories.iter().filter(|story| story.service == *service && of(story)) {
                let told = instances.get(&story.at).map(|told| {
                    let number = |name: &str| told[name].as_u64().unwrap_or(0);
                    (number("incarnation"), number("weight"), told["status"].as_str().unwrap_or_default().to_owned())
                });
                let model =
                    (story.end == End::Serves).then(|| (story.newest, u64::from(story.weight), "healthy".to_owned()));
                let who = |it: &Option<(u64, u64, String)>| it.as_ref().map(|(incarnation, ..)| *incarnation);
                let right = if depth == Depth::All { told == model } else { who(&told) == who(&model) };
                ensure!(right, "{} has {told:?}, the model {model:?}: {story:?}", api.addr);
            }
        }
    }
    Ok(())
}
