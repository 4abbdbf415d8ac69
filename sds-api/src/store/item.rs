//! A row as DynamoDB's attributes, and back.
//!
//! Reading is total: whatever stands in the table becomes a row, a foreign row or a named bad row, because one bad
//! row must not keep a service's other rows from being served. Names and shapes keep cookpad/sds's table readable
//! by both (`service`, `ip_port`, `revision`, `last_check_in`, `tags`, `expire_time`).

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use aws_sdk_dynamodb::types::AttributeValue;
use sds_types::{Endpoint, Label, Locality, Sequence, Tags, Weight};

use super::expression::Update;
use crate::instance::{Content, Gone, Key, Origin, Override, Registration, Row, Standing, Status};

/// Attributes by name.
pub type Item = HashMap<String, AttributeValue>;

/// The newest shape of rows that this release writes.
pub const FMT: u64 = 1;

/// A row that cannot be served, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// `service/ip_port` as they stand in the table, made printable.
    pub key: String,
    /// The first thing that is wrong.
    pub reason: String,
}

/// What an item turned out to be.
#[derive(Debug)]
pub enum Read {
    /// One of ours, or of cookpad/sds ([`Row::is_foreign`]).
    Row(Row),
    /// The registry's own bookkeeping; its partition key.
    Own(String),
    /// Not to be served.
    Bad(BadRow),
}

/// Reads any item.
pub fn read(item: &Item) -> Read {
    let text = |name| item.get(name).and_then(|value| value.as_s().ok()).map_or("", String::as_str);
    let (service, ip_port) = (text("service"), text("ip_port"));
    if service.starts_with('#') {
        return Read::Own(service.to_owned());
    }
    let read = if item.contains_key("incarnation") { row(item) } else { foreign(item) };
    read.map_or_else(
        |reason| {
            let key = format!("{service}/{ip_port}").chars().take(256).flat_map(char::escape_debug).collect();
            Read::Bad(BadRow { key, reason })
        },
        Read::Row,
    )
}

fn row(item: &Item) -> Result<Row, String> {
    let key = strict_key(item)?;
    let at = Sequence { incarnation: number(item, "incarnation")?, seq: number(item, "seq")? };
    if at.incarnation == 0 {
        return Err("incarnation is 0".into());
    }
    let rev = number(item, "rev")?;
    let standing = match optional(item, "gone")? {
        Some("deregistered") => Standing::Gone(Gone::Deregistered),
        Some("unhealthy") => Standing::Gone(Gone::Unhealthy),
        // A newer release may know more reasons; the row is out of service all the same.
        Some(_) => Standing::Gone(Gone::Stopped),
        None => Standing::In(registration(item)?),
    };
    Ok(Row { key, at, rev, standing, operator: operator(item).map(Arc::new) })
}

/// A row of cookpad/sds: in service while `expire_time` is ahead, ordered by it.
fn foreign(item: &Item) -> Result<Row, String> {
    let key = strict_key(item)?;
    let expire_time = number(item, "expire_time")?;
    let standing = Standing::In(Registration {
        status: Status::Healthy,
        content: Arc::new(content(item)?),
        origin: Origin::Cookpad,
        lost: false,
        expire_time,
    });
    Ok(Row { key, at: Sequence { incarnation: 0, seq: 0 }, rev: expire_time, standing, operator: None })
}

fn strict_key(item: &Item) -> Result<Key, String> {
    let text = |name| optional(item, name).map(Option::unwrap_or_default);
    let ip_port = text("ip_port")?;
    let endpoint: Endpoint = ip_port.parse().map_err(|e: sds_types::Invalid| e.reason)?;
    if endpoint.to_string() != ip_port {
        // Another spelling would be another row of the same instance, which no write of ours ever meets.
        return Err(format!("ip_port is not canonical, that is {endpoint}"));
    }
    Ok(Key { service: text("service")?.parse().map_err(|e: sds_types::Invalid| e.reason)?, endpoint })
}

/// The key of a row, wherever it is told.
pub fn read_key(item: &Item) -> Option<Key> {
    strict_key(item).ok()
}

/// What an operator said; what cannot be read is not obeyed, and the row is served all the same.
fn operator(item: &Item) -> Option<Override> {
    let text = |name| optional(item, name).ok().flatten();
    let status = match text("ov_status") {
        Some("UNHEALTHY") => Some(Status::Unhealthy),
        Some("DRAINING") => Some(Status::Draining),
        _ => None,
    };
    let weight = number(item, "ov_weight").ok().and_then(|weight| Weight::try_from(i64::try_from(weight).ok()?).ok());
    Some(Override {
        status,
        weight,
        canary: item.get("ov_canary").and_then(|canary| canary.as_bool().ok()).copied(),
        reason: label(item, "ov_reason").ok()?,
        who: label(item, "ov_who").ok()?,
        until: number(item, "ov_until").ok()?,
        tenant: text("ov_task")?.to_owned(),
    })
}

