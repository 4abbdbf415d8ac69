//! What ECS knows of tasks: the client through which this registry asks, and nobody else in it calls AWS's ECS.
//!
//! - `DescribeTasks` takes a hundred tasks, and its rate is the account's. So lookups that wait are put together
//!   (`queue`), all calls pass one bucket (`bucket`), and a no is remembered for seconds (`recent`).
//! - That there is no such task is said by ECS in so many words, never concluded from an error. A task that has just begun may
//!   be unknown for some seconds (AWS's manual: eventual consistency), so a first "no such task" is a reason to try again.
//! - With ECS away nothing is known, and nothing follows from that: [`Ecs::failing_since`] tells how long.
//!
//! Nothing here was tried against AWS itself; the names and shapes are its SDK's.

mod absent;
mod bucket;
mod calls;
mod clusters;
mod queue;
mod recent;
mod share;
mod task;
mod unregistered;
mod versions;
mod watch;
mod word;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use sds_types::{TaskArnParts, command::Misconfigured};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};

pub use clusters::{Cluster, Clusters};
pub use task::Task;
#[cfg(test)]
pub use task::{Container, HostPort};
pub use unregistered::Unseen;
pub use watch::{Change, Told, Watch};

use crate::{
    metrics::EcsMetrics,
    store::{self, Connections},
};
use bucket::Bucket;
use calls::{Ask, Caller, LIMIT, Outcome};
use queue::{Lookup, Queue, Request, TASKS};
use recent::Recent;

/// A call of ECS that brought no answer to work with.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{call} failed: {cause}")]
pub struct EcsError {
    /// The API call.
    pub call: &'static str,
    /// What kind of trouble it is.
    pub kind: Trouble,
    /// ECS's or the connection's words: for logs, not for answers.
    pub cause: String,
}

/// Kinds of trouble with ECS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It did not answer, or nothing to work with, or said that it is in trouble itself: it passes.
    Away,
    /// The account's limit is reached: it passes, too.
    Throttled,
    /// It refuses us (no permission, no such cluster, expired credentials): an operator is needed.
    Denied,
}

impl EcsError {
    fn away(call: &'static str, cause: impl Into<String>) -> Self {
        Self { call, kind: Trouble::Away, cause: cause.into() }
    }

    /// Whether it may pass by itself: not a refusal.
    pub fn passes(&self) -> bool {
        self.kind != Trouble::Denied
    }
}

/// What ECS says of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It knows it.
    Task(Arc<Task>),
    /// It says that there is no such task, or none of this name any more.
    Missing,
}

/// How the calls go.
#[derive(Debug, Default)]
struct Health(Mutex<Option<Instant>>);

impl Health {
    fn ended(&self, error: Option<&EcsError>, now: Instant) {
        let mut failing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match error {
            // It was answered: that we may not ask is no reason to take anybody's word for longer.
            Some(error) if error.kind == Trouble::Denied => tracing::error!(%error, "ECS does not let us ask"),
            Some(error) if failing.is_none() => {
                *failing = Some(now);
                tracing::warn!(%error, "ECS cannot be asked: what it said last stands");
            }
            Some(error) => tracing::debug!(%error, "ECS cannot be asked"),
            None if failing.take().is_some() => tracing::info!("ECS answers again"),
            None => {}
        }
    }

