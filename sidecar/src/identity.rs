//! Who this instance is: where it is reached, where it runs, what it runs.
//!
//! Documents are fetched (`metadata`), variables are given (`given`), and `decide` makes an identity of both. What is
//! given by hand needs no document and is known at once; the rest is asked for until it is known, however long that
//! takes, and then kept: a metadata endpoint that fails later takes nothing away.

use std::time::Duration;

use reqwest::Url;
use sds_types::{Endpoint, InstanceId, Locality, Revision, TaskArn};

pub mod decide;
pub mod given;
pub mod metadata;

pub use given::Given;

const FIRST: Duration = Duration::from_millis(250);
const CAP: Duration = Duration::from_secs(30);

/// What is registered besides the health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Where clients reach the app.
    pub endpoint: Endpoint,
    /// Region and zone.
    pub locality: Locality,
    /// What runs.
    pub revision: Revision,
    /// The task's id.
    pub instance_id: InstanceId,
    /// The ECS task.
    pub task_arn: TaskArn,
}

/// Asks the metadata endpoint until it gives an identity: quickly at first, then every 30 s at most, with jitter.
pub async fn learn(url: Url, given: Given) -> Identity {
    let source = metadata::Source::new(url);
    for attempt in 0_u32.. {
        let problem = match source.fetch().await {
            Ok(task) => match decide::decide(&given, Some(&task)) {
                Ok(identity) => return identity,
                Err(gap) => gap.to_string(),
            },
            Err(error) => error.to_string(),
        };
        let pause = FIRST.saturating_mul(1 << attempt.min(10)).min(CAP).mul_f64(0.5 + 0.5 * fastrand::f64());
        if (attempt + 1).is_power_of_two() {
            tracing::warn!(attempt, ?pause, problem, "the ECS metadata does not tell who this task is, trying again");
        }
        tokio::time::sleep(pause).await;
    }
    std::future::pending().await
}