/// Sets or removes all that [`operator`] reads.
pub(super) fn set_override(update: Update, new: Option<&Override>) -> Update {
    let Some(new) = new else {
        let all = ["ov_status", "ov_weight", "ov_canary", "ov_reason", "ov_who", "ov_until", "ov_task"];
        return all.into_iter().fold(update, Update::remove);
    };
    let set = |update: Update, name: &str, value: Option<AttributeValue>| match value {
        Some(value) => update.set(name, value),
        None => update.remove(name),
    };
    let update = set(update, "ov_status", new.status.map(status));
    let update = set(update, "ov_weight", new.weight.map(|weight| n(weight.get().into())));
    let update = set(update, "ov_canary", new.canary.map(AttributeValue::Bool));
    let update = update.set_text("ov_reason", new.reason.as_str()).set_text("ov_who", new.who.as_str());
    update.set("ov_until", n(new.until)).set("ov_task", s(new.tenant.as_str()))
}

/// The place in the order of a row that may be bad in all else.
pub fn sequence(item: &Item) -> Option<Sequence> {
    Some(Sequence { incarnation: number(item, "incarnation").ok()?, seq: number(item, "seq").unwrap_or(0) })
}

fn registration(item: &Item) -> Result<Registration, String> {
    let status = match optional(item, "status")? {
        Some("HEALTHY") => Status::Healthy,
        Some("UNHEALTHY") => Status::Unhealthy,
        Some("DRAINING") => Status::Draining,
        _ => return Err("status is not HEALTHY, UNHEALTHY or DRAINING".into()),
    };
    let origin = optional(item, "origin")?.map_or(Origin::Native, Origin::parse);
    Ok(Registration {
        status,
        content: Arc::new(content(item)?),
        origin,
        lost: item.contains_key("lost"),
        expire_time: number(item, "expire_time").unwrap_or(0),
    })
}

fn content(item: &Item) -> Result<Content, String> {
    let empty = Item::new();
    let tags = match item.get("tags") {
        None => &empty,
        Some(value) => value.as_m().map_err(|_| "tags is not a map")?,
    };
    let weight = match tags.get("load_balancing_weight") {
        None => None,
        Some(_) => {
            let weight = i64::try_from(number(tags, "load_balancing_weight")?).unwrap_or(i64::MAX);
            // cookpad/sds takes a byte; Envoy does not.
            let foreign = !item.contains_key("incarnation");
            let weight = if foreign && (101..=255).contains(&weight) { 100 } else { weight };
            Some(Weight::try_from(weight).map_err(|e| e.reason)?)
        }
    };
    let canary = match tags.get("canary") {
        None => false,
        Some(value) => *value.as_bool().map_err(|_| "tags.canary is not a boolean")?,
    };
    let mut other = BTreeMap::new();
    for (name, value) in tags.iter().filter(|(name, _)| !Tags::RESERVED.contains(&name.as_str())) {
        let value = value.as_s().map_err(|_| format!("tags.{} is not a string", name.escape_debug()))?;
        other.insert(name.clone(), value.clone());
    }
    Ok(Content {
        revision: label(item, "revision")?,
        weight,
        canary,
        locality: Locality { region: label(tags, "region")?, zone: label(tags, "az")? },
        instance_id: label(tags, "instance_id")?,
        task_arn: label(item, "task")?,
        service_repo_name: label(item, "service_repo_name")?,
        tags: Tags::parse(other).map_err(|e| e.reason)?,
    })
}

fn optional<'a>(item: &'a Item, name: &str) -> Result<Option<&'a str>, String> {
    match item.get(name) {
        None => Ok(None),
        Some(value) => value.as_s().map(|text| Some(text.as_str())).map_err(|_| format!("{name} is not a string")),
    }
}

fn label<const MAX: usize>(item: &Item, name: &'static str) -> Result<Label<MAX>, String> {
    Label::parse(name, optional(item, name)?.unwrap_or("")).map_err(|e| e.reason)
}

