//! One service, spelled for each client.

use std::{sync::Arc, time::Duration};

use sds_types::{Label, Locality, Sequence, ServiceName, Tags, Weight};

use super::*;
use crate::{
    clock::{Stamp, Timestamp},
    instance::{Content, Origin, Status},
    registry::{Instance, Service, Snapshot},
};

fn instance(endpoint: &str, status: Status, content: Content) -> Instance {
    Instance {
        endpoint: endpoint.parse().unwrap(),
        at: Sequence { incarnation: 1, seq: 1 },
        status,
        origin: Origin::Native,
        operator: None,
        content: Arc::new(content),
        heard: Stamp::new(Timestamp::EPOCH.plus(Duration::from_secs(1_500_000_000))),
        lease: Duration::from_secs(30),
    }
}

fn zone(name: &str) -> Locality {
    Locality { region: Label::parse("region", "r").unwrap(), zone: Label::parse("zone", name).unwrap() }
}

fn service() -> Service {
    let full = Content {
        revision: Label::parse("revision", "abc").unwrap(),
        weight: Weight::try_from(20).ok(),
        canary: true,
        locality: zone("a"),
        instance_id: Label::parse("instance_id", "i-1").unwrap(),
        tags: Tags::parse([("tier".to_owned(), "gold \"1\"".to_owned())].into()).unwrap(),
        ..Content::default()
    };
    let plain = |name| Content { locality: zone(name), ..Content::default() };
    let instances = vec![
        instance("10.0.0.9:80", Status::Healthy, plain("b")),
        instance("10.0.0.10:80", Status::Draining, plain("a")),
        instance("10.0.0.2:81", Status::Unhealthy, plain("a")),
        instance("10.0.0.2:80", Status::Healthy, full),
        instance("[2001:db8::1]:80", Status::Healthy, plain("b")),
    ];
    Service::new("web".parse().unwrap(), instances, 0)
}

fn pretty(json: &[u8]) -> String {
    serde_json::to_string_pretty(&serde_json::from_slice::<serde_json::Value>(json).unwrap()).unwrap()
}

fn snapshot(services: Vec<(&str, Vec<Instance>)>) -> Snapshot {
    let service = |(name, instances): (&str, _)| {
        let name: ServiceName = name.parse().unwrap();
        (name.clone(), Arc::new(Service::new(name, instances, 0)))
    };
    Snapshot { services: services.into_iter().map(service).collect(), known: Arc::default() }
}

#[test]
fn a_repository_has_the_hosts_that_each_services_own_list_has() {
    let of = |repo: &str, status, ip: &str| {
        let content = Content { service_repo_name: Label::parse("repo", repo).unwrap(), ..Content::default() };
        instance(ip, status, content)
    };
    let snapshot = snapshot(vec![
        ("b", vec![of("x", Status::Healthy, "10.0.0.2:80"), of("x", Status::Unhealthy, "10.0.0.1:80")]),
        ("a", vec![of("y", Status::Unhealthy, "10.0.0.3:80"), of("x", Status::Unhealthy, "10.0.0.9:80")]),
        ("c", vec![of("y", Status::Healthy, "10.0.0.4:80")]),
    ]);
    let told = |repo: &str, fail_open| {
        let answer = v1::repo(&snapshot, &Label::parse("repo", repo).unwrap(), "test", fail_open);
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        let hosts = body["hosts"].as_array().unwrap().iter();
        let hosts = hosts.map(|host| format!("{}/{}", host["service"], host["ip_address"]).replace('"', ""));
        (hosts.collect::<Vec<_>>().join(" "), answer.fail_open)
    };
    assert_eq!(told("x", true), ("a/10.0.0.9 b/10.0.0.2".to_owned(), true));
    assert_eq!(told("x", false), ("b/10.0.0.2".to_owned(), false));
    assert_eq!(told("y", true), ("a/10.0.0.3 c/10.0.0.4".to_owned(), true));
    assert_eq!(told("z", true), (String::new(), false));
}

#[test]
fn v1() {
    insta::assert_snapshot!(pretty(&v1::render(&service(), "production", true).body));
}

#[test]
fn eds_v3() {
    insta::assert_snapshot!(pretty(&eds_json::render(&service(), eds_json::Api::V3).response));
}

#[test]
fn eds_v2_differs_in_its_types_only() {
    let text = |api| String::from_utf8(eds_json::render(&service(), api).response.to_vec()).unwrap();
    let v3 = text(eds_json::Api::V3);
    assert_eq!(text(eds_json::Api::V2), v3.replace("envoy.config.endpoint.v3", "envoy.api.v2"));
}

#[test]
fn an_answer_is_rendered_once_until_it_is_renewed() {
    let service = service();
    let first = service.answers.v1(|| v1::render(&service, "e", true));
    let again = service.answers.v1(|| unreachable!("rendered twice"));
    assert!(Arc::ptr_eq(&first, &again));
    service.instances[0].heard.set(Timestamp::EPOCH);
    assert!(service.answers.v1_is_polled());
    service.answers.set_v1(v1::render(&service, "e", true));
    let renewed = service.answers.v1(|| unreachable!("rendered twice"));
    assert_ne!(first.body, renewed.body);
    assert_eq!(first.etag, renewed.etag);
}

#[test]
fn an_answer_that_nobody_polls_is_dropped_rather_than_left_to_age() {
    let service = service();
    service.answers.v1(|| v1::render(&service, "e", true));
    assert_eq!((0..20).filter(|_| service.answers.v1_is_polled()).count(), usize::from(RENEWALS));
    let mut rendered = false;
    service.answers.v1(|| {
        rendered = true;
        v1::render(&service, "e", true)
    });
    assert!(rendered);
}

