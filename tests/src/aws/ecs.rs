//! A stand-in of ECS's API, as far as a registry asks: `DescribeTasks` and `ListTasks` in AWS's JSON 1.1 shape, with the
//! signatures checked. No emulator does that, nor can one be told what becomes of its tasks.
//!
//! The test says what there is and what goes wrong; the stand-in counts who asked for how much. [`Ecs::shape`] holds its answers
//! to AWS's own description of the API.

mod fault;
pub mod task;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::post,
};
pub use fault::Fault;
use serde_json::{Value, json};
use task::Task;
use tokio::{net::TcpListener, task::JoinSet, time::Instant};

use super::sigv4::{self, Secret, Seen};
use crate::{canary, clock, python::BOTOCORE};

/// Where it is.
pub const REGION: &str = "us-east-1";
/// Whose it is.
pub const ACCOUNT: &str = "123456789012";
/// The most tasks of one call.
const TASKS: usize = 100;

/// The registry's own credentials, as a role has them.
const KEY: &str = "registry/secret+key/0123456789";
const TOKEN: &str = "IQoJregistryEXAMPLEsessiontoken0123456789==";

/// A call that came.
#[derive(Debug, Clone)]
pub struct Call {
    /// `DescribeTasks` or `ListTasks`.
    pub action: String,
    /// How many tasks it named.
    pub names: usize,
    /// When.
    pub at: Instant,
    /// What it was answered.
    pub status: u16,
}

#[derive(Debug, Default)]
struct World {
    /// By ARN.
    tasks: BTreeMap<String, Task>,
    fault: Option<Fault>,
    calls: Vec<Call>,
    refused: Vec<String>,
}

/// A running one.
#[derive(Debug)]
pub struct Ecs {
    /// Where it listens.
    pub addr: SocketAddr,
    endpoint: String,
    world: Arc<Mutex<World>>,
    _serving: JoinSet<()>,
}

impl Ecs {
    /// Starts one without tasks.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let world = Arc::new(Mutex::new(World::default()));
        let app = Router::new().route("/", post(serve)).with_state(world.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            // It ends with the stand-in.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { addr, endpoint: format!("http://{addr}"), world, _serving: serving })
    }

    /// What a registry needs to ask it about this cluster.
    pub fn env<'a>(&'a self, cluster: &'a str) -> Vec<(&'a str, &'a str)> {
        canary::plant(KEY);
        canary::plant(TOKEN);
        vec![
            ("SDS_ECS_CLUSTERS", cluster),
            ("AWS_ENDPOINT_URL_ECS", &self.endpoint),
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", KEY),
            ("AWS_SESSION_TOKEN", TOKEN),
        ]
    }

    /// A task begins; tells its ARN.
    pub fn run(&self, task: Task) -> String {
        let arn = task.arn.clone();
        self.world().tasks.insert(arn.clone(), task);
        arn
    }

    /// A task changes; its version rises.
    pub fn change(&self, arn: &str, change: impl FnOnce(&mut Task)) {
        if let Some(task) = self.world().tasks.get_mut(arn) {
            change(task);
            task.version += 1;
        }
    }

    /// ECS forgets a task.
    pub fn forget(&self, arn: &str) {
        self.world().tasks.remove(arn);
    }

    /// From now on each call fails so, or none.
    pub fn fails(&self, fault: Option<Fault>) {
        self.world().fault = fault;
    }

    /// The calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.world().calls.clone()
    }

    /// How many there were, failed ones too.
    pub fn count(&self) -> usize {
        self.world().calls.len()
    }

    /// Whether AWS's own model describes what it answers: no unknown key, no value of another type.
    pub async fn shape(answers: &[(&str, Value)]) -> anyhow::Result<()> {
        let questions: Vec<_> =
            answers.iter().map(|(operation, answer)| json!({"operation": operation, "answer": answer})).collect();
        let verdicts = BOTOCORE.judge(include_str!("../../python/check_ecs.py"), &questions).await?;
        let wrong: Vec<_> = verdicts.into_iter().filter(|verdict| !verdict.is_empty()).collect();
        anyhow::ensure!(wrong.is_empty(), "{}", wrong.join("; "));
        Ok(())
    }

    /// How moto 5.2.5, which other people wrote, described a task of its own: `run_task` on Fargate in awsvpc mode, then
    /// `describe_tasks` by the end of the ARN.
    pub fn motos_task() -> anyhow::Result<Value> {
        Ok(serde_json::from_str(include_str!("ecs/moto.json"))?)
    }

    /// What it answers to a call, whoever asks.
    pub fn says(&self, action: &str, asked: &Value) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.world().answer(action, asked).1)?)
    }

    /// Why signatures were refused.
    pub fn refused(&self) -> Vec<String> {
        self.world().refused.clone()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }
}

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(
    State(world): State<Arc<Mutex<World>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let action = target.strip_prefix("AmazonEC2ContainerServiceV20141113.").unwrap_or(target).to_owned();
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let names = asked["tasks"].as_array().map_or(0, Vec::len);
    let fault = lock(&world).fault.clone();
    let failed = match fault {
        Some(fault) => fault.answer().await,
        None => None,
    };
    let (status, body) = failed.unwrap_or_else(|| {
        let seen = Seen { method: &method, uri: &uri, headers: &headers, body: &body };
        let known = |id: &str| (id == "test").then(|| Secret { key: KEY.to_owned(), token: Some(TOKEN.to_owned()) });
        let mut world = lock(&world);
        match sigv4::verify(&seen, REGION, "ecs", known, clock::epoch_seconds()) {
            Ok(_) => world.answer(&action, &asked),
            Err(why) => {
                world.refused.push(why.to_owned());
                error(why)
            }
        }
    });
    lock(&world).calls.push(Call { action, names, at: Instant::now(), status });
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [("content-type", "application/x-amz-json-1.1")], body).into_response()
}

