//! What the metadata endpoint answers: a recorded document of the network mode, with this task's facts in the place of
//! the recorded ones. Keys that a task of that mode does not have (Fargate's `Ports`, a `Health` without a check, or
//! while Docker says "starting") stay absent.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Facts;
use crate::ecs::{
    definition::{Container, Definition, NetworkMode},
    health::Health,
    network::Network,
    order::Stage,
};

const FARGATE: &str = include_str!("../../../ecs/fargate.json");
const AWSVPC: &str = include_str!("../../../ecs/ec2-awsvpc.json");
const BRIDGE: &str = include_str!("../../../ecs/ec2-bridge.json");
const HOST: &str = include_str!("../../../ecs/ec2-host.json");

/// What never changes in a task.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its id, the last part of its ARN.
    pub id: String,
    /// The definition.
    pub definition: Definition,
    /// Which registration of it.
    pub revision: u32,
    /// Where it is.
    pub network: Network,
}

impl Identity {
    /// The ARN of the task.
    pub fn arn(&self) -> String {
        format!("arn:aws:ecs:ap-northeast-1:111122223333:task/prod/{}", self.id)
    }

    /// What names a container in the endpoint's paths.
    pub fn docker_id(&self, container: &str) -> String {
        let at = self.definition.container_definitions.iter().position(|c| c.name == container);
        format!("{}-{}", self.id, at.unwrap_or(0))
    }

    fn record(&self) -> Value {
        let fargate = self.definition.requires_compatibilities.iter().any(|kind| kind == "FARGATE");
        let text = match self.network.mode {
            NetworkMode::Awsvpc if fargate => FARGATE,
            NetworkMode::Awsvpc => AWSVPC,
            NetworkMode::Bridge => BRIDGE,
            NetworkMode::Host => HOST,
        };
        serde_json::from_str(text).expect("a recorded document")
    }
}

/// `${ECS_CONTAINER_METADATA_URI_V4}/task`.
pub fn task(identity: &Identity, facts: &Facts) -> Value {
    let mut task = identity.record();
    let rows = task["Containers"].as_array().cloned().unwrap_or_default();
    let (ours, theirs): (Vec<Value>, Vec<Value>) = rows.into_iter().partition(|row| row["Type"] == "NORMAL");
    let fill = |container: &Container| {
        let row = ours.iter().find(|row| row["Name"] == container.name.as_str()).or(ours.first());
        filled(row.cloned().unwrap_or_default(), identity, container, facts)
    };
    let mut containers: Vec<Value> = theirs.into_iter().map(|row| placed(row, identity)).collect();
    containers.extend(identity.definition.container_definitions.iter().map(fill));
    let running = facts.stages.values().all(|stage| matches!(stage, Stage::Running { .. }));
    let ended = facts.stages.values().all(|stage| matches!(stage, Stage::Ended(_)));
    task["TaskARN"] = json!(identity.arn());
    task["Family"] = json!(identity.definition.family);
    task["Revision"] = json!(identity.revision.to_string());
    task["DesiredStatus"] = json!(if facts.stopping { "STOPPED" } else { "RUNNING" });
    task["KnownStatus"] = json!(match (running, ended) {
        (true, _) => "RUNNING",
        (_, true) => "STOPPED",
        _ => "NONE",
    });
    task["Containers"] = json!(containers);
    task
}

/// `${ECS_CONTAINER_METADATA_URI_V4}`: the row of one container, by its Docker id.
pub fn container(task: &Value, docker_id: &str) -> Option<Value> {
    task["Containers"].as_array()?.iter().find(|row| row["DockerId"] == docker_id).cloned()
}

/// The container metadata file, before and after the container runs; what is not in the endpoint's documents.
pub fn file(identity: &Identity, ready: bool) -> Value {
    let mut file = json!({
        "Cluster": "prod",
        "ContainerInstanceARN": "arn:aws:ecs:ap-northeast-1:111122223333:container-instance/prod/5d1f0c7e9b3a48d2",
        "TaskARN": identity.arn(),
        "TaskDefinitionFamily": identity.definition.family,
        "TaskDefinitionRevision": identity.revision.to_string(),
    });
    if ready {
        file["AvailabilityZone"] = json!("ap-northeast-1c");
        file["HostPrivateIPv4Address"] = json!(identity.network.host);
        file["MetadataFileStatus"] = json!("READY");
    }
    file
}

fn filled(mut row: Value, identity: &Identity, container: &Container, facts: &Facts) -> Value {
    let stage = facts.stages.get(&container.name).copied().unwrap_or(Stage::Pending);
    row["DockerId"] = json!(identity.docker_id(&container.name));
    row["Name"] = json!(container.name);
    row["DockerName"] = json!(format!(
        "ecs-{}-{}-{}-{}",
        identity.definition.family,
        identity.revision,
        container.name,
        identity.id.get(..20).unwrap_or_default()
    ));
    row["Image"] = json!(container.image);
    row["DesiredStatus"] = json!(if facts.stopping { "STOPPED" } else { "RUNNING" });
    row["KnownStatus"] = json!(match stage {
        Stage::Pending => "PULLED",
        Stage::Running { .. } => "RUNNING",
        Stage::Ended(_) => "STOPPED",
    });
    if let Stage::Ended(code) = stage {
        row["ExitCode"] = json!(code);
    }
    let labels: BTreeMap<String, String> = container.docker_labels.clone();
    for (name, value) in labels {
        row["Labels"][name] = json!(value);
    }
    row["Labels"]["com.amazonaws.ecs.container-name"] = json!(container.name);
    row["Labels"]["com.amazonaws.ecs.task-arn"] = json!(identity.arn());
    row["Labels"]["com.amazonaws.ecs.task-definition-family"] = json!(identity.definition.family);
    row["Labels"]["com.amazonaws.ecs.task-definition-version"] = json!(identity.revision.to_string());
    if container.restart_policy.as_ref().is_some_and(|policy| policy.enabled) {
        row["RestartCount"] = json!(facts.restarts.get(&container.name).copied().unwrap_or(0));
    }
    match facts.health.get(&container.name) {
        Some(Health::Healthy) => row["Health"] = json!({"status": "HEALTHY"}),
        Some(Health::Unhealthy) => row["Health"] = json!({"status": "UNHEALTHY"}),
        _ => {}
    }
    let ports = facts.ports.get(&container.name).into_iter().flatten();
    let ports: Vec<Value> = ports
        .flat_map(|(inside, host)| {
            let row = |ip: &str, host: u16| json!({"ContainerPort": inside, "Protocol": "tcp", "HostPort": host, "HostIp": ip});
            // Docker chooses the port of IPv6 on its own; whoever takes this row's port finds nobody.
            [row("0.0.0.0", *host), row("::", host ^ 1)]
        })
        .collect();
    if let Some(row) = row.as_object_mut() {
        row.remove("Ports");
        if !ports.is_empty() {
            row.insert("Ports".to_owned(), json!(ports));
        }
        if stage == Stage::Pending {
            row.retain(|key, _| !["Networks", "StartedAt", "CreatedAt"].contains(&key.as_str()));
        }
    }
    placed(row, identity)
}

/// The row with this task's address where the recorded one stood.
fn placed(mut row: Value, identity: &Identity) -> Value {
    let address = identity.network.address.to_string();
    for network in row["Networks"].as_array_mut().into_iter().flatten() {
        for recorded in network["IPv4Addresses"].as_array_mut().into_iter().flatten() {
            // In host mode it is recorded as an empty text.
            if recorded != "" {
                *recorded = json!(address);
            }
        }
    }
    row
}
