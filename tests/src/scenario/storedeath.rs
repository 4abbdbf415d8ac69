//! The store is dead for many leases: its process is killed, and comes back with its file. Meanwhile everybody is answered,
//! heartbeats are taken, and what takes somebody out of the answers counts at once at the replica that heard it; afterwards
//! it counts everywhere, and nobody who has left comes back.

use std::{fmt, time::Duration};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::crowd::{self, Crowd, Size, Story};
use crate::{
    dynamo::Dynamo,
    fleet::Registrant,
    replicas::{self, Replica},
    stage::Stage,
    wait::{SOON, throughout, until},
};

const REPLICAS: usize = 3;
/// Above all that the registrants of the test have said.
const LATER: u64 = 1_000_000;

/// What is played.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Who stands around.
    pub size: Size,
    /// The lease.
    pub lease: Duration,
    /// For so many of them the store is dead.
    pub leases: u32,
}

/// What was seen.
#[derive(Debug)]
pub struct Outcome {
    /// All in all.
    pub story: Story,
    /// Heartbeats that were answered while the store was dead.
    pub heartbeats: u64,
    /// From the store's return until what was told meanwhile counted on all replicas.
    pub told: Duration,
    /// Until what was registered and deregistered after the return counted on all.
    pub visible: Duration,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { story, heartbeats, told, visible } = self;
        write!(f, "{story}; {heartbeats} heartbeats taken; after the return what was owed counted everywhere ")?;
        write!(f, "after {told:.1?}, register and deregister after {visible:.1?}")
    }
}

/// Plays it.
pub async fn play(stage: &Stage, plan: Plan) -> anyhow::Result<Outcome> {
    ensure!(plan.size.services >= 3 && plan.size.hosts >= 2, "too few to send some away");
    let lease = format!("{}ms", plan.lease.as_millis());
    let heartbeat = plan.lease / 3;
    let mut store = Dynamo::on_file(stage).await?;
    let replicas = replicas::start(stage, store.addr, REPLICAS, &[("SDS_LEASE", &lease)]).await?;
    let crowd = Crowd::start(stage, &replicas, plan.size, heartbeat).await?;

    store.kill().await?;
    let dead = Instant::now();
    for replica in &replicas {
        state(replica, "stale").await?;
    }
    crowd.polls.seen().all_answered().context("as the store died")?;
    let before = (crowd.polls.take(), crowd.fleet.sum()).1;
    let away = Away::say(&replicas, &crowd).await?;
    throughout(
        "all is well without the store",
        (plan.lease * plan.leases).saturating_sub(dead.elapsed()),
        async || {
            crowd.is_well().await?;
            away.holds_where_told(&replicas).await?;
            // Looking is not to be the load.
            sleep(heartbeat / 4).await;
            Ok(())
        },
    )
    .await?;
    let polls = crowd.polls.seen();
    polls.all_answered().context("without the store")?;
    ensure!(polls.states.keys().all(|state| state == "stale"), "polls were told {:?}", polls.states);
    let after = crowd.fleet.sum();
    ensure!(after.failed == before.failed && after.refused == 0 && after.superseded == 0, "{before:?}, then {after:?}");

    store.restart(stage).await?;
    let returned = Instant::now();
    let (told, visible) = tokio::try_join!(
        async {
            away.holds_everywhere(&replicas, 2 * heartbeat).await?;
            anyhow::Ok(returned.elapsed())
        },
        async {
            come_and_go(&replicas, &crowd, returned, 2 * heartbeat).await?;
            anyhow::Ok(returned.elapsed())
        }
    )?;
    // Who has left is no zombie, for longer than anybody could be silent.
    throughout("who has left stays away", plan.lease * 2, async || {
        away.has_left(&replicas).await?;
        sleep(heartbeat / 4).await;
        Ok(())
    })
    .await?;
    crowd.polls.seen().all_answered().context("after the return")?;
    Ok(Outcome { story: crowd.end().await?, heartbeats: after.held - before.held, told, visible })
}

async fn state(replica: &Replica, wanted: &str) -> anyhow::Result<()> {
    until("a replica to say how old its answer is", SOON, async || {
        let answer = replica.api.get("/v1/registration/web").await?.expect(200)?;
        let state = answer.header("x-sds-state");
        ensure!(state.split([';', ',']).next() == Some(wanted), "it says {state}");
        Ok(())
    })
    .await
}

