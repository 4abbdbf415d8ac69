use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_sdk_ecs::config::Credentials;
use axum::{Router, extract::State, response::IntoResponse, routing::post};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;

/// What the server was asked, and what it answers next; after that, that it knows all tasks.
#[derive(Default)]
struct Script {
    asked: Mutex<Vec<Value>>,
    next: Mutex<VecDeque<(u16, String)>>,
}

impl Script {
    fn answer(&self, status: u16, body: impl ToString) {
        self.next.lock().unwrap().push_back((status, body.to_string()));
    }

    fn calls(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

fn arn(n: usize) -> String {
    format!("arn:aws:ecs:eu-west-1:123456789012:task/prod/{n:032x}")
}

async fn serve(State(script): State<Arc<Script>>, body: String) -> impl IntoResponse {
    let asked: Value = serde_json::from_str(&body).unwrap();
    let tasks: Vec<_> = asked["tasks"].as_array().into_iter().flatten().map(|id| described(id, "RUNNING")).collect();
    script.asked.lock().unwrap().push(asked);
    // What comes meanwhile waits.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let scripted = script.next.lock().unwrap().pop_front();
    let (status, body) = scripted.unwrap_or((200, json!({"tasks": tasks, "failures": []}).to_string()));
    (StatusCode::from_u16(status).unwrap(), [("content-type", "application/x-amz-json-1.1")], body)
}

fn described(id: &Value, status: &str) -> Value {
    let arn = format!("arn:aws:ecs:eu-west-1:123456789012:task/prod/{}", id.as_str().unwrap());
    json!({"taskArn": arn, "lastStatus": status, "desiredStatus": "RUNNING", "version": 3})
}

async fn client() -> (Ecs, Arc<Script>) {
    let script = Arc::new(Script::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().route("/", post(serve)).with_state(script.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let connections = Connections::system();
    let loader = store::lean(&connections, LIMIT).endpoint_url(endpoint);
    let loader = loader.region(aws_config::Region::from_static("eu-west-1"));
    let config = loader.credentials_provider(Credentials::new("a", "b", None, None, "test")).load().await;
    (Ecs::start(config, connections, 50, EcsMetrics::default()).unwrap(), script)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

#[tokio::test]
async fn lookups_that_wait_are_one_call() {
    let (ecs, script) = client().await;
    let lookups: Vec<_> = (0..120)
        .map(|n| {
            let ecs = ecs.clone();
            tokio::spawn(async move { ecs.task("prod", &arn(n), soon()).await })
        })
        .collect();
    for (n, lookup) in lookups.into_iter().enumerate() {
        assert_eq!(lookup.await.unwrap().unwrap().unwrap().arn, arn(n));
    }
    assert!((2..=4).contains(&script.calls()), "{} calls", script.calls());
}

#[tokio::test]
async fn a_sweep_is_a_call_for_each_hundred() {
    let (ecs, script) = client().await;
    let arns: Vec<_> = (0..250).map(arn).chain(["arn:aws:nonsense".to_owned()]).collect();
    let arns: Vec<_> = arns.iter().map(String::as_str).collect();
    let answers = ecs.tasks("prod", &arns).await.unwrap();
    assert_eq!((answers.len(), script.calls()), (250, 3));
    assert!(answers.values().all(|answer| matches!(answer, Answer::Task(task) if task.version == 3)));
}

#[tokio::test]
async fn missing_is_told_from_silence_and_from_other_failures() {
    let (ecs, script) = client().await;
    let failure = |n: usize, reason: &str| json!({"arn": arn(n), "reason": reason});
    script.answer(200, json!({"tasks": [], "failures": [failure(1, "MISSING"), failure(2, "THROTTLED")]}));
    let arns = [1, 2, 3].map(arn);
    let answers = ecs.tasks("prod", &arns.each_ref().map(String::as_str)).await.unwrap();
    assert_eq!(answers, HashMap::from([(arn(1), Answer::Missing)]));
    script.answer(200, json!({"tasks": [], "failures": [failure(1, "MISSING")]}));
    assert_eq!(ecs.task("prod", &arn(1), soon()).await.unwrap(), None);
    let calls = script.calls();
    assert_eq!(ecs.task("prod", &arn(1), soon()).await.unwrap(), None, "told without a call");
    assert_eq!(script.calls(), calls);
    script.answer(200, json!({"tasks": [], "failures": [failure(2, "THROTTLED")]}));
    assert!(ecs.task("prod", &arn(2), soon()).await.unwrap_err().passes());
}

#[tokio::test]
async fn a_task_of_another_account_is_none() {
    let (ecs, _script) = client().await;
    let elsewhere = arn(1).replace("123456789012", "999999999999");
    assert_eq!(ecs.task("prod", &elsewhere, soon()).await.unwrap(), None);
    assert_eq!(ecs.tasks("prod", &[&elsewhere]).await.unwrap(), HashMap::from([(elsewhere, Answer::Missing)]));
}

#[tokio::test]
async fn trouble_that_passes_is_told_from_a_refusal() {
    let (ecs, script) = client().await;
    let coded = |code: &str| json!({"__type": code, "message": "words"});
    let denied = "AccessDeniedException";
    for (status, body, kind) in [
        (400, coded("ThrottlingException").to_string(), Trouble::Throttled),
        (429, "slow down".into(), Trouble::Throttled),
        (500, coded("ServerException").to_string(), Trouble::Away),
        (503, "<html>".into(), Trouble::Away),
        (200, "<html>".into(), Trouble::Away),
        (200, "{\"tasks\": 7}".into(), Trouble::Away),
        (400, coded(denied).to_string(), Trouble::Denied),
        (400, coded("ClusterNotFoundException").to_string(), Trouble::Denied),
        (400, coded("ExpiredTokenException").to_string(), Trouble::Denied),
    ] {
        script.answer(status, &body);
        let error = ecs.task("prod", &arn(1), soon()).await.unwrap_err();
        assert_eq!((error.kind, ecs.failing_since().is_some()), (kind, true), "{status} {body}: {error}");
    }
    assert!(ecs.task("prod", &arn(1), soon()).await.unwrap().is_some());
    assert_eq!(ecs.failing_since(), None);
    script.answer(200, "{}");
    assert_eq!(ecs.task("prod", &arn(1), soon()).await.unwrap_err().kind, Trouble::Away, "it said nothing");
}

#[tokio::test]
async fn nobody_waits_longer_than_he_said() {
    let (ecs, _script) = client().await;
    let began = Instant::now();
    let error = ecs.task("prod", &arn(1), began + Duration::from_millis(10)).await.unwrap_err();
    assert!(error.passes() && began.elapsed() < Duration::from_millis(45), "{error}");
}

#[tokio::test]
async fn a_list_is_read_to_its_end() {
    let (ecs, script) = client().await;
    script.answer(200, json!({"taskArns": [arn(1), arn(2)], "nextToken": "more"}));
    script.answer(200, json!({"taskArns": [arn(3)]}));
    assert_eq!(ecs.list("prod").await.unwrap(), [1, 2, 3].map(arn));
    let asked = script.asked.lock().unwrap().clone();
    assert_eq!((&asked[1]["nextToken"], &asked[1]["desiredStatus"]), (&json!("more"), &json!("RUNNING")));
}
