//! Documents in, address out: one rule per network mode.
//!
//! In awsvpc mode every container shows the task's own interface, and the container's port is the port to register.
//! In bridge and host mode the address is the host's, which this document lacks: it must be given by hand. A document
//! that lacks something *yet* and one that will never have it are told apart only in words; both are asked for again.

use std::net::IpAddr;

use sds_types::{Endpoint, Invalid, Label, Locality};

use super::{Given, Identity, metadata::Task};

/// Why the documents do not make an identity.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Gap {
    /// Early in the task's life, or nothing to ask.
    #[error("there is no address yet")]
    NoAddress,
    /// A network mode in which the document lacks the host's address.
    #[error("in network mode '{0}' the metadata does not hold the host's address: set SDS_HOST")]
    Mode(String),
    /// An address that no client could use.
    #[error(transparent)]
    Unusable(#[from] Invalid),
}

/// What is given by hand wins, the task's document fills in.
pub fn decide(given: &Given, task: Option<&Task>) -> Result<Identity, Gap> {
    let ip = match (given.host, task) {
        (Some(host), _) => host,
        (None, Some(task)) => address(task)?,
        (None, None) => return Err(Gap::NoAddress),
    };
    let nothing = Task::default();
    let task = task.unwrap_or(&nothing);
    let arn = task.task_arn.as_deref().unwrap_or_default();
    let zone = task.availability_zone.as_deref().unwrap_or_default();
    let definition = match (&task.family, &task.revision) {
        (Some(family), Some(revision)) => format!("{family}:{revision}"),
        _ => String::new(),
    };
    Ok(Identity {
        endpoint: Endpoint::new(ip, given.port)?,
        locality: Locality {
            region: given.region.clone().unwrap_or_else(|| label(region(arn, zone))),
            zone: given.zone.clone().unwrap_or_else(|| label(zone)),
        },
        revision: given.revision.clone().unwrap_or_else(|| label(&definition)),
        instance_id: label(arn.rsplit('/').next().unwrap_or_default()),
        task_arn: label(arn),
    })
}

/// The task's own interface: IPv4 if it has one, as the mesh's other instances do.
fn address(task: &Task) -> Result<IpAddr, Gap> {
    let networks = || task.containers.iter().flatten().flat_map(|container| container.networks.iter().flatten());
    let own = || networks().filter(|network| network.network_mode.as_deref() == Some("awsvpc"));
    let v4 = own().flat_map(|network| network.ipv4_addresses.iter().flatten());
    let v6 = own().flat_map(|network| network.ipv6_addresses.iter().flatten());
    if let Some(ip) = v4.chain(v6).find_map(|text| text.parse().ok()) {
        return Ok(ip);
    }
    let foreign = networks().filter_map(|network| network.network_mode.as_deref()).find(|mode| *mode != "awsvpc");
    Err(foreign.map_or(Gap::NoAddress, |mode| Gap::Mode(crate::web::shown(mode))))
}

/// The ARN says it; else the zone without its letter.
fn region<'a>(arn: &'a str, zone: &'a str) -> &'a str {
    match arn.split(':').nth(3) {
        Some(region) if !region.is_empty() => region,
        _ => zone.trim_end_matches(|c: char| c.is_ascii_lowercase()),
    }
}

