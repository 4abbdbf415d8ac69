//! The handle of one task: it tells what ECS knows of it and what has happened, and takes orders. `ecs/agent` runs it.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::Context;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

use super::{
    Ecs,
    agent::Agent,
    container::Container,
    definition::Definition,
    health::Health,
    history::History,
    metadata::{Identity, Metadata},
    network::Network,
};
use crate::{clock, process::Signal};

/// Where a task is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not all of its containers have started.
    Pending,
    /// All have.
    Running,
    /// It is to end.
    Stopping,
    /// All have ended.
    Stopped,
}

/// What ECS knows of a task.
#[derive(Debug, Clone)]
pub struct Status {
    /// Where it is in its life.
    pub phase: Phase,
    /// What it is taken for.
    pub health: Health,
    /// Why it is to end; empty before.
    pub reason: String,
}

/// A running task; it ends at once, by SIGKILL, with its handle.
#[derive(Debug)]
pub struct Task {
    /// What its containers are told about themselves.
    pub metadata: Metadata,
    /// What has happened to it.
    pub history: History,
    status: watch::Receiver<Status>,
    orders: mpsc::Sender<Order>,
    runner: JoinHandle<()>,
}

/// What the agent is told to do.
#[derive(Debug)]
pub(super) enum Order {
    /// Stop the task, for this reason.
    Stop(String),
    /// Send a signal to one container.
    Signal(String, Signal),
}

impl Task {
    pub(super) async fn start(ecs: Ecs, definition: &Definition, revision: u32) -> anyhow::Result<Self> {
        let network = Network::new(definition.network_mode);
        let identity = Identity { id: new_id(), definition: definition.clone(), revision, network };
        let metadata = Metadata::start(identity).await?;
        metadata.fail(ecs.settings().metadata.clone());
        let history = History::default();
        let container =
            |container| Container::new(ecs.clone(), metadata.clone(), history.clone(), Clone::clone(container));
        let containers = definition.container_definitions.iter().map(container).collect();
        let first = Status { phase: Phase::Pending, health: Health::Unknown, reason: String::new() };
        let ((told, status), (orders, inbox)) = (watch::channel(first), mpsc::channel(8));
        let agent = Agent::new(ecs, metadata.clone(), containers, told);
        let runner = tokio::spawn(agent.run(inbox));
        Ok(Self { metadata, history, status, orders, runner })
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.metadata.identity().id
    }

    /// What ECS knows of it now.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Has it stopped, as ECS does; nothing to do if it has ended.
    pub async fn stop(&self, reason: &str) {
        drop(self.orders.send(Order::Stop(reason.to_owned())).await);
    }

    /// Sends a signal to one container, as whatever kills or freezes it does.
    pub async fn signal(&self, container: &str, signal: Signal) -> anyhow::Result<()> {
        self.orders.send(Order::Signal(container.to_owned(), signal)).await.context("the task has ended")
    }

    /// Waits until its status is such.
    pub async fn until(&self, what: impl Fn(&Status) -> bool, within: Duration) -> anyhow::Result<Status> {
        let mut status = self.status.clone();
        let seen = timeout(within, status.wait_for(|status| what(status))).await;
        let seen = seen.ok().and_then(Result::ok).map(|status| status.clone());
        seen.with_context(|| {
            format!("task {}: not within {within:?}, it is {:?}: {}", self.id(), self.status(), self.history.trace())
        })
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.runner.abort();
    }
}

/// The last 16 digits are the time, so that it is nobody else's; the first ones are for people who read a log.
fn new_id() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{count:08x}{:08x}{:016x}", std::process::id(), clock::epoch_seconds())
}