/// What is said while the store is away: each to another replica, of an instance whose sidecar says nothing any more.
struct Away {
    /// Service, address, replica that was told, and what became of it.
    said: Vec<(String, String, usize, &'static str)>,
}

impl Away {
    async fn say(replicas: &[Replica], crowd: &Crowd) -> anyhow::Result<Self> {
        let mut said = Vec::new();
        for (nth, what) in (0_u32..).zip(["UNHEALTHY", "DRAINING", "absent"]) {
            let service = crowd::service(nth);
            let one = crowd.fleet.of(&service).next().context("nobody")?;
            let (at, order) = (one.spec.at.clone(), silenced(crowd, one));
            let told = nth as usize % replicas.len();
            let api = &replicas[told].api;
            let answer = match what {
                "UNHEALTHY" => api.put(&service, &at, order, json!({"health": "unhealthy"})).await?,
                "DRAINING" => api.drain(&service, &at, order).await?,
                _ => api.delete(&service, &at, order).await?,
            };
            let body = answer.expect(202).with_context(|| format!("{what} without the store"))?.json()?;
            ensure!(body["persisted"] == false, "{body}");
            let now = health(&replicas[told], &service, &at).await?;
            ensure!(now == what, "at the replica that was told {what} it is {now} just after");
            let listed = api.v1_endpoints(&service).await?;
            ensure!(!listed.contains(&at), "v1 has it still: {listed:?}");
            ensure!(api.metric("sds_changes_owed").await? > 0.0, "nothing is counted as owed");
            said.push((service, at, told, what));
        }
        // What adds somebody waits for the store, and is told so soon.
        let start = Instant::now();
        let refused = replicas[0].api.put(crowd::WEB, "10.9.9.9:80", (1, 1), json!({})).await?.expect(503)?;
        ensure!(!refused.header("retry-after").is_empty() && start.elapsed() < Duration::from_secs(1), "{refused:?}");
        Ok(Self { said })
    }

    async fn holds_where_told(&self, replicas: &[Replica]) -> anyhow::Result<()> {
        for (service, at, told, what) in &self.said {
            let now = health(&replicas[*told], service, at).await?;
            ensure!(now == *what, "{service}/{at} is {now}, not {what}");
        }
        Ok(())
    }

    async fn holds_everywhere(&self, replicas: &[Replica], within: Duration) -> anyhow::Result<()> {
        until("what was said to count everywhere", within, async || {
            for replica in replicas {
                for (service, at, _, what) in &self.said {
                    let now = health(replica, service, at).await?;
                    ensure!(now == *what, "{service}/{at} is {now}, not {what}");
                }
                let owed = replica.api.metric("sds_changes_owed").await?;
                ensure!(owed == 0.0, "{owed} changes are owed still");
            }
            Ok(())
        })
        .await
    }

    async fn has_left(&self, replicas: &[Replica]) -> anyhow::Result<()> {
        for (service, at, _, what) in &self.said {
            for replica in replicas {
                let now = health(replica, service, at).await?;
                ensure!(now == *what || (now == "absent"), "{service}/{at} is {now}, not {what}");
            }
        }
        Ok(())
    }
}

/// Its sidecar says nothing any more; in whose name and with which number the test speaks.
fn silenced(crowd: &Crowd, one: &Registrant) -> (u64, u64) {
    crowd.expected.release(&one.spec.service, &one.spec.at);
    one.kill();
    (one.seen().incarnation, LATER)
}

/// In EDS; "absent" if it is not there.
async fn health(replica: &Replica, service: &str, at: &str) -> anyhow::Result<String> {
    let answer = replica.api.eds("v3", &[service], "").await?.expect(200)?.json()?;
    let localities = answer["resources"][0]["endpoints"].as_array().cloned().unwrap_or_default();
    let hosts = localities.iter().filter_map(|locality| locality["lb_endpoints"].as_array()).flatten();
    let is = |host: &&Value| {
        let address = &host["endpoint"]["address"]["socket_address"];
        format!("{}:{}", address["address"].as_str().unwrap_or_default(), address["port_value"]) == at
    };
    let found = hosts.clone().find(is);
    Ok(found.map_or("absent", |host| host["health_status"].as_str().unwrap_or("HEALTHY")).to_owned())
}

/// Somebody new registers and somebody old leaves, as soon as the store is back: on all replicas within this time.
async fn come_and_go(replicas: &[Replica], crowd: &Crowd, returned: Instant, within: Duration) -> anyhow::Result<()> {
    let service = crowd::service(0);
    let (new, old) = ("10.9.0.1:80", crowd.fleet.of(&service).nth(1).context("nobody")?);
    let left = || within.saturating_sub(returned.elapsed());
    let (api, order) = (&replicas[1].api, silenced(crowd, old));
    until("a registration to be taken", left(), async || {
        api.put(&service, new, (1, 1), json!({})).await?.expect(200).map(drop)
    })
    .await?;
    until("a goodbye to be taken", left(), async || {
        api.delete(&service, &old.spec.at, order).await?.expect(204).map(drop)
    })
    .await?;
    until("both to count everywhere", left(), async || {
        for replica in replicas {
            let (new, old) = (health(replica, &service, new).await?, health(replica, &service, &old.spec.at).await?);
            ensure!(new == "HEALTHY" && old == "absent", "the new one is {new}, the old one {old}");
        }
        Ok(())
    })
    .await
}
