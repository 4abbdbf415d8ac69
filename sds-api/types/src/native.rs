//! The bodies of the native API: what a sidecar says with each request and what it is told.

use serde::{Deserialize, Serialize};

use crate::{InstanceId, Locality, Revision, Secret, Tags, TaskArn, Weight, error::Invalid};

/// The app's health as its sidecar believes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Fit for traffic.
    Healthy,
    /// Registered but not fit; kept in EDS as UNHEALTHY.
    Unhealthy,
}

impl Health {
    /// Reads `healthy` or `unhealthy`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        match text {
            "healthy" => Ok(Self::Healthy),
            "unhealthy" => Ok(Self::Unhealthy),
            _ => Err(Invalid::new("InvalidHealth", "health", "health is 'healthy' or 'unhealthy'")),
        }
    }
}

/// The body of `PUT /v1/services/{s}/instances/{ip:port}` and of `POST .../drain` (which ignores `health`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Registration {
    /// Ordered, new for each start of a sidecar: the higher one owns the ip:port. At least 1.
    pub incarnation: u64,
    /// Rises by one with each request of this incarnation. At least 1.
    pub seq: u64,
    /// The belief about the app.
    pub health: Health,
    /// Share of traffic; unset is 1 for EDS and left out of v1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<Weight>,
    /// Marks a canary for subset routing.
    pub canary: bool,
    /// What runs.
    #[serde(skip_serializing_if = "crate::Label::is_empty")]
    pub revision: Revision,
    /// Where it runs.
    #[serde(skip_serializing_if = "Locality::is_empty")]
    pub locality: Locality,
    /// The host's or task's id.
    #[serde(skip_serializing_if = "crate::Label::is_empty")]
    pub instance_id: InstanceId,
    /// The ECS task.
    #[serde(skip_serializing_if = "crate::Label::is_empty")]
    pub task_arn: TaskArn,
    /// Other tags.
    #[serde(skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

/// The answer to a register, a heartbeat or a drain that holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// Milliseconds without a heartbeat after which the instance leaves the answers.
    pub lease_ms: u64,
    /// Milliseconds between heartbeats that the registry wishes.
    pub heartbeat_ms: u64,
    /// The service's content version.
    pub version: String,
    /// Whether this replica can pass the heartbeat on; `false` asks for a new connection.
    pub vouched: bool,
    /// Of a drain: nobody who routes by this registry sends the instance anything new. Absent otherwise, and from releases
    /// that do not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drained: Option<bool>,
    /// To be sent as `Authorization: Bearer` with all further requests for this instance, in the place of an older one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    /// Milliseconds for which it is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_ttl_ms: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_said_is_not_sent() {
        let registration = Registration {
            incarnation: 7,
            seq: 1,
            health: Health::Healthy,
            weight: None,
            canary: false,
            revision: Revision::default(),
            locality: Locality::default(),
            instance_id: InstanceId::default(),
            task_arn: TaskArn::default(),
            tags: Tags::default(),
        };
        let text = serde_json::to_string(&registration).unwrap();
        assert_eq!(text, r#"{"incarnation":7,"seq":1,"health":"healthy","canary":false}"#);
    }
}
