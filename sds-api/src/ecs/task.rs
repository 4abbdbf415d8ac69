//! A task as ECS describes it, in the words that this registry needs.
//!
//! Any part may be absent: early in a task's life it has no address, and after its end it loses some. What is absent is
//! empty here; whoever decides by it decides what that means.

use std::net::IpAddr;

use aws_sdk_ecs::types;

/// A task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Task {
    /// Its ARN.
    pub arn: String,
    /// Its cluster's ARN.
    pub cluster_arn: String,
    /// Where it stands: PROVISIONING, PENDING, ACTIVATING, RUNNING, DEACTIVATING, STOPPING, DEPROVISIONING, STOPPED, DELETED.
    pub last_status: String,
    /// Where ECS wants it: PENDING, RUNNING or STOPPED.
    pub desired_status: String,
    /// Its task definition's ARN.
    pub task_definition_arn: String,
    /// `service:<name>` or `family:<name>`.
    pub group: String,
    /// EC2, FARGATE or EXTERNAL.
    pub launch_type: String,
    /// Where it runs.
    pub availability_zone: String,
    /// Of its network interfaces; empty in the modes bridge and host, whose address is the machine's.
    pub addresses: Vec<IpAddr>,
    /// Ports of the machine that lead into it; empty in awsvpc mode.
    pub bindings: Vec<HostPort>,
    /// Its containers.
    pub containers: Vec<Container>,
    /// Rises with each change, the same in events.
    pub version: i64,
    /// When it became RUNNING, in epoch seconds.
    pub started: Option<u64>,
}

/// A port of the machine that leads into a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// The container's name.
    pub container: String,
    /// Inside.
    pub container_port: u16,
    /// Outside.
    pub host_port: u16,
    /// tcp or udp.
    pub protocol: String,
}

/// A container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Container {
    /// As the task definition names it.
    pub name: String,
    /// What it runs.
    pub image: String,
    /// PENDING, RUNNING or STOPPED.
    pub last_status: String,
}

impl Task {
    /// The task definition's family: `web` of `arn:...:task-definition/web:7`. "" if it is not told.
    pub fn family(&self) -> &str {
        let name = self.task_definition_arn.rsplit_once('/').map_or("", |(_, name)| name);
        name.rsplit_once(':').map_or(name, |(family, _)| family)
    }
}

fn text(said: Option<String>) -> String {
    said.unwrap_or_default()
}

impl From<types::Task> for Task {
    fn from(said: types::Task) -> Self {
        let attachments = said.attachments.unwrap_or_default();
        let containers = said.containers.unwrap_or_default();
        let interfaces = containers.iter().flat_map(types::Container::network_interfaces);
        let told = interfaces.flat_map(|interface| [interface.private_ipv4_address(), interface.ipv6_address()]);
        let mut addresses: Vec<IpAddr> = attachments
            .iter()
            .filter(|attachment| attachment.r#type() == Some("ElasticNetworkInterface"))
            .flat_map(types::Attachment::details)
            .filter(|detail| matches!(detail.name(), Some("privateIPv4Address" | "ipv6Address")))
            .map(types::KeyValuePair::value)
            .chain(told)
            .filter_map(|address| address?.parse().ok())
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        let bindings = containers.iter().flat_map(|container| {
            let name = container.name().unwrap_or_default();
            container.network_bindings().iter().filter_map(move |binding| {
                Some(HostPort {
                    container: name.to_owned(),
                    container_port: binding.container_port?.try_into().ok()?,
                    host_port: binding.host_port?.try_into().ok()?,
                    protocol: binding.protocol().map_or("tcp", types::TransportProtocol::as_str).to_owned(),
                })
            })
        });
        Self {
            bindings: bindings.collect(),
            addresses,
            arn: text(said.task_arn),
            cluster_arn: text(said.cluster_arn),
            last_status: text(said.last_status),
            desired_status: text(said.desired_status),
            task_definition_arn: text(said.task_definition_arn),
            group: text(said.group),
            launch_type: said.launch_type.map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
            availability_zone: text(said.availability_zone),
            containers: containers
                .into_iter()
                .map(|container| Container {
                    name: text(container.name),
                    image: text(container.image),
                    last_status: text(container.last_status),
                })
                .collect(),
            version: said.version,
            started: said.started_at.and_then(|at| at.secs().try_into().ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ecs::types::{Attachment, KeyValuePair, NetworkBinding, NetworkInterface, TransportProtocol};

    use super::*;

    #[test]
    fn addresses_and_ports_are_found_wherever_ecs_tells_them() {
        let detail = |name, value| KeyValuePair::builder().name(name).value(value).build();
        let attachment = |kind: &str, value| {
            Attachment::builder()
                .r#type(kind)
                .details(detail("privateIPv4Address", value))
                .details(detail("subnetId", "s"))
        };
        let interface = NetworkInterface::builder().private_ipv4_address("10.0.0.7").ipv6_address("fd00::7").build();
        let binding = |host| {
            NetworkBinding::builder().container_port(80).host_port(host).protocol(TransportProtocol::Udp).build()
        };
        let container = types::Container::builder().name("app").network_interfaces(interface);
        let container = container.network_bindings(binding(32768)).network_bindings(binding(-1)).build();
        let said = types::Task::builder()
            .attachments(attachment("ElasticNetworkInterface", "10.0.0.7").build())
            .attachments(attachment("ServiceConnect", "10.9.9.9").build())
            .attachments(attachment("ElasticNetworkInterface", "soon").build())
            .containers(container)
            .task_definition_arn("arn:aws:ecs:eu-west-1:123456789012:task-definition/web:7")
            .group("service:front")
            .build();
        let task = Task::from(said);
        assert_eq!(task.addresses, ["10.0.0.7".parse::<IpAddr>().unwrap(), "fd00::7".parse().unwrap()]);
        let host_port =
            HostPort { container: "app".into(), container_port: 80, host_port: 32768, protocol: "udp".into() };
        assert_eq!(task.bindings, [host_port]);
        assert_eq!((task.family(), task.group.as_str()), ("web", "service:front"));
    }

    #[test]
    fn a_task_of_which_nothing_is_told_is_empty() {
        let task = Task::from(types::Task::builder().build());
        assert_eq!((task.clone(), task.family()), (Task::default(), ""));
    }
}
