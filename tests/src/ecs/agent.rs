//! One task, run as the ECS agent runs it: containers start in `dependsOn` order, the end of an essential one stops the
//! task unless its restart policy starts it again, and a stop goes the other way round, each next container told only
//! when those that depend on it have exited.
//!
//! This loop owns the containers and turns fifty times a second; what it sees goes to the metadata and to whoever holds
//! the task's handle (`ecs/task`).

use std::time::Duration;

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, interval},
};

use super::{
    Ecs,
    container::Container,
    health,
    metadata::{Facts, Metadata},
    order::{self, Stage, Start},
    task::{Order, Phase, Status},
};

const TURN: Duration = Duration::from_millis(20);
/// Without any health check, ECS takes a task for healthy this long after it is RUNNING.
const TRUSTED_AFTER: Duration = Duration::from_secs(40);

/// The agent of one task.
pub struct Agent {
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
    /// One whose containers do not run yet.
    pub fn new(ecs: Ecs, metadata: Metadata, containers: Vec<Container>, told: watch::Sender<Status>) -> Self {
        let status = told.borrow().clone();
        Self { ecs, metadata, containers, status, told, running_since: None, term_from: None }
    }

    /// Runs the task to its end.
    pub async fn run(mut self, mut inbox: mpsc::Receiver<Order>) {
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