fn error(code: &str) -> (u16, String) {
    (400, json!({"__type": code, "message": "said the stand-in"}).to_string())
}

impl World {
    fn answer(&mut self, action: &str, asked: &Value) -> (u16, String) {
        let cluster = asked["cluster"].as_str().unwrap_or("default");
        let cluster = cluster.rsplit('/').next().unwrap_or(cluster).to_owned();
        match action {
            "DescribeTasks" => self.describe(&cluster, asked),
            "ListTasks" => self.list(&cluster, asked),
            _ => error("InvalidAction"),
        }
    }

    fn describe(&mut self, cluster: &str, asked: &Value) -> (u16, String) {
        let Some(names) = asked["tasks"].as_array().filter(|names| (1..=TASKS).contains(&names.len())) else {
            return error("InvalidParameterException");
        };
        let (mut tasks, mut failures) = (Vec::new(), Vec::new());
        for name in names {
            let id = name.as_str().unwrap_or_default();
            let id = id.rsplit('/').next().unwrap_or(id);
            if !matches!(id.len(), 32 | 36) {
                return error("InvalidParameterException");
            }
            let arn = task::arn(cluster, id);
            match self.tasks.get_mut(&arn) {
                Some(task) if task.hidden_for == 0 => tasks.push(task.described()),
                Some(task) => {
                    task.hidden_for -= 1;
                    failures.push(json!({"arn": arn, "reason": task.failure}));
                }
                None => failures.push(json!({"arn": arn, "reason": "MISSING"})),
            }
        }
        (200, json!({"tasks": tasks, "failures": failures}).to_string())
    }

    fn list(&self, cluster: &str, asked: &Value) -> (u16, String) {
        let wanted = asked["desiredStatus"].as_str().unwrap_or("RUNNING");
        let after = asked["nextToken"].as_str().unwrap_or_default();
        let of = task::arn(cluster, "");
        let of_cluster = self.tasks.values().filter(|task| task.arn.starts_with(&of) && task.desired == wanted);
        let rest: Vec<_> = of_cluster.map(|task| task.arn.as_str()).filter(|arn| *arn > after).collect();
        let page: Vec<_> = rest.iter().take(TASKS).copied().collect();
        let mut answer = json!({"taskArns": page});
        if rest.len() > page.len() {
            answer["nextToken"] = json!(page.last());
        }
        (200, answer.to_string())
    }
}
