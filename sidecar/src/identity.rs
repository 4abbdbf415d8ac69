//! Who this task's instances are: where they are reached, where they run, what they run, and what ECS says of them.
//!
//! Documents are fetched (`metadata`, `hostfile`, `imds`), variables are given (`given`), `decide` makes an identity of
//! both, and `watch` keeps looking. What is known once is kept: a metadata endpoint that fails later takes nothing
//! away. Nothing is registered before all instances are known, so that a task definition which is wrong registers
//! nothing at all.

use std::{net::IpAddr, sync::Arc};

use sds_types::{Endpoint, InstanceId, Locality, Revision, Tags, TaskArn};
use tokio::time::Instant;

pub mod decide;
pub mod given;
pub mod hostfile;
pub mod imds;
pub mod metadata;
mod tags;
pub mod watch;

pub use given::{Given, Host, Wants};

/// What is registered besides the health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Where clients reach the app.
    pub endpoint: Endpoint,
    /// Where the sidecar reaches the app: checks without a host go there.
    pub app: IpAddr,
    /// Region and zone.
    pub locality: Locality,
    /// What runs.
    pub revision: Revision,
    /// The task's or the host's id.
    pub instance_id: InstanceId,
    /// The ECS task.
    pub task_arn: TaskArn,
    /// The given ones and the container's labels.
    pub tags: Tags,
}

/// One instance as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Who it is.
    pub identity: Identity,
    /// Whether ECS says that the app's container has stopped.
    pub app_dead: bool,
}

/// The task as it was last seen.
#[derive(Debug, Clone)]
pub struct Sight {
    /// In the configuration's order.
    pub instances: Vec<Seen>,
    /// Whether ECS wants the task to stop.
    pub stopping: bool,
    /// The document, for checks that ask for a container's health; `None` outside of ECS.
    pub task: Option<Arc<metadata::Task>>,
    /// When it was fetched.
    pub at: Instant,
}
