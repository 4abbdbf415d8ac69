//! Containers that the sidecar's module renders with every input set: the real sidecar takes all of it, for one service by
//! variables and for several as one document.

use std::net::TcpListener;

use anyhow::ensure;
use e2e::{ecs::definition::Container, stage::Stage};

use super::json;
use crate::play;

/// Starts what is rendered there until it has said whom it will register.
async fn takes(stage: &Stage, rendered: &str, services: &[&str]) -> anyhow::Result<()> {
    let file = format!("terraform/modules/sidecar/rendered/{rendered}/container.json");
    let container: Container = serde_json::from_value(json(&file)?)?;
    let mut command = stage.programs.sidecar();
    command.envs(&container.environment);
    // What ECS sets; nobody answers there. The port of its own page may be taken on this machine.
    command.env("ECS_CONTAINER_METADATA_URI_V4", "http://127.0.0.1:9/v4/task");
    command.env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials");
    command.env("SDS_ADMIN_LISTEN", TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string());
    let mut process = stage.spawn("sds-sidecar", command)?;
    for service in services {
        let json = format!("\"service\":\"{service}\"");
        let text = format!("to be registered service={service} ");
        let needle = if container.environment.contains_key("SDS_LOG_FORMAT") { json } else { text };
        process.says(&needle).await?;
    }
    process.says("admin listening").await?;
    let unknown = process.log().find("no option of this program");
    ensure!(unknown.is_none(), "a variable is not the sidecar's: {unknown:?}");
    Ok(())
}

#[test]
fn a_sidecar_takes_every_input_at_once() {
    play("a_sidecar_takes_every_input_at_once", async |stage| takes(stage, "one", &["web"]).await);
}

#[test]
fn a_sidecar_takes_several_services() {
    play("a_sidecar_takes_several_services", async |stage| takes(stage, "several", &["web", "web-grpc"]).await);
}
