//! A task's metadata endpoint, as much of it as a task with a network interface of its own needs.

use axum::{Json, Router, routing::get};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinSet};

/// A running one.
#[derive(Debug)]
pub struct Metadata {
    /// `ECS_CONTAINER_METADATA_URI_V4` of the sidecar.
    pub uri: String,
    _serving: JoinSet<()>,
}

impl Metadata {
    /// Starts the one of this task, whose address is loopback.
    pub async fn start(task: &str) -> anyhow::Result<Self> {
        let own = json!({"DockerId": "b", "Name": "sds", "Type": "NORMAL", "KnownStatus": "RUNNING"});
        let task = json!({
            "Cluster": "prod", "TaskARN": task, "Family": "web", "Revision": "7", "DesiredStatus": "RUNNING",
            "Containers": [
                {"DockerId": "a", "Name": "app", "Type": "NORMAL", "KnownStatus": "RUNNING",
                 "Networks": [{"NetworkMode": "awsvpc", "IPv4Addresses": ["127.0.0.1"]}]},
                own,
            ],
        });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let uri = format!("http://{}/v4/b", listener.local_addr()?);
        let routes = Router::new().route("/v4/b/task", get(async move || Json(task)));
        let routes = routes.route("/v4/b", get(async move || Json(own)));
        let mut serving = JoinSet::new();
        serving.spawn(async move { drop(axum::serve(listener, routes).await) });
        Ok(Self { uri, _serving: serving })
    }
}
