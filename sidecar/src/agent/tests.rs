//! The loop with real sockets at both ends: an app and a registry that the test makes well, sick, slow and silent.

use std::sync::{
    Arc,
    atomic::{AtomicU16, AtomicUsize, Ordering},
};

use prometheus_client::registry::Registry;
use tokio::task::JoinHandle;

use super::*;
use crate::{
    config::{self, Command},
    stand_in::{Heard, Reply, StandIn, say, told},
};

/// A running agent.
struct Running {
    stop: mpsc::Sender<()>,
    status: watch::Receiver<Status>,
    ended: JoinHandle<()>,
}

/// An app that answers with this status.
async fn app(status: &Arc<AtomicU16>) -> StandIn {
    let status = Arc::clone(status);
    StandIn::start(move |_, _| say(status.load(Ordering::SeqCst), "")).await
}

fn start(app: &StandIn, registry: &StandIn, more: &[&str]) -> Running {
    let given = [
        "sds-sidecar".to_owned(),
        format!("--api-url=http://{}", registry.address),
        format!("--check=http://{}/health", app.address),
        "--service=web".into(),
        "--port=80".into(),
        "--interval=100ms".into(),
        "--timeout=90ms".into(),
        "--linger=300ms".into(),
        "--stop-timeout=11s".into(),
    ];
    let replaced = |arg: &String| more.iter().any(|&new| new.split('=').next() == arg.split('=').next());
    let given = given.into_iter().filter(|arg| !replaced(arg));
    let args = given.chain(more.iter().map(|&arg| arg.to_owned())).map(std::ffi::OsString::from);
    let Ok(Command::Run(config)) = config::parse(args) else { panic!("a good configuration") };
    let (agent, status) = Agent::new(*config, Metrics::register(&mut Registry::default())).unwrap();
    let (stop, stopped) = mpsc::channel(1);
    Running { stop, status, ended: tokio::spawn(agent.run(stopped)) }
}

impl Running {
    async fn stop(&self) {
        self.stop.send(()).await.unwrap();
    }

    async fn until(&mut self, what: impl FnMut(&Status) -> bool) {
        tokio::time::timeout(Duration::from_secs(10), self.status.wait_for(what)).await.expect("within 10 s").unwrap();
    }

    async fn ended(self) {
        tokio::time::timeout(Duration::from_secs(11), self.ended).await.expect("an end").unwrap();
    }
}

/// `PUT healthy`, `POST`, `DELETE`.
fn word(heard: &Heard) -> String {
    let method = heard.line.split(' ').next().unwrap();
    match heard.body["health"].as_str() {
        Some(health) if method == "PUT" => format!("PUT {health}"),
        _ => method.to_owned(),
    }
}

/// The next request that is not the same word again, as heartbeats are.
async fn next_word(registry: &mut StandIn, last: &str) -> String {
    loop {
        let next = word(&registry.next().await);
        if next != last {
            return next;
        }
    }
}

#[tokio::test]
async fn a_life() {
    let status = Arc::new(AtomicU16::new(503));
    let (app, mut registry) = (app(&status).await, StandIn::start(|_, _| told()).await);
    let mut agent = start(&app, &registry, &["--host=10.0.0.1"]);
    agent.until(|status| status.why_not == "the app has not passed its check yet").await;
    assert!(registry.rest().is_empty(), "nothing is registered before the first pass");

    status.store(200, Ordering::SeqCst);
    let first = registry.next().await;
    assert_eq!((word(&first).as_str(), first.body["seq"].as_u64()), ("PUT healthy", Some(1)));
    agent.until(|status| status.ready_until.is_some()).await;
    status.store(500, Ordering::SeqCst);
    assert_eq!(next_word(&mut registry, "PUT healthy").await, "PUT unhealthy");
    agent.until(|status| status.why_not == "the app is unhealthy" && status.registered_once).await;
    status.store(200, Ordering::SeqCst);
    assert_eq!(next_word(&mut registry, "PUT unhealthy").await, "PUT healthy");

    let stopped = Instant::now();
    agent.stop().await;
    assert_eq!(next_word(&mut registry, "PUT healthy").await, "POST");
    assert_eq!(next_word(&mut registry, "POST").await, "DELETE");
    assert!(stopped.elapsed() >= Duration::from_millis(300), "the whole linger");
    agent.ended().await;
    assert!(registry.rest().is_empty());
}

#[tokio::test]
async fn heartbeats_follow_what_was_told() {
    let status = Arc::new(AtomicU16::new(200));
    let (app, mut registry) = (app(&status).await, StandIn::start(|_, _| told()).await);
    let _agent = start(&app, &registry, &["--host=10.0.0.1"]);
    let (first, began) = (registry.next().await, Instant::now());
    let second = registry.next().await;
    assert!((850..3_000).contains(&began.elapsed().as_millis()), "1 s, up to a tenth early: {:?}", began.elapsed());
    assert_eq!(first.body["incarnation"], second.body["incarnation"]);
    assert_eq!(second.body["seq"].as_u64(), Some(2));
}

