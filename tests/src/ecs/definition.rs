//! A task definition, as `aws ecs register-task-definition --cli-input-json` takes it: the part of it that decides what
//! runs, in which order, and when it counts as fit.
//!
//! Everything else in the file (roles, logs, CPU) means nothing to processes on one machine and is passed over; whether
//! AWS would take the whole file is asked of AWS's own model (`tests/python/check_definition.py`).

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::python::BOTOCORE;

/// Where the definitions lie that the docs ship.
const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sidecar/examples");

/// A task definition.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Definition {
    /// Its name; each registration of it is a revision.
    pub family: String,
    /// How its containers are reached.
    pub network_mode: NetworkMode,
    /// `FARGATE`, `EC2`.
    #[serde(default)]
    pub requires_compatibilities: Vec<String>,
    /// Its containers, in no order that matters.
    pub container_definitions: Vec<Container>,
}

/// How the containers of a task are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// One interface for each task.
    Awsvpc,
    /// An address for each container, that only its host can reach, and ports on the host.
    Bridge,
    /// The host's own.
    Host,
}

/// One container.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// Its name in the task.
    pub name: String,
    /// What it runs.
    pub image: String,
    /// Instead of the image's own arguments.
    #[serde(default)]
    pub command: Vec<String>,
    /// Whether the task ends with it.
    #[serde(default = "yes")]
    pub essential: bool,
    /// Its variables.
    #[serde(default, deserialize_with = "pairs")]
    pub environment: BTreeMap<String, String>,
    /// What must have happened before it starts.
    #[serde(default)]
    pub depends_on: Vec<Dependency>,
    /// Seconds from SIGTERM to SIGKILL; ECS's own default is 30.
    pub stop_timeout: Option<u64>,
    /// Whether it is started again within its task.
    pub restart_policy: Option<RestartPolicy>,
    /// How Docker asks it whether it is well.
    pub health_check: Option<HealthCheck>,
    /// The ports that it listens at.
    #[serde(default)]
    pub port_mappings: Vec<PortMapping>,
    /// Shown in the metadata beside ECS's own.
    #[serde(default)]
    pub docker_labels: BTreeMap<String, String>,
}

/// One edge of the start order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// The other container.
    pub container_name: String,
    /// What it must have done.
    pub condition: Condition,
}

/// What another container must have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Condition {
    /// Started.
    Start,
    /// Ended.
    Complete,
    /// Ended with 0.
    Success,
    /// Passed its health check.
    Healthy,
}

/// When a container is started again.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestartPolicy {
    /// Whether at all.
    pub enabled: bool,
    /// Only if it had run for these seconds.
    #[serde(default = "five_minutes")]
    pub restart_attempt_period: u64,
    /// Not after these.
    #[serde(default)]
    pub ignored_exit_codes: Vec<i32>,
}

/// Docker's health check, in seconds.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// `CMD` and a program with its arguments, or `CMD-SHELL` and a line.
    pub command: Vec<String>,
    /// From the end of one to the start of the next.
    #[serde(default = "half_a_minute")]
    pub interval: u64,
    /// For one.
    #[serde(default = "five")]
    pub timeout: u64,
    /// Failures in a row that make it unhealthy.
    #[serde(default = "three")]
    pub retries: u32,
    /// How long failures do not count, unless one has passed.
    #[serde(default)]
    pub start_period: u64,
}

/// A port of a container.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    /// In the container.
    pub container_port: u16,
    /// On the host; 0 or nothing in bridge mode: any free one.
    pub host_port: Option<u16>,
}

impl Definition {
    /// Reads a file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }

    /// One that the docs ship: `fargate`, `ec2-bridge`, `ec2-host`.
    pub fn shipped(name: &str) -> anyhow::Result<Self> {
        Self::read(&Self::path(name))
    }

    /// Whether AWS takes such a file, by its own model of the call: the error names keys that do not exist there, values
    /// of the wrong type and words that it does not list.
    pub async fn aws_takes(file: Value) -> anyhow::Result<()> {
        let verdicts = BOTOCORE.judge(include_str!("../../python/check_definition.py"), &[file]).await?;
        let wrong: Vec<_> = verdicts.into_iter().filter(|verdict| !verdict.is_empty()).collect();
        ensure!(wrong.is_empty(), "{}", wrong.join("; "));
        Ok(())
    }

    /// The path of one that the docs ship.
    pub fn path(name: &str) -> PathBuf {
        Path::new(SHIPPED).join(format!("{name}.json"))
    }

    /// The same with one variable of one container set otherwise.
    pub fn with(self, container: &str, variable: &str, value: &str) -> anyhow::Result<Self> {
        self.changed(container, |container| {
            container.environment.insert(variable.to_owned(), value.to_owned());
        })
    }

    /// The same with one container changed.
    pub fn changed(mut self, container: &str, change: impl FnOnce(&mut Container)) -> anyhow::Result<Self> {
        let found = self.container_definitions.iter_mut().find(|c| c.name == container);
        change(found.with_context(|| format!("no container '{container}' in {}", self.family))?);
        Ok(self)
    }
}

fn pairs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    #[derive(Deserialize)]
    struct Pair {
        name: String,
        value: String,
    }
    let pairs = Vec::<Pair>::deserialize(deserializer)?;
    Ok(pairs.into_iter().map(|Pair { name, value }| (name, value)).collect())
}

fn yes() -> bool {
    true
}

fn three() -> u32 {
    3
}

fn five() -> u64 {
    5
}

fn half_a_minute() -> u64 {
    30
}

fn five_minutes() -> u64 {
    300
}
