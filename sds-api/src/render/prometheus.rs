//! Spells a service for Prometheus' HTTP service discovery: a list of target groups, one for each instance, for no two have
//! the same labels.
//!
//! Every instance in service is a target, also an unhealthy or draining one: its metrics are wanted then most of all, and
//! `__meta_sds_status` lets a relabelling drop it. What was not said has no label, as an empty one means the same.
//! Only what moves the version is told, because the bytes are kept as long as the version is.

use std::{borrow::Cow, collections::BTreeMap};

use bytes::Bytes;
use serde::Serialize;

use crate::registry::{Instance, Service};

/// The targets of a service.
pub fn render(service: &Service) -> Bytes {
    let groups: Vec<_> = service.instances.iter().map(|instance| group(service.name.as_str(), instance)).collect();
    super::json(&groups)
}

/// The targets of a name that nobody serves.
pub const NONE: Bytes = Bytes::from_static(b"[]");

/// Those of a service, from its bytes.
pub fn of(service: &Service) -> &Bytes {
    service.answers.targets(|| render(service))
}

/// The same without its brackets, to stand in a longer list: a service that is served has an instance.
pub fn inside(service: &Service) -> Bytes {
    let list = of(service);
    list.slice(1..list.len().saturating_sub(1).max(1))
}

#[derive(Serialize)]
struct Group<'a> {
    targets: [String; 1],
    labels: BTreeMap<String, Cow<'a, str>>,
}

fn group<'a>(service: &'a str, instance: &'a Instance) -> Group<'a> {
    let content = &instance.content;
    let mut labels = BTreeMap::new();
    if let Some(weight) = content.weight {
        labels.insert("__meta_sds_weight".to_owned(), weight.to_string().into());
    }
    for (name, value) in [
        ("service", service),
        ("status", instance.status.as_str()),
        ("zone", content.locality.zone.as_str()),
        ("region", content.locality.region.as_str()),
        ("revision", content.revision.as_str()),
        ("instance_id", content.instance_id.as_str()),
        ("canary", if content.canary { "true" } else { "false" }),
    ] {
        if !value.is_empty() {
            labels.insert(format!("__meta_sds_{name}"), value.into());
        }
    }
    for (name, value) in content.tags.iter() {
        let label = format!("__meta_sds_tag_{}", label_name(name));
        // Of two names that become the same label, the one that is spelled so; else the first.
        if label.ends_with(name) {
            labels.insert(label, value.into());
        } else {
            labels.entry(label).or_insert(value.into());
        }
    }
    Group { targets: [instance.endpoint.to_string()], labels }
}

/// As Prometheus' own discoveries make a label of a foreign name: whatever a label cannot hold becomes `_`.
fn label_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}