#[tokio::test]
async fn nobody_to_wait_for() {
    let status = Arc::new(AtomicU16::new(503));
    let (app, mut registry) = (app(&status).await, StandIn::start(|_, _| told()).await);
    let agent = start(&app, &registry, &["--host=10.0.0.1", "--linger=1000s", "--stop-timeout=1010s"]);
    agent.stop().await;
    agent.ended().await;
    assert!(registry.rest().is_empty());
}

#[tokio::test]
async fn a_silent_registry_delays_neither_probes_nor_the_end() {
    let status = Arc::new(AtomicU16::new(200));
    let mut app = app(&status).await;
    let deletes = Arc::new(AtomicUsize::new(0));
    let rule = move |_: usize, heard: &Heard| match heard.line.starts_with("DELETE") {
        true if deletes.fetch_add(1, Ordering::SeqCst) > 0 => say(204, ""),
        _ => Reply::Hang,
    };
    let mut registry = StandIn::start(rule).await;
    let agent = start(&app, &registry, &["--host=10.0.0.1", "--linger=1000s", "--stop-timeout=1010s"]);
    registry.next().await;
    let (_, began) = (app.rest(), Instant::now());
    for _ in 0..5 {
        app.next().await;
    }
    assert!(began.elapsed() < Duration::from_millis(1_500), "the call would have taken 2 s: {:?}", began.elapsed());
    agent.stop().await;
    assert_eq!(next_word(&mut registry, "PUT healthy").await, "POST");
    agent.stop().await;
    assert_eq!(next_word(&mut registry, "POST").await, "DELETE");
    agent.stop().await;
    assert_eq!(word(&registry.next().await), "DELETE", "a third word does not end the goodbye");
    agent.ended().await;
}

#[tokio::test]
async fn a_ghost_is_overtaken() {
    let status = Arc::new(AtomicU16::new(200));
    let app = app(&status).await;
    let ghost = r#"{"id":"Superseded","reason":"newer","current":{"incarnation":9000000000000000,"seq":4}}"#;
    let mut registry = StandIn::start(move |n, _| if n == 0 { say(409, ghost) } else { told() }).await;
    let mut agent = start(&app, &registry, &["--host=10.0.0.1"]);
    let incarnations = [registry.next().await, registry.next().await].map(|heard| heard.body["incarnation"].as_u64());
    assert!(incarnations[0] > Some(1_600_000_000_000), "milliseconds of the wall clock");
    assert_eq!(incarnations[1], Some(9_000_000_000_000_001));
    agent.until(|status| status.ready_until.is_some()).await;
}

const TASK: &str = r#"{"TaskARN":"arn:aws:ecs:us-east-1:1:task/c/abc","Family":"web","Revision":"3",
    "AvailabilityZone":"us-east-1a","Containers":[{
    "Networks":[{"NetworkMode":"awsvpc","IPv4Addresses":["10.9.8.7"]}]}]}"#;

#[tokio::test]
async fn the_address_comes_from_the_metadata_however_late() {
    let status = Arc::new(AtomicU16::new(200));
    let (app, mut registry) = (app(&status).await, StandIn::start(|_, _| told()).await);
    let early = |n: usize, _: &Heard| match n {
        0 => say(500, ""),
        1 => say(200, "<html>"),
        2 => say(200, "{}"),
        _ => say(200, TASK),
    };
    let mut ecs = StandIn::start(early).await;
    let metadata = format!("--ecs-container-metadata-uri-v4=http://{}/v4/id", ecs.address);
    let mut agent = start(&app, &registry, &[&metadata]);
    agent.until(|status| status.why_not == "the address is not known yet").await;
    let heard = registry.next().await;
    assert_eq!(ecs.next().await.line, "GET /v4/id/task");
    assert_eq!(heard.line, "PUT /v1/services/web/instances/10.9.8.7:80");
    let said =
        ["revision", "instance_id", "task_arn"].map(|key| heard.body[key].as_str().unwrap_or_default().to_owned());
    assert_eq!(said, ["web:3", "abc", "arn:aws:ecs:us-east-1:1:task/c/abc"]);
    assert_eq!(heard.body["locality"], serde_json::json!({"region": "us-east-1", "zone": "us-east-1a"}));
}

#[tokio::test]
async fn a_given_address_does_not_wait_for_the_metadata() {
    let status = Arc::new(AtomicU16::new(200));
    let (app, mut registry) = (app(&status).await, StandIn::start(|_, _| told()).await);
    let asked = Arc::new(AtomicUsize::new(0));
    let open = Arc::clone(&asked);
    let ecs = StandIn::start(move |_, _| say(if open.load(Ordering::SeqCst) == 0 { 429 } else { 200 }, TASK)).await;
    let metadata = format!("--ecs-container-metadata-uri-v4=http://{}/v4/id", ecs.address);
    let _agent = start(&app, &registry, &["--host=10.0.0.1", &metadata]);
    let first = registry.next().await;
    assert_eq!(
        (first.line.as_str(), &first.body["task_arn"]),
        ("PUT /v1/services/web/instances/10.0.0.1:80", &serde_json::Value::Null)
    );
    asked.store(1, Ordering::SeqCst);
    loop {
        let later = registry.next().await;
        assert_eq!(later.line, first.line, "what is given wins");
        if later.body["task_arn"].is_string() {
            break;
        }
    }
}