/// Hosts as lines, so that two spellings can be compared.
fn hosts_of_proto(resource: &[u8]) -> Vec<String> {
    use envoy_types::pb::{
        envoy::config::{
            core::v3::{HealthStatus, address::Address, socket_address::PortSpecifier},
            endpoint::v3::{ClusterLoadAssignment, lb_endpoint::HostIdentifier},
        },
        google::protobuf::{Any, value::Kind},
    };
    use prost::Message;

    let any = Any::decode(resource).unwrap();
    assert_eq!(any.type_url, eds_proto::TYPE_URL);
    let assignment = ClusterLoadAssignment::decode(any.value.as_slice()).unwrap();
    let mut lines = vec![assignment.cluster_name];
    for place in assignment.endpoints {
        let locality = place.locality.unwrap();
        lines.push(format!("{}/{} {}", locality.region, locality.zone, place.load_balancing_weight.unwrap().value));
        for host in place.lb_endpoints {
            let health = HealthStatus::try_from(host.health_status).unwrap().as_str_name();
            let Some(HostIdentifier::Endpoint(endpoint)) = host.host_identifier else { panic!("no endpoint") };
            let Some(Address::SocketAddress(at)) = endpoint.address.unwrap().address else { panic!("no address") };
            let Some(PortSpecifier::PortValue(port)) = at.port_specifier else { panic!("no port") };
            let fields = host.metadata.unwrap().filter_metadata.remove("envoy.lb").unwrap().fields;
            let mut fields: Vec<_> = fields
                .into_iter()
                .map(|(name, value)| match value.kind {
                    Some(Kind::BoolValue(value)) => format!("{name}={value}"),
                    Some(Kind::StringValue(value)) => format!("{name}={value:?}"),
                    other => panic!("{other:?}"),
                })
                .collect();
            fields.sort_unstable();
            let weight = host.load_balancing_weight.unwrap().value;
            lines.push(format!("{} {port} {health} {weight} {}", at.address, fields.join(" ")));
        }
    }
    lines
}

fn hosts_of_json(resource: &[u8]) -> Vec<String> {
    let assignment: serde_json::Value = serde_json::from_slice(resource).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let mut lines = vec![text(&assignment["cluster_name"])];
    for place in assignment["endpoints"].as_array().unwrap() {
        let locality = &place["locality"];
        let (region, zone) = (text(&locality["region"]), text(&locality["zone"]));
        lines.push(format!("{region}/{zone} {}", place["load_balancing_weight"]));
        for host in place["lb_endpoints"].as_array().unwrap() {
            let at = &host["endpoint"]["address"]["socket_address"];
            let fields = host["metadata"]["filter_metadata"]["envoy.lb"].as_object().unwrap();
            let mut fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
            fields.sort_unstable();
            let (health, weight) = (text(&host["health_status"]), &host["load_balancing_weight"]);
            lines.push(format!("{} {} {health} {weight} {}", text(&at["address"]), at["port_value"], fields.join(" ")));
        }
    }
    lines
}

#[test]
fn streams_and_polls_are_told_the_same() {
    let service = service();
    let (proto, json) = (eds_proto::render(&service), eds_json::render(&service, eds_json::Api::V3).resource);
    assert_eq!(hosts_of_proto(&proto), hosts_of_json(&json));
    assert_eq!(hosts_of_proto(&eds_proto::empty("x")), hosts_of_json(&eds_json::empty("x", eds_json::Api::V3)));
}

#[test]
fn prometheus() {
    insta::assert_snapshot!(pretty(&prometheus::render(&service())));
}

#[test]
fn a_tag_is_a_label_by_a_name_that_prometheus_takes() {
    let labels = |tags: &[(&str, &str)]| {
        let tags = tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let content = Content { tags: Tags::parse(tags).unwrap(), ..Content::default() };
        let service = Service::new("web".parse().unwrap(), vec![instance("[::1]:80", Status::Healthy, content)], 0);
        let list: serde_json::Value = serde_json::from_slice(&prometheus::render(&service)).unwrap();
        assert_eq!(list[0]["targets"], serde_json::json!(["[::1]:80"]));
        let mut labels = list[0]["labels"].clone();
        for known in ["service", "status", "canary"] {
            assert!(labels.as_object_mut().unwrap().remove(&format!("__meta_sds_{known}")).is_some(), "{known}");
        }
        labels.to_string().replace("__meta_sds_tag_", "").replace('"', "")
    };
    assert_eq!(
        labels(&[("metrics.port", "9102"), ("9-x", "\u{e4}"), ("\u{e4}", "1")]),
        "{9_x:\u{e4},_:1,metrics_port:9102}"
    );
    // Of two that become one, the one that is spelled so; else the first.
    assert_eq!(labels(&[("a.b", "1"), ("a_b", "2"), ("a~b", "3")]), "{a_b:2}");
    assert_eq!(labels(&[("a.b", "1"), ("a~b", "3")]), "{a_b:1}");
    assert_eq!(labels(&[("empty", "")]), "{empty:}");
}

#[test]
fn the_targets_of_a_service_are_rendered_once_and_fit_into_a_longer_list() {
    let service = service();
    let list = prometheus::of(&service).clone();
    assert_eq!(format!("[{}]", String::from_utf8_lossy(&prometheus::inside(&service))).as_bytes(), list);
    service.answers.targets(|| unreachable!("rendered twice"));
}
