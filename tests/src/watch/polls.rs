//! Pollers as Envoys are, each on a connection of its own, old ones (v1) and new ones (EDS) in turn: what they were answered,
//! how late, and whether anybody was missing in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, ensure};
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval_at},
};

use super::Expected;
use crate::{fleet::line::Line, v1, wire::Message};

/// An old Envoy gives up then.
const PATIENCE: Duration = Duration::from_secs(1);

/// What came of all polls so far.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Answers by status.
    pub answers: BTreeMap<u16, u64>,
    /// Not answered at all.
    pub unanswered: u64,
    /// Of the answered ones.
    pub slowest: Duration,
    /// Answers of 200 by the first word of `x-sds-state`.
    pub states: BTreeMap<String, u64>,
    /// What was wrong in an answer of 200, and how often.
    pub wrong: BTreeMap<String, u64>,
}

impl Seen {
    /// Nobody was missing in any answer, and none came late.
    pub fn lost_nothing(&self) -> anyhow::Result<()> {
        ensure!(self.wrong.is_empty() && self.slowest < PATIENCE, "{self:?}");
        Ok(())
    }

    /// That, and all were answered, and there were some.
    pub fn all_answered(&self) -> anyhow::Result<()> {
        self.lost_nothing()?;
        let only = self.answers.keys().eq([&200]);
        ensure!(only && self.unanswered == 0, "{self:?}");
        Ok(())
    }
}

/// Running pollers.
#[derive(Debug)]
pub struct Polls {
    seen: Arc<Mutex<Seen>>,
    _tasks: JoinSet<()>,
}

impl Polls {
    /// So many, each with one replica for good, one service after the other.
    pub fn start(replicas: &[SocketAddr], expected: &Expected, pollers: usize, every: Duration) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let mut tasks = JoinSet::new();
        for (nth, replica) in (0_u32..).zip(replicas.iter().copied().cycle().take(pollers)) {
            let (expected, seen) = (expected.clone(), seen.clone());
            tasks.spawn(async move {
                let (mut line, services) = (Line::new(vec![replica]), expected.services());
                let phase = every.mul_f64(f64::from(nth) / pollers as f64);
                let mut ticks = interval_at(Instant::now() + phase, every);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                for (round, service) in (nth as usize..).zip(services.iter().cycle().skip(nth as usize)) {
                    ticks.tick().await;
                    let start = Instant::now();
                    let answer =
                        if round % 2 == 0 { eds(&mut line, service).await } else { old(&mut line, service).await };
                    note(&mut seen.lock().unwrap_or_else(PoisonError::into_inner), service, &expected, start, answer);
                }
            });
        }
        Self { seen, _tasks: tasks }
    }

    /// What came of all of them so far.
    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same, and from now on it is counted anew.
    pub fn take(&self) -> Seen {
        std::mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

type Answer = (Message, anyhow::Result<BTreeSet<String>>);

async fn eds(line: &mut Line, service: &str) -> std::io::Result<Answer> {
    let body = json!({"node": {"id": "e2e", "cluster": "e2e"}, "resource_names": [service]}).to_string();
    let answer = line.call("POST", "/v3/discovery:endpoints", &body).await?;
    let hosts = hosts_of_eds(answer.body());
    Ok((answer, hosts))
}

fn hosts_of_eds(body: &[u8]) -> anyhow::Result<BTreeSet<String>> {
    let body: serde_json::Value = serde_json::from_slice(body)?;
    let localities = body["resources"][0]["endpoints"].as_array().cloned().unwrap_or_default();
    let hosts = localities.iter().filter_map(|locality| locality["lb_endpoints"].as_array()).flatten();
    let host = |host: &serde_json::Value| {
        let address = &host["endpoint"]["address"]["socket_address"];
        let port = address["port_value"].as_u64().and_then(|port| u16::try_from(port).ok()).context("no port")?;
        anyhow::Ok(SocketAddr::new(address["address"].as_str().context("no address")?.parse()?, port).to_string())
    };
    hosts.map(host).collect()
}

async fn old(line: &mut Line, service: &str) -> std::io::Result<Answer> {
    let answer = line.call("GET", &format!("/v1/registration/{service}"), "").await?;
    let hosts = v1::check(answer.body()).map(|hosts| hosts.iter().map(|host| host.endpoint.to_string()).collect());
    Ok((answer, hosts))
}

fn note(seen: &mut Seen, service: &str, expected: &Expected, start: Instant, answer: std::io::Result<Answer>) {
    let Ok((answer, hosts)) = answer else {
        seen.unanswered += 1;
        return;
    };
    *seen.answers.entry(answer.status()).or_default() += 1;
    seen.slowest = seen.slowest.max(start.elapsed());
    if answer.status() != 200 {
        return;
    }
    let state = answer.header("x-sds-state").split([';', ',']).next().unwrap_or_default().to_owned();
    *seen.states.entry(state).or_default() += 1;
    match hosts {
        Ok(hosts) => {
            let missing = expected.missing(service, |at| hosts.contains(at));
            if !missing.is_empty() {
                *seen.wrong.entry(format!("{service} without {missing:?}")).or_default() += 1;
            }
        }
        Err(error) => *seen.wrong.entry(format!("{service}: {error:#}")).or_default() += 1,
    }
}
