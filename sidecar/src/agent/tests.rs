//! The loop with real sockets at both ends: an app and a registry that the test makes well, sick, slow and silent.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU16, AtomicUsize, Ordering},
};

use prometheus_client::registry::Registry;
use tokio::task::JoinHandle;

use super::*;
use crate::{
    config::{self, Command},
    stand_in::{Heard, Reply, StandIn, say, told},
    task::Task,
};

/// A running task with one agent.
struct Running {
    stop: watch::Sender<u32>,
    status: watch::Receiver<Status>,
    ended: JoinHandle<anyhow::Result<()>>,
}

/// Instead of the ten seconds between two looks at the metadata.
const LOOK: [&str; 1] = ["--metadata-interval=100ms"];

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
    let (stop, stopped) = watch::channel(0);
    let (task, mut statuses) = Task::new(*config, stopped, &mut Registry::default()).unwrap();
    Running { stop, status: statuses.remove(0), ended: tokio::spawn(task.run()) }
}

impl Running {
    fn stop(&self) {
        self.stop.send_modify(|count| *count += 1);
    }

    async fn until(&mut self, what: impl FnMut(&Status) -> bool) {
        tokio::time::timeout(Duration::from_secs(10), self.status.wait_for(what)).await.expect("within 10 s").unwrap();
    }

    async fn ended(self) {
        tokio::time::timeout(Duration::from_secs(11), self.ended).await.expect("an end").unwrap().unwrap();
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
    agent.until(|status| status.why_not.starts_with("the app has not passed its check yet: http://")).await;
    assert!(registry.rest().is_empty(), "nothing is registered before the first pass");

    status.store(200, Ordering::SeqCst);
    let first = registry.next().await;
    assert_eq!((word(&first).as_str(), first.body["seq"].as_u64()), ("PUT healthy", Some(1)));
    agent.until(|status| status.ready_until.is_some()).await;
    status.store(500, Ordering::SeqCst);
    assert_eq!(next_word(&mut registry, "PUT healthy").await, "PUT unhealthy");
    agent.until(|status| status.why_not.starts_with("the app is unhealthy: http://") && status.registered_once).await;
    status.store(200, Ordering::SeqCst);
    assert_eq!(next_word(&mut registry, "PUT unhealthy").await, "PUT healthy");

    let stopped = Instant::now();
    agent.stop();
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
    agent.stop();
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
    agent.stop();
    assert_eq!(next_word(&mut registry, "PUT healthy").await, "POST");
    agent.stop();
    assert_eq!(next_word(&mut registry, "POST").await, "DELETE");
    agent.stop();
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

/// A document of the task with one key more, and of the container that asks.
fn task(more: &str, app: &str) -> String {
    format!(
        r#"{{"TaskARN":"arn:aws:ecs:us-east-1:1:task/c/abc","Family":"web","Revision":"3",{more}
        "AvailabilityZone":"us-east-1a","Containers":[{{"Name":"sds","Type":"NORMAL"}},{{"Name":"app",{app}
        "Networks":[{{"NetworkMode":"awsvpc","IPv4Addresses":["10.9.8.7"]}}]}}]}}"#
    )
}

