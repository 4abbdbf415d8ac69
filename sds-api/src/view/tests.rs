use super::*;
use crate::{instance::Origin, registry};
use sds_types::{Label, Sequence, Weight};
use std::time::Duration;

fn instance(n: u8, zone: &str, status: Status, weight: i64) -> Instance {
    let content = crate::instance::Content {
        weight: Weight::try_from(weight).ok(),
        locality: Locality { zone: Label::parse("zone", zone).unwrap(), ..Locality::default() },
        ..Default::default()
    };
    Instance {
        endpoint: format!("10.0.0.{n}:80").parse().unwrap(),
        at: Sequence { incarnation: 1, seq: 1 },
        status,
        origin: Origin::Native,
        operator: None,
        content: content.into(),
        heard: crate::clock::Stamp::new(crate::clock::Timestamp::now()),
        lease: Duration::from_secs(30),
    }
}

fn service(instances: Vec<Instance>) -> Service {
    registry::Service::new("web".parse().unwrap(), instances, 0)
}

/// One instance per letter: `h`ealthy, `u`nhealthy, `d`raining; the answer names the hosts listed, by position.
fn listed(statuses: &str, fail_open: bool) -> (String, bool) {
    let instances = statuses.bytes().enumerate().map(|(n, letter)| {
        let status = match letter {
            b'h' => Status::Healthy,
            b'u' => Status::Unhealthy,
            _ => Status::Draining,
        };
        instance(n as u8, "a", status, 0)
    });
    let service = service(instances.collect());
    let list = v1(&service, fail_open);
    let names = list.hosts.iter().map(|i| i.endpoint.ip().to_string().rsplit('.').next().unwrap().to_owned());
    (names.collect(), list.fail_open)
}

#[test]
fn the_v1_list_fails_open_in_steps() {
    for (statuses, hosts, fail_open) in [
        ("hud", "0", false),
        ("uud", "01", true),
        ("uu", "01", true),
        ("u", "", false),
        ("ud", "1", true),
        ("dd", "01", true),
    ] {
        assert_eq!(listed(statuses, true), (hosts.into(), fail_open), "{statuses}");
    }
    assert_eq!(listed("uu", false), (String::new(), false));
}

#[test]
fn a_locality_weighs_what_its_healthy_endpoints_weigh() {
    let service = service(vec![
        instance(1, "a", Status::Healthy, 10),
        instance(2, "a", Status::Draining, 50),
        instance(3, "b", Status::Unhealthy, 7),
        instance(4, "b", Status::Unhealthy, 0),
        instance(5, "", Status::Healthy, 0),
    ]);
    let weights: Vec<_> = eds(&service).iter().map(|place| (place.locality.zone.to_string(), place.weight)).collect();
    assert_eq!(weights, [(String::new(), 1), ("a".into(), 10), ("b".into(), 8)]);
}
