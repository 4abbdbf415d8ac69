//! One task, run as the ECS agent runs it: containers start in `dependsOn` order, the end of an essential one stops the
//! task unless its restart policy starts it again, and a stop goes the other way round, each next container told only
//! when those that depend on it have exited.
//!
//! A loop of its own owns the containers and turns fifty times a second; everybody else has a handle, and watches.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::Context;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, interval, timeout},
};

use super::{
    Ecs,
    container::Container,
    definition::Definition,
    health::{self, Health},
    history::History,
    metadata::{Facts, Identity, Metadata},
    network::Network,
    order::{self, Stage, Start},
};
use crate::{clock, process::Signal};

const TURN: Duration = Duration::from_millis(20);
/// Without any health check, ECS takes a task for healthy this long after it is RUNNING.
const TRUSTED_AFTER: Duration = Duration::from_secs(40);

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

#[derive(Debug)]
enum Order {
    Stop(String),
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
        let (status_sender, status) = watch::channel(first.clone());
        let (orders, inbox) = mpsc::channel(8);
        let agent = Agent {
            ecs,
            metadata: metadata.clone(),
            containers,
            status: first,
            told: status_sender,
            running_since: None,
            term_from: None,
        };
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

struct Agent {
    ecs: Ecs,
    metadata: Metadata,
    containers: Vec<Container>,
    status: Status,
    told: watch::Sender<Status>,
    running_since: Option<Instant>,
    /// When the first SIGTERM is due, once the task is to end.
    term_from: Option<Instant>,
}

impl Agent {
    async fn run(mut self, mut inbox: mpsc::Receiver<Order>) {
        let mut turns = interval(TURN);
        while self.status.phase != Phase::Stopped {
            tokio::select! {
                Some(order) = inbox.recv() => self.obey(order),
                _ = turns.tick() => {}
            }
            if let Err(error) = self.turn(Instant::now()).await {
                self.end(&format!("the agent failed: {error:#}"), Duration::ZERO);
            }
            self.tell();
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Stop(reason) => self.end(&reason, self.ecs.settings().stopped_ahead),
            Order::Signal(name, signal) => {
                // One that has ended already needs no signal.
                let container = self.containers.iter().find(|container| container.definition.name == name);
                let _ = container.map(|container| container.signal(signal));
            }
        }
    }

    fn end(&mut self, reason: &str, ahead: Duration) {
        if self.status.phase < Phase::Stopping {
            (self.status.phase, self.status.reason) = (Phase::Stopping, reason.to_owned());
        }
        let term = Instant::now() + ahead;
        self.term_from = Some(self.term_from.map_or(term, |from| from.min(term)));
    }

    async fn turn(&mut self, now: Instant) -> anyhow::Result<()> {
        for container in &mut self.containers {
            container.turn(now, self.term_from.is_none()).await?;
        }
        let gone = |c: &&Container| c.definition.essential && matches!(c.stage(), Stage::Ended(_));
        if let Some(container) = self.containers.iter().find(gone) {
            self.end(&format!("essential container {} exited", container.definition.name), Duration::ZERO);
        }
        match self.term_from {
            None => self.start().await?,
            Some(from) if now >= from => self.stop(now)?,
            Some(_) => {}
        }
        // Starting them took a moment.
        self.judge(Instant::now());
        Ok(())
    }

    async fn start(&mut self) -> anyhow::Result<()> {
        for at in 0..self.containers.len() {
            let stage = |name: &str| self.containers.iter().find(|c| c.definition.name == name).map(Container::stage);
            let container = &self.containers[at];
            if container.stage() != Stage::Pending {
                continue;
            }
            match order::start(&container.definition, stage) {
                Start::Now => self.containers[at].start().await?,
                Start::Later => {}
                Start::Never => {
                    let reason = format!("what {} depends on can no longer happen", container.definition.name);
                    self.end(&reason, Duration::ZERO);
                }
            }
        }
        Ok(())
    }

    fn stop(&mut self, now: Instant) -> anyhow::Result<()> {
        let runs = |container: &&Container| matches!(container.stage(), Stage::Running { .. });
        let running: Vec<_> = self.containers.iter().filter(runs).map(|c| c.definition.clone()).collect();
        for container in &mut self.containers {
            if order::may_stop(&container.definition.name, running.iter()) {
                container.stop(now)?;
            }
        }
        Ok(())
    }

    fn judge(&mut self, now: Instant) {
        let running = |container: &Container| matches!(container.stage(), Stage::Running { .. });
        match self.status.phase {
            Phase::Pending if self.containers.iter().all(|c| c.stage() != Stage::Pending) => {
                self.status.phase = Phase::Running;
                self.running_since = Some(now);
            }
            Phase::Stopping if !self.containers.iter().any(running) => self.status.phase = Phase::Stopped,
            _ => {}
        }
        let checked = self.containers.iter().filter(|c| c.definition.essential).filter_map(Container::health);
        let trusted = self.ecs.settings().scaled(TRUSTED_AFTER);
        let trusted = self.running_since.is_some_and(|since| now - since >= trusted);
        self.status.health = health::of_task(checked, trusted);
    }

    fn tell(&self) {
        let mut facts = Facts { stopping: self.term_from.is_some(), ..Facts::default() };
        for container in &self.containers {
            let name = || container.definition.name.clone();
            facts.stages.insert(name(), container.stage());
            facts.restarts.insert(name(), container.restarts);
            facts.ports.insert(name(), container.ports());
            facts.health.extend(container.health().map(|health| (name(), health)));
        }
        self.metadata.tell(facts);
        self.told.send_if_modified(|told| {
            let news = (told.phase, told.health) != (self.status.phase, self.status.health);
            *told = self.status.clone();
            news
        });
    }
}
