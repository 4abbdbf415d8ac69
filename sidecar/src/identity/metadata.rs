//! The ECS task metadata endpoint, version 4: one document of the task, read leniently.
//!
//! Early in a task's life most keys are absent, and new ones appear with each agent, so everything is optional and
//! what is unknown is passed over. Which of it counts is decided elsewhere.

use std::collections::BTreeMap;

use reqwest::{Client, RequestBuilder, Url};
use serde::{Deserialize, de::DeserializeOwned};

use crate::web;

/// A task with ten containers and their labels has a document of about 30 KB.
const DOCUMENT_LIMIT: usize = 512 * 1024;

/// `${ECS_CONTAINER_METADATA_URI_V4}/task`.
#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Task {
    /// `arn:aws:ecs:region:account:task/cluster/id`.
    #[serde(rename = "TaskARN")]
    pub task_arn: Option<String>,
    /// The task definition's family.
    pub family: Option<String>,
    /// The task definition's revision, a number as text.
    pub revision: Option<String>,
    /// `RUNNING`, and `STOPPED` from the moment in which ECS wants the task to end.
    pub desired_status: Option<String>,
    /// Such as `ap-northeast-1a`.
    pub availability_zone: Option<String>,
    /// Also those that are not the app.
    pub containers: Option<Vec<Container>>,
}

/// One container of the task; `${ECS_CONTAINER_METADATA_URI_V4}` itself is the one that asks.
#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Container {
    /// The name in the task definition.
    pub name: Option<String>,
    /// `NORMAL`; others, such as `CNI_PAUSE`, are the agent's own.
    #[serde(rename = "Type")]
    pub kind: Option<String>,
    /// As in the task definition, with tag or digest.
    pub image: Option<String>,
    /// `RUNNING`, `STOPPED` and what lies before and between.
    pub known_status: Option<String>,
    /// Docker's labels, the task definition's among them.
    pub labels: Option<BTreeMap<String, String>>,
    /// In awsvpc mode the same for all containers.
    pub networks: Option<Vec<Network>>,
    /// In bridge mode, once the container runs; Fargate and host mode list none.
    pub ports: Option<Vec<Port>>,
    /// Of the task definition's `healthCheck`; absent without one, and while Docker says "starting".
    pub health: Option<ContainerHealth>,
}

/// A port of a container and where the host listens for it.
#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Port {
    /// In the container.
    pub container_port: Option<u16>,
    /// On the host.
    pub host_port: Option<u16>,
    /// `0.0.0.0` or `::`.
    pub host_ip: Option<String>,
    /// `tcp` or `udp`.
    pub protocol: Option<String>,
}

/// What Docker says of a container's health.
#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct ContainerHealth {
    /// `HEALTHY`, `UNHEALTHY` or `UNKNOWN`.
    pub status: Option<String>,
}

/// One network of a container.
#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Network {
    /// `awsvpc`, `bridge` or `host`.
    pub network_mode: Option<String>,
    /// May hold an empty text.
    #[serde(rename = "IPv4Addresses")]
    pub ipv4_addresses: Option<Vec<String>>,
    /// The same of IPv6.
    #[serde(rename = "IPv6Addresses")]
    pub ipv6_addresses: Option<Vec<String>>,
}

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// No connection, or no answer in time.
    #[error("no answer: {0}")]
    Away(String),
    /// Not 200.
    #[error("it answers {0}")]
    Status(reqwest::StatusCode),
    /// Too long or broken off.
    #[error(transparent)]
    Body(#[from] web::BodyError),
    /// Not the JSON of a task.
    #[error("it answers with something else than the document that is asked for")]
    Document,
}

/// Where the documents are fetched.
#[derive(Debug)]
pub struct Source {
    client: Client,
    own: Url,
    task: Url,
}

impl Source {
    /// `base` is the value of `ECS_CONTAINER_METADATA_URI_V4`.
    pub fn new(client: Client, base: Url) -> Self {
        let mut task = base.clone();
        if let Ok(mut path) = task.path_segments_mut() {
            path.pop_if_empty().push("task");
        }
        Self { client, own: base, task }
    }

    /// The task, once; ends within the client's timeout.
    pub async fn task(&self) -> Result<Task, MetadataError> {
        self.document(&self.task).await
    }

    /// The container that asks.
    pub async fn own(&self) -> Result<Container, MetadataError> {
        self.document(&self.own).await
    }

    async fn document<T: DeserializeOwned>(&self, url: &Url) -> Result<T, MetadataError> {
        let body = fetch(self.client.get(url.clone()), DOCUMENT_LIMIT).await?;
        // An array would do for a struct, as serde reads it.
        let object = body.trim_ascii_start().starts_with(b"{");
        let document = Some(body).filter(|_| object).and_then(|body| serde_json::from_slice(&body).ok());
        document.ok_or(MetadataError::Document)
    }
}

/// A 200's body of at most `limit` bytes.
pub async fn fetch(request: RequestBuilder, limit: usize) -> Result<Vec<u8>, MetadataError> {
    let response = request.send().await.map_err(|error| MetadataError::Away(web::cause(&error)))?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(MetadataError::Status(response.status()));
    }
    Ok(web::body(response, limit).await?)
}