fn number(item: &Item, name: &str) -> Result<u64, String> {
    let value = item.get(name).ok_or_else(|| format!("{name} is missing"))?;
    let digits = value.as_n().map_err(|_| format!("{name} is not a number"))?;
    digits.parse().map_err(|_| format!("{name} is not a whole number of 64 bits"))
}

/// The two keys of a row.
pub fn key(key: &Key) -> [(String, AttributeValue); 2] {
    [("service".into(), s(key.service.as_str())), ("ip_port".into(), s(key.endpoint.to_string()))]
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

/// A string attribute.
pub fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// A number attribute.
pub fn n(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn good() -> Item {
        [
            ("service", s("web")),
            ("ip_port", s("10.0.0.1:80")),
            ("incarnation", n(1)),
            ("seq", n(1)),
            ("rev", n(1)),
            ("status", s("HEALTHY")),
            ("tags", tags(&Content::default())),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    #[test]
    fn a_bad_row_is_named_not_fatal() {
        assert!(matches!(read(&good()), Read::Row(_)));
        let weight = AttributeValue::M([("load_balancing_weight".to_owned(), n(0))].into());
        for (name, value) in [
            ("ip_port", s("app.local:80")),
            ("ip_port", s("10.0.0.1:0")),
            ("ip_port", s("010.0.0.1:80")),
            ("ip_port", s("[::ffff:10.0.0.1]:80")),
            ("service", s("a/b")),
            ("status", s("FINE")),
            ("status", n(1)),
            ("rev", s("x")),
            ("seq", AttributeValue::N("1.5".into())),
            ("tags", s("az=a")),
            ("tags", weight),
            ("revision", s("a\nb")),
        ] {
            let mut item = good();
            item.insert(name.into(), value.clone());
            assert!(matches!(read(&item), Read::Bad(_)), "{name} {value:?} was accepted");
        }
    }

    #[test]
    fn rows_of_the_ancestor_and_of_the_registry_are_told_apart() {
        let mut foreign = good();
        foreign.remove("incarnation");
        assert!(matches!(read(&foreign), Read::Bad(_)), "it would live for ever");
        foreign.insert("expire_time".into(), n(77));
        for (weight, read_as) in
            [(1, Some(1)), (100, Some(100)), (101, Some(100)), (255, Some(100)), (0, None), (256, None)]
        {
            let tags = [("az".to_owned(), s("a")), ("load_balancing_weight".to_owned(), n(weight))];
            foreign.insert("tags".into(), AttributeValue::M(tags.into()));
            let weight = match read(&foreign) {
                Read::Row(row) => {
                    assert!(row.is_foreign() && row.rev == 77);
                    row.registration().unwrap().content.weight.map(|weight| weight.get())
                }
                _ => None,
            };
            assert_eq!(weight, read_as);
        }
        let mut own = good();
        own.insert("service".into(), s("#meta"));
        assert!(matches!(read(&own), Read::Own(name) if name == "#meta"));
    }

    #[test]
    fn an_operators_word_is_read_as_it_is_written() {
        let word = Override {
            status: Some(Status::Draining),
            weight: Some(7.try_into().unwrap()),
            canary: Some(false),
            reason: Label::parse("reason", "bad disk").unwrap(),
            who: Label::parse("who", "eve").unwrap(),
            until: 1_900_000_000,
            tenant: "1".into(),
        };
        let update = set_override(Update::default(), Some(&word));
        let mut item = good();
        item.extend(update.values.iter().map(|(name, value)| (name[1..].to_owned(), value.clone())));
        let Read::Row(row) = read(&item) else { panic!("not read") };
        assert_eq!(row.operator.as_deref(), Some(&word));
        item.insert("ov_until".into(), s("soon"));
        let Read::Row(row) = read(&item) else { panic!("a bad override took its row along") };
        assert_eq!(row.operator, None);
    }

    fn value() -> impl Strategy<Value = AttributeValue> {
        prop_oneof![
            ".*".prop_map(AttributeValue::S),
            ".*".prop_map(AttributeValue::N),
            any::<u64>().prop_map(n),
            any::<bool>().prop_map(AttributeValue::Bool),
            Just(AttributeValue::Null(true)),
            Just(AttributeValue::M(Item::new())),
        ]
    }

    proptest! {
        #[test]
        fn nothing_in_the_table_panics(changes in prop::collection::vec((0..10usize, value()), 0..4)) {
            let names = ["service", "ip_port", "incarnation", "seq", "rev", "status", "tags", "gone", "task", "lost"];
            let mut item = good();
            for (name, value) in changes {
                item.insert(names[name].into(), value);
            }
            let _ = read(&item);
        }
    }
}
