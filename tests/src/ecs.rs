//! A small ECS for one machine: it runs the containers of a task definition as processes, in the order, with the signals
//! and within the times of the ECS agent, tells them about themselves as the metadata endpoint does, and schedules
//! services as ECS does. So the very task definitions that the docs ship are what the tests deploy.
//!
//! ```text
//! service (how many, which revision) -> agent (of one task: starts, checks, stops) -> containers (processes)
//!   schedule, pure                        order, health, pure  |-> metadata (what the endpoint answers)
//! ```
//!
//! All of ECS's own durations are divided by one number, [`Settings::scale`]. What an AWS network does and loopback does
//! not is laid over the definition in one file, `ecs/loopback`.

mod agent;
mod container;
pub mod definition;
pub mod health;
pub mod history;
pub mod image;
mod loopback;
pub mod metadata;
mod network;
mod order;
mod schedule;
pub mod service;
pub mod task;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use crate::{programs::Programs, stage::LogBook, stage::Stage};
use definition::Definition;
use metadata::Fault;
use service::Service;
use task::Task;

/// How this ECS is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What every duration of ECS and of a task definition is divided by.
    pub scale: u32,
    /// The replicas of the registry that the sidecars are sent to, whatever their definition says.
    pub replicas: Vec<SocketAddr>,
    /// Percent of the desired tasks that stay healthy in a deploy.
    pub minimum_healthy_percent: usize,
    /// Percent of the desired tasks that may run in a deploy.
    pub maximum_percent: usize,
    /// How long before SIGTERM the metadata says that the task is to stop, as with a load balancer that drains first.
    pub stopped_ahead: Duration,
    /// How the metadata of a new task fail, until they are told otherwise.
    pub metadata: Option<Fault>,
}

impl Settings {
    /// ECS's defaults, five times as fast.
    pub fn new(api: SocketAddr) -> Self {
        Self {
            scale: 5,
            replicas: vec![api],
            minimum_healthy_percent: 100,
            maximum_percent: 200,
            stopped_ahead: Duration::ZERO,
            metadata: None,
        }
    }

    /// A duration of ECS's, in this one.
    pub fn scaled(&self, real: Duration) -> Duration {
        real / self.scale
    }

    fn seconds(&self, real: u64) -> Duration {
        self.scaled(Duration::from_secs(real))
    }
}

/// A running ECS; clones share it.
#[derive(Debug, Clone)]
pub struct Ecs(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    programs: Programs,
    logs: LogBook,
    dir: PathBuf,
}

impl Ecs {
    /// One whose tasks' logs are in the stage's book. Tasks end with their handles.
    pub fn new(stage: &Stage, settings: Settings) -> Self {
        let (programs, logs, dir) = (stage.programs.clone(), stage.log_book(), stage.dir().to_owned());
        Self(Arc::new(Inner { settings, programs, logs, dir }))
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Runs one task of no service, of this revision of its definition.
    pub async fn run_task(&self, definition: &Definition, revision: u32) -> anyhow::Result<Task> {
        Task::start(self.clone(), definition, revision).await
    }

    /// A service without a definition yet, so without a task.
    pub fn service(&self, desired: usize) -> Service {
        Service::start(self.clone(), desired)
    }
}