    fn failing_since(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The client; clones share its queue and what it remembers.
#[derive(Debug, Clone)]
pub struct Ecs {
    asks: mpsc::Sender<Ask>,
    recent: Arc<Mutex<Recent>>,
    health: Arc<Health>,
    region: String,
    account: Arc<OnceLock<String>>,
}

/// Asks that may wait at the queue's door.
const ASKS: usize = 1024;

impl Ecs {
    /// A client by the SDK's own variables (`AWS_REGION`, the credentials' chain, `AWS_ENDPOINT_URL_ECS`), which makes at most
    /// `rate` calls a second. It ends when its last clone is dropped.
    pub async fn connect(rate: u32, metrics: EcsMetrics) -> Result<Self, Misconfigured> {
        let connections = Connections::system();
        Self::start(store::lean(&connections, LIMIT).load().await, connections, rate, metrics)
    }

    fn start(
        config: aws_config::SdkConfig,
        connections: Connections,
        rate: u32,
        metrics: EcsMetrics,
    ) -> Result<Self, Misconfigured> {
        let Some(region) = config.region().map(ToString::to_string) else {
            return Err(store::no_region());
        };
        let (asks, inbox) = mpsc::channel(ASKS);
        let health = Arc::new(Health::default());
        let client = aws_sdk_ecs::Client::new(&config);
        let caller = Caller { client, connections, metrics, health: health.clone() };
        tokio::spawn(calls::run(caller, Queue::new(Bucket::new(rate, Instant::now())), inbox));
        Ok(Self { asks, recent: Arc::default(), health, region, account: Arc::default() })
    }

    /// The region that is asked.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The account that answers; unknown before the first task that it described.
    pub fn account(&self) -> Option<&str> {
        self.account.get().map(String::as_str)
    }

    fn learn(&self, answer: Option<&Answer>) {
        if let (None, Some(Answer::Task(task))) = (self.account(), answer)
            && let Some(name) = TaskArnParts::parse(&task.arn)
        {
            let _ = self.account.set(name.arn.account.to_owned());
        }
    }

    /// One task of a cluster (its name or ARN), for somebody who waits until `deadline`. `None`: ECS says that there is no such
    /// task, which of one that has just begun means "ask again in a moment"; within 5 s it is told without a call. A
    /// task of this id with another ARN (of another account or region) is none.
    pub async fn task(&self, cluster: &str, arn: &str, deadline: Instant) -> Result<Option<Arc<Task>>, EcsError> {
        if let Some(no) = self.recent().no(arn, Instant::now()) {
            return Ok(no);
        }
        let Some(name) = TaskArnParts::parse(arn) else { return Ok(None) };
        let (waiting, said) = oneshot::channel();
        let lookup = Lookup { cluster: cluster.to_owned(), id: name.id.to_owned(), deadline, waiting };
        let answer = match self.ask(Ask::Lookup(lookup), said, deadline).await?.get(name.id) {
            Some(Answer::Task(task)) if task.arn == arn => Some(task),
            Some(_) => None,
            None => return Err(EcsError::away("DescribeTasks", "it said nothing of this task")),
        };
        self.recent().answered(arn, &answer, Instant::now());
        Ok(answer)
    }

    /// Many tasks of a cluster, for a loop: a call for each hundred of them. One of which ECS says nothing is left out of the
    /// answer, and so is what is no task's ARN.
    pub async fn tasks(&self, cluster: &str, arns: &[&str]) -> Result<HashMap<String, Answer>, EcsError> {
        let named: Vec<_> = arns.iter().filter_map(|arn| Some((*arn, TaskArnParts::parse(arn)?.id))).collect();
        let mut answers = HashMap::new();
        for some in named.chunks(TASKS) {
            let ids = some.iter().map(|(_, id)| (*id).to_owned()).collect();
            let said = self.bulk(Request::Describe { cluster: cluster.to_owned(), ids }).await?;
            for (arn, id) in some {
                self.learn(said.get(id).as_ref());
                let answer = match said.get(id) {
                    Some(Answer::Task(task)) if task.arn != *arn => Some(Answer::Missing),
                    answer => answer,
                };
                answers.extend(answer.map(|answer| ((*arn).to_owned(), answer)));
            }
        }
        Ok(answers)
    }

    /// The ARNs of all tasks of a cluster that are to run.
    pub async fn list(&self, cluster: &str) -> Result<Vec<String>, EcsError> {
        /// The most pages, of a hundred each (AWS's API reference).
        const PAGES: usize = 200;
        let (mut arns, mut page) = (Vec::new(), None);
        for _ in 0..PAGES {
            let said = self.bulk(Request::List { cluster: cluster.to_owned(), page }).await?;
            arns.extend_from_slice(&said.listed);
            page = said.page.clone();
            if page.is_none() {
                return Ok(arns);
            }
        }
        Err(EcsError::away("ListTasks", "the list has no end"))
    }

    /// Since when every call has failed; `None` when the last one was answered, or none was made.
    pub fn failing_since(&self) -> Option<Instant> {
        self.health.failing_since()
    }

    async fn bulk(&self, request: Request) -> Outcome {
        /// Lookups go first, but not for ever.
        const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
        let (waiting, said) = oneshot::channel();
        self.ask(Ask::Bulk(request, waiting), said, Instant::now() + PATIENCE).await
    }

    async fn ask(&self, ask: Ask, said: oneshot::Receiver<Outcome>, deadline: Instant) -> Outcome {
        let asked = async {
            self.asks.send(ask).await.ok()?;
            said.await.ok()
        };
        let late = || EcsError::away("DescribeTasks", "its turn did not come in time");
        timeout_at(deadline, asked).await.ok().flatten().ok_or_else(late)?
    }

    fn recent(&self) -> std::sync::MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl calls::Said {
    fn get(&self, id: &str) -> Option<Answer> {
        match self.tasks.get(id) {
            Some(task) => Some(Answer::Task(task.clone())),
            None => self.missing.contains(id).then_some(Answer::Missing),
        }
    }
}

#[cfg(test)]
mod tests;
