//! Words of ours as attributes.

use aws_sdk_dynamodb::types::AttributeValue;

use super::{
    Item,
    attribute::{n, s},
};
use crate::instance::{Content, Gone, Key, Status};

/// The two keys of a row.
pub fn key(key: &Key) -> Item {
    [("service".into(), s(key.service.as_str())), ("ip_port".into(), s(key.endpoint.to_string()))].into()
}

/// The `tags` map of a content.
pub fn tags(content: &Content) -> AttributeValue {
    let mut tags: Item = content.tags.iter().map(|(name, value)| (name.to_owned(), s(value))).collect();
    tags.insert("az".into(), s(content.locality.zone.as_str()));
    tags.insert("region".into(), s(content.locality.region.as_str()));
    tags.insert("instance_id".into(), s(content.instance_id.as_str()));
    tags.insert("canary".into(), AttributeValue::Bool(content.canary));
    if let Some(weight) = content.weight {
        tags.insert("load_balancing_weight".into(), n(weight.get().into()));
    }
    AttributeValue::M(tags)
}

/// A status as the table spells it.
pub fn status(status: Status) -> AttributeValue {
    s(match status {
        Status::Healthy => "HEALTHY",
        Status::Unhealthy => "UNHEALTHY",
        Status::Draining => "DRAINING",
    })
}

/// A reason as the table spells it.
pub fn gone(gone: Gone) -> AttributeValue {
    s(match gone {
        Gone::Deregistered => "deregistered",
        Gone::Unhealthy => "unhealthy",
        Gone::Stopped => "stopped",
    })
}