/// ECS's metadata: the test says the task's document.
async fn ecs(document: &Arc<Mutex<Reply>>) -> StandIn {
    let document = Arc::clone(document);
    StandIn::start(move |_, heard| match heard.line.ends_with("/task") {
        true => document.lock().unwrap().clone(),
        false => say(200, r#"{"Name":"sds"}"#),
    })
    .await
}

/// An app that is well, a registry, the metadata and an agent that is to ask it, with no address given.
async fn in_ecs(document: Reply, more: &[&str]) -> (StandIn, StandIn, Arc<Mutex<Reply>>, Running) {
    in_ecs_beside(app(&Arc::new(AtomicU16::new(200))).await, document, more).await
}

async fn in_ecs_beside(app: StandIn, document: Reply, more: &[&str]) -> (StandIn, StandIn, Arc<Mutex<Reply>>, Running) {
    let registry = StandIn::start(|_, _| told()).await;
    let document = Arc::new(Mutex::new(document));
    let ecs = ecs(&document).await;
    let metadata = format!("--ecs-container-metadata-uri-v4=http://{}/v4/id", ecs.address);
    let agent = start(&app, &registry, &[&[metadata.as_str()], more].concat());
    (app, registry, document, agent)
}

#[tokio::test]
async fn the_address_comes_from_the_metadata_however_late() {
    let (_app, mut registry, document, mut agent) = in_ecs(say(500, ""), &[]).await;
    agent.until(|status| status.why_not == "the address is not known yet").await;
    for early in [say(429, ""), say(200, "<html>"), say(200, "[]"), say(200, "{}")] {
        *document.lock().unwrap() = early;
    }
    assert!(registry.rest().is_empty(), "nothing is registered before");
    *document.lock().unwrap() = say(200, &task("", ""));
    let heard = registry.next().await;
    assert_eq!(heard.line, "PUT /v1/services/web/instances/10.9.8.7:80");
    let said =
        ["revision", "instance_id", "task_arn"].map(|key| heard.body[key].as_str().unwrap_or_default().to_owned());
    assert_eq!(said, ["web:3", "abc", "arn:aws:ecs:us-east-1:1:task/c/abc"]);
    assert_eq!(heard.body["locality"], serde_json::json!({"region": "us-east-1", "zone": "us-east-1a"}));
    // What is known is kept.
    *document.lock().unwrap() = say(500, "");
    agent.until(|status| status.ready_until.is_some()).await;
    assert_eq!(registry.next().await.line, heard.line);
}

#[tokio::test]
async fn what_is_given_wins() {
    let (_app, mut registry, _, _agent) = in_ecs(say(200, &task("", "")), &["--host=10.0.0.1"]).await;
    let heard = registry.next().await;
    assert_eq!(heard.line, "PUT /v1/services/web/instances/10.0.0.1:80");
    assert!(heard.body["task_arn"].is_string());
}

#[tokio::test]
async fn ecs_word_drains_and_the_process_stays_until_sigterm() {
    let (_app, mut registry, document, agent) = in_ecs(say(200, &task("", "")), &LOOK).await;
    assert_eq!(word(&registry.next().await), "PUT healthy");
    *document.lock().unwrap() = say(200, &task(r#""DesiredStatus":"STOPPED","#, ""));
    assert_eq!(next_word(&mut registry, "PUT healthy").await, "POST");
    assert_eq!(next_word(&mut registry, "POST").await, "DELETE");
    assert!(!agent.ended.is_finished());
    agent.stop();
    agent.ended().await;
}

#[tokio::test]
async fn a_dead_app_is_unhealthy_at_once_and_not_drained() {
    let long = ["--linger=1000s", "--stop-timeout=1010s"];
    let (mut app, mut registry, document, agent) = in_ecs(say(200, &task("", "")), &[&LOOK[..], &long].concat()).await;
    assert_eq!(word(&registry.next().await), "PUT healthy");
    // Its check still passes: only ECS knows.
    *document.lock().unwrap() = say(200, &task("", r#""KnownStatus":"STOPPED","#));
    assert_eq!(next_word(&mut registry, "PUT healthy").await, "PUT unhealthy");
    app.rest();
    registry.next().await;
    assert!(app.rest().len() <= 1, "whoever answers there, it is not the app");
    agent.stop();
    assert_eq!(next_word(&mut registry, "PUT unhealthy").await, "DELETE");
    agent.ended().await;
}

/// Another port is another container, of which nothing is known yet.
#[tokio::test]
async fn a_new_port_is_registered_once_it_passes_and_the_old_one_is_not_left_behind() {
    let bridge = |port: u16| {
        let app = r#""Networks":[{"NetworkMode":"bridge","IPv4Addresses":["127.0.0.1"]}]"#;
        let ports = format!(r#""Ports":[{{"ContainerPort":80,"HostPort":{port},"HostIp":"0.0.0.0"}}]"#);
        say(200, &format!(r#"{{"Containers":[{{"Name":"sds"}},{{"Name":"app",{app},{ports}}}]}}"#))
    };
    // A fall that never comes: it is the address that ends the trust.
    let given = [&LOOK[..], &["--host=10.0.0.1", "--fall=1000"]].concat();
    let status = Arc::new(AtomicU16::new(200));
    let (mut app, mut registry, document, _agent) = in_ecs_beside(app(&status).await, bridge(32768), &given).await;
    let path = "/v1/services/web/instances/10.0.0.1";
    assert_eq!(registry.next().await.line, format!("PUT {path}:32768"));
    status.store(503, Ordering::SeqCst);
    *document.lock().unwrap() = bridge(32769);
    let mut line = format!("PUT {path}:32768");
    while line == format!("PUT {path}:32768") {
        line = registry.next().await.line;
    }
    assert_eq!(line.split('?').next().unwrap(), format!("DELETE {path}:32768"));
    app.rest();
    for _ in 0..20 {
        app.next().await;
    }
    assert!(registry.rest().is_empty(), "it starts, and is nobody's business yet");
    status.store(200, Ordering::SeqCst);
    assert_eq!(registry.next().await.line, format!("PUT {path}:32769"));
}

#[tokio::test]
async fn who_cannot_tell_the_app_registers_nothing_and_says_so() {
    let two = r#"{"Containers":[{"Name":"sds"},{"Name":"app","KnownStatus":"RUNNING"},{"Name":"log","KnownStatus":"RUNNING"}]}"#;
    let (_app, mut registry, _, agent) = in_ecs(say(200, two), &[]).await;
    let ended = tokio::time::timeout(Duration::from_secs(10), agent.ended).await.expect("an end").unwrap();
    assert_eq!(ended.unwrap_err().to_string(), "SDS_CONTAINER: is required: which of app, log is the app?");
    assert!(registry.rest().is_empty());
}
