//! A task of the stand-in, and how it is described and told of in an event.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::{ACCOUNT, REGION};
use crate::clock;

/// A task; what is not said is as of a running one of Fargate.
#[derive(Debug, Clone)]
pub struct Task {
    /// Its ARN.
    pub arn: String,
    /// Where it stands.
    pub last: String,
    /// Where ECS wants it.
    pub desired: String,
    /// Counts its changes.
    pub version: i64,
    /// Its task definition.
    pub family: String,
    /// The ECS service.
    pub service: String,
    /// Of its network interface, in awsvpc mode.
    pub address: Option<IpAddr>,
    /// Container port and the machine's, in bridge mode.
    pub bindings: Vec<(u16, u16)>,
    /// Names and images.
    pub containers: Vec<(String, String)>,
    /// When it became RUNNING, in epoch seconds.
    pub started: u64,
    /// So many descriptions fail before it is described.
    pub hidden_for: u32,
    /// For what reason.
    pub failure: String,
}

/// The ARN of a task.
pub fn arn(cluster: &str, id: &str) -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task/{cluster}/{id}")
}

impl Task {
    /// The `nth` of a cluster: it runs, in awsvpc mode, with a sidecar.
    pub fn new(cluster: &str, nth: u32) -> Self {
        let named = |name: &str| (name.to_owned(), format!("registry.test/{name}:1"));
        Self {
            arn: arn(cluster, &format!("{nth:032x}")),
            last: "RUNNING".to_owned(),
            desired: "RUNNING".to_owned(),
            version: 3,
            family: "web".to_owned(),
            service: "web".to_owned(),
            address: Some(std::net::Ipv4Addr::from_bits(0x0a00_0001 + nth).into()),
            bindings: Vec::new(),
            containers: vec![named("app"), named("sds-sidecar")],
            started: clock::epoch_seconds().saturating_sub(600),
            hidden_for: 0,
            failure: "MISSING".to_owned(),
        }
    }

    /// It has come so far, and ECS wants it to stop.
    pub fn stops(&mut self, last: &str) {
        self.last = last.to_owned();
        self.desired = "STOPPED".to_owned();
    }

    /// As `DescribeTasks` has it.
    pub fn described(&self) -> Value {
        let cluster = self.arn.rsplit('/').nth(1).unwrap_or_default();
        let cluster = format!("arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{cluster}");
        let detail = |name: &str, value: &str| json!({"name": name, "value": value});
        let attachments: Vec<_> = self
            .address
            .iter()
            .map(|address| {
                json!({
                    "id": "0c1b", "type": "ElasticNetworkInterface", "status": "ATTACHED",
                    "details": [detail("subnetId", "subnet-1"), detail("privateIPv4Address", &address.to_string())],
                })
            })
            .collect();
        let interfaces: Vec<_> = self
            .address
            .iter()
            .map(|address| json!({"attachmentId": "0c1b", "privateIpv4Address": address.to_string()}))
            .collect();
        let bindings: Vec<_> = self.bindings.iter().map(|(inside, outside)| {
            json!({"bindIP": "0.0.0.0", "containerPort": inside, "hostPort": outside, "protocol": "tcp"})
        }).collect();
        let containers: Vec<_> = self.containers.iter().map(|(name, image)| {
            json!({
                "containerArn": format!("arn:aws:ecs:{REGION}:{ACCOUNT}:container/1"), "taskArn": self.arn, "name": name,
                "image": image, "lastStatus": self.last, "networkBindings": bindings, "networkInterfaces": interfaces,
                "healthStatus": "UNKNOWN", "cpu": "0",
            })
        }).collect();
        json!({
            "attachments": attachments, "availabilityZone": format!("{REGION}a"), "clusterArn": cluster,
            "connectivity": "CONNECTED", "containers": containers, "cpu": "256", "createdAt": self.started,
            "desiredStatus": self.desired, "enableExecuteCommand": false, "group": format!("service:{}", self.service),
            "healthStatus": "UNKNOWN", "lastStatus": self.last, "launchType": "FARGATE", "memory": "512",
            "overrides": {"containerOverrides": []}, "startedAt": self.started, "startedBy": "ecs-svc/1", "tags": [],
            "taskArn": self.arn, "version": self.version,
            "taskDefinitionArn": format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/{}:1", self.family),
        })
    }

    /// As EventBridge tells of it; times are text there.
    pub fn event(&self) -> Value {
        let mut detail = self.described();
        for field in ["createdAt", "startedAt"] {
            detail[field] = json!("2026-11-29T12:00:00Z");
        }
        json!({
            "version": "0", "id": "9bcdac79-b31f-4d3d-9410-fbd727c29fab", "detail-type": "ECS Task State Change",
            "source": "aws.ecs", "account": ACCOUNT, "time": "2026-11-29T12:00:00Z", "region": REGION,
            "resources": [self.arn], "detail": detail,
        })
    }
}