/// What ECS says about the task is worth showing, but no reason not to register.
fn label<const MAX: usize>(text: &str) -> Label<MAX> {
    Label::parse("", text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FARGATE: &str = r#"{"Cluster":"prod","TaskARN":"arn:aws:ecs:ap-northeast-1:111122223333:task/prod/0a1b2c",
        "Family":"web","Revision":"42","DesiredStatus":"RUNNING","KnownStatus":"RUNNING","LaunchType":"FARGATE",
        "AvailabilityZone":"ap-northeast-1c","NewKey":{"x":[1]},"Containers":[
        {"Name":"app","Type":"NORMAL","Networks":[{"NetworkMode":"awsvpc","IPv4Addresses":["10.0.3.7"]}]},
        {"Name":"sds","Type":"NORMAL","Networks":[{"NetworkMode":"awsvpc","IPv4Addresses":["10.0.3.7"]}]}]}"#;

    fn document(networks: &str) -> String {
        format!(r#"{{"TaskARN":null,"AvailabilityZone":"us-east-1a","Containers":[{{"Networks":{networks}}}]}}"#)
    }

    fn decided(given: &Given, document: &str) -> String {
        let task: Task = serde_json::from_str(document).unwrap();
        match decide(given, Some(&task)) {
            Ok(Identity { endpoint, locality, revision, instance_id, .. }) => {
                format!("{endpoint} {} {} {revision} {instance_id}", locality.region, locality.zone)
            }
            Err(gap) => gap.to_string(),
        }
    }

    #[test]
    fn addresses_by_network_mode() {
        let given = Given { port: 8080, ..Given::default() };
        let cases = [
            (FARGATE.to_owned(), "10.0.3.7:8080 ap-northeast-1 ap-northeast-1c web:42 0a1b2c"),
            ("{}".to_owned(), "there is no address yet"),
            (r#"{"Containers":null}"#.to_owned(), "there is no address yet"),
            (document("null"), "there is no address yet"),
            (document(r#"[{"NetworkMode":"awsvpc"}]"#), "there is no address yet"),
            (document(r#"[{"NetworkMode":"awsvpc","IPv4Addresses":[""]}]"#), "there is no address yet"),
            (
                document(r#"[{"NetworkMode":"awsvpc","IPv4Addresses":[],"IPv6Addresses":["2001:db8::7"]}]"#),
                "[2001:db8::7]:8080 us-east-1 us-east-1a  ",
            ),
            (
                document(r#"[{"NetworkMode":"awsvpc","IPv4Addresses":["10.1.1.1"],"IPv6Addresses":["2001:db8::7"]}]"#),
                "10.1.1.1:8080 us-east-1 us-east-1a  ",
            ),
            (
                document(r#"[{"NetworkMode":"awsvpc","IPv4Addresses":["169.254.170.2"]}]"#),
                "169.254.170.2 is link-local, no client could connect to it",
            ),
            (
                document(r#"[{"NetworkMode":"bridge","IPv4Addresses":["172.17.0.2"]}]"#),
                "in network mode 'bridge' the metadata does not hold the host's address: set SDS_HOST",
            ),
            (
                document(r#"[{"NetworkMode":"host","IPv4Addresses":[""]}]"#),
                "in network mode 'host' the metadata does not hold the host's address: set SDS_HOST",
            ),
        ];
        for (document, expected) in cases {
            assert_eq!(decided(&given, &document), expected, "{document}");
        }
    }

    #[test]
    fn what_is_given_wins() {
        let given = Given {
            host: Some("192.0.2.1".parse().unwrap()),
            port: 80,
            region: Some(Label::parse("region", "mars").unwrap()),
            zone: Some(Label::parse("az", "mars-1").unwrap()),
            revision: Some(Label::parse("revision", "r7").unwrap()),
        };
        assert_eq!(decided(&given, FARGATE), "192.0.2.1:80 mars mars-1 r7 0a1b2c");
        let bridge = document(r#"[{"NetworkMode":"bridge"}]"#);
        assert_eq!(decided(&given, &bridge), "192.0.2.1:80 mars mars-1 r7 ");
        assert_eq!(decide(&given, None).unwrap().endpoint.to_string(), "192.0.2.1:80");
        assert_eq!(decide(&Given::default(), None), Err(Gap::NoAddress));
    }

    #[test]
    fn what_ecs_says_too_long_is_left_out() {
        let given = Given { host: Some("192.0.2.1".parse().unwrap()), port: 80, ..Given::default() };
        let document = format!(r#"{{"AvailabilityZone":"{}"}}"#, "x".repeat(65));
        assert_eq!(decided(&given, &document), "192.0.2.1:80    ");
    }
}
