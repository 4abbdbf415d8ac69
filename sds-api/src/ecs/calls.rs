//! How ECS is called: one task owns the queue, makes the calls that it names, each within its time and without a second try
//! (a sweep comes again, and so does a sidecar), and tells everybody who waits for one.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use aws_sdk_ecs::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    types::DesiredStatus,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use super::{
    EcsError, Health, Trouble,
    queue::{Call, Lookup, Queue, Request},
    task::Task,
};
use crate::{
    metrics::EcsMetrics,
    store::{self, Connections},
};

/// For one call, its connection included.
pub const LIMIT: Duration = Duration::from_secs(2);

/// What came of a call.
pub type Outcome = Result<Arc<Said>, EcsError>;
/// Who waits for it.
pub type Waiting = oneshot::Sender<Outcome>;

/// What ECS said.
#[derive(Debug, Default)]
pub struct Said {
    /// The tasks that it described, by their ids.
    pub tasks: HashMap<String, Arc<Task>>,
    /// The ids of which it said that there is no such task.
    pub missing: HashSet<String>,
    /// The ARNs that it listed.
    pub listed: Vec<String>,
    /// Where the list goes on.
    pub page: Option<String>,
}

/// What is asked of the one task.
#[derive(Debug)]
pub enum Ask {
    /// By somebody who waits.
    Lookup(Lookup<Waiting>),
    /// By a loop.
    Bulk(Request, Waiting),
}

/// What calls are made with.
#[derive(Debug, Clone)]
pub struct Caller {
    pub client: Client,
    pub connections: Connections,
    pub metrics: EcsMetrics,
    pub health: Arc<Health>,
}

/// Makes calls until nobody can ask any more.
pub async fn run(caller: Caller, mut queue: Queue<Waiting>, mut asks: mpsc::Receiver<Ask>) {
    let mut under_way = JoinSet::new();
    loop {
        while let Some(call) = queue.next(Instant::now()) {
            under_way.spawn(caller.clone().make(call));
        }
        let ready = queue.ready(Instant::now());
        tokio::select! {
            ask = asks.recv() => match ask {
                None => return,
                Some(Ask::Bulk(request, waiting)) => queue.bulk(request, waiting),
                Some(Ask::Lookup(lookup)) => {
                    if let Some(refused) = queue.look_up(lookup) {
                        let _ = refused.send(Err(EcsError::away("DescribeTasks", "too many wait for it")));
                    }
                }
            },
            Some(ended) = under_way.join_next() => queue.ended(ended.unwrap_or(true)),
            () = sleep_until(ready.unwrap_or_else(Instant::now)), if ready.is_some() => {}
        }
    }
}

impl Caller {
    /// Makes a call and tells; whether it was an urgent one.
    async fn make(self, call: Call<Waiting>) -> bool {
        let began = Instant::now();
        let name = match &call.request {
            Request::Describe { .. } => "DescribeTasks",
            Request::List { .. } => "ListTasks",
        };
        let outcome = match timeout(LIMIT, self.answer(call.request)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                self.connections.doubt(began);
                Err(EcsError::away(name, "no answer in time"))
            }
        };
        self.metrics.called(name, outcome.as_ref().err().map(|error| error.kind));
        self.health.ended(outcome.as_ref().err(), Instant::now());
        let outcome = outcome.map(Arc::new);
        for waiting in call.waiting {
            let _ = waiting.send(outcome.clone());
        }
        call.urgent
    }

    async fn answer(&self, request: Request) -> Result<Said, EcsError> {
        match request {
            Request::Describe { cluster, ids } => {
                let call = self.client.describe_tasks().cluster(cluster).set_tasks(Some(ids));
                let answer = call.send().await.map_err(|error| failed("DescribeTasks", &error))?;
                let mut said = Said::default();
                for task in answer.tasks.unwrap_or_default() {
                    let task = Task::from(task);
                    said.tasks.insert(id(&task.arn).to_owned(), Arc::new(task));
                }
                for failure in answer.failures.unwrap_or_default() {
                    let (arn, reason) = (failure.arn().unwrap_or_default(), failure.reason().unwrap_or_default());
                    if reason == "MISSING" {
                        said.missing.insert(id(arn).to_owned());
                    } else {
                        tracing::debug!(task = arn, reason, "ECS could not describe a task");
                    }
                }
                Ok(said)
            }
            Request::List { cluster, page } => {
                let call = self.client.list_tasks().cluster(cluster).desired_status(DesiredStatus::Running);
                let answer = call.set_next_token(page).send().await.map_err(|error| failed("ListTasks", &error))?;
                Ok(Said { listed: answer.task_arns.unwrap_or_default(), page: answer.next_token, ..Said::default() })
            }
        }
    }
}

/// What names a task within its cluster.
pub fn id(arn: &str) -> &str {
    arn.rsplit_once('/').map_or(arn, |(_, id)| id)
}

fn failed<E>(call: &'static str, error: &SdkError<E, HttpResponse>) -> EcsError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let failed = store::failed(call, error);
    let kind = match failed.kind {
        store::Trouble::Away => Trouble::Away,
        store::Trouble::Throttled => Trouble::Throttled,
        store::Trouble::Refused => Trouble::Denied,
    };
    EcsError { call, kind, cause: failed.cause }
}
