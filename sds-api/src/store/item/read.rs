//! What an item of the table is: an instance's row, one that cookpad/sds wrote, the registry's own bookkeeping, or a bad
//! one with its first flaw named.

use std::{collections::BTreeMap, sync::Arc};

use sds_types::{Endpoint, Locality, Sequence, Tags, Weight};

use super::{
    Item,
    attribute::{boolean, label, number, reason, text},
    operator,
};
use crate::instance::{Content, Gone, Key, Origin, Registration, Row, Standing, Status};

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
    let shown = |name| item.get(name).and_then(|value| value.as_s().ok()).map_or("", String::as_str);
    let (service, ip_port) = (shown("service"), shown("ip_port"));
    if service.starts_with('#') {
        return Read::Own(service.to_owned());
    }
    let read = if item.contains_key("incarnation") { ours(item) } else { foreign(item) };
    read.map_or_else(|reason| Read::Bad(BadRow { key: printable(service, ip_port), reason }), Read::Row)
}

/// What a row is called that may be called anything.
pub fn printable(service: &str, ip_port: &str) -> String {
    format!("{service}/{ip_port}").chars().take(256).flat_map(char::escape_debug).collect()
}

fn ours(item: &Item) -> Result<Row, String> {
    let key = read_key(item)?;
    let at = Sequence { incarnation: number(item, "incarnation")?, seq: number(item, "seq")? };
    if at.incarnation == 0 {
        return Err("incarnation is 0".into());
    }
    let rev = number(item, "rev")?;
    let standing = match item.get("gone") {
        None => Standing::In(registration(item)?),
        // Whatever it is: the conditions of our writes ask only whether it is there.
        Some(why) => Standing::Gone(gone(why.as_s().map_or("", String::as_str))),
    };
    let operator = operator::read(item, &key);
    Ok(Row { key, at, rev, standing, operator })
}

/// A row of cookpad/sds: in service while `expire_time` is ahead, and ordered by it.
fn foreign(item: &Item) -> Result<Row, String> {
    let key = read_key(item)?;
    let expire_time = number(item, "expire_time")?;
    let standing = Standing::In(Registration {
        status: Status::Healthy,
        content: Arc::new(content(item, true)?),
        origin: Origin::Cookpad,
        lost: false,
        expire_time,
    });
    Ok(Row { key, at: Sequence { incarnation: 0, seq: 0 }, rev: expire_time, standing, operator: None })
}

/// The key of a row, wherever it is told.
pub fn read_key(item: &Item) -> Result<Key, String> {
    let ip_port = text(item, "ip_port")?.unwrap_or("");
    let endpoint: Endpoint = ip_port.parse().map_err(reason)?;
    if endpoint.to_string() != ip_port {
        // Another spelling would be another row of the same instance, which no write of ours ever meets.
        return Err(format!("ip_port is not canonical, that is {endpoint}"));
    }
    Ok(Key { service: text(item, "service")?.unwrap_or("").parse().map_err(reason)?, endpoint })
}

/// The place in the order of a row that may be bad in all else.
pub fn sequence(item: &Item) -> Option<Sequence> {
    Some(Sequence { incarnation: number(item, "incarnation").ok()?, seq: number(item, "seq").unwrap_or(0) })
}

fn gone(why: &str) -> Gone {
    match why {
        "deregistered" => Gone::Deregistered,
        "unhealthy" => Gone::Unhealthy,
        // A newer release may know more reasons; the row is out of service all the same.
        _ => Gone::Stopped,
    }
}

fn registration(item: &Item) -> Result<Registration, String> {
    let status = match text(item, "status")? {
        Some("HEALTHY") => Status::Healthy,
        Some("UNHEALTHY") => Status::Unhealthy,
        Some("DRAINING") => Status::Draining,
        _ => return Err("status is not HEALTHY, UNHEALTHY or DRAINING".into()),
    };
    let origin = text(item, "origin")?.map_or(Origin::Native, Origin::parse);
    Ok(Registration {
        status,
        content: Arc::new(content(item, false)?),
        origin,
        lost: item.contains_key("lost"),
        expire_time: number(item, "expire_time").unwrap_or(0),
    })
}

/// What is said of an instance. A foreign row is read as its own registry reads it: further tags, and a weight that is no
/// number, do not count.
fn content(item: &Item, foreign: bool) -> Result<Content, String> {
    let empty = Item::new();
    let tags = match item.get("tags") {
        None => &empty,
        Some(value) => value.as_m().map_err(|_| "tags is not a map")?,
    };
    let mut other = BTreeMap::new();
    for (name, value) in tags.iter().filter(|(name, _)| !foreign && !Tags::RESERVED.contains(&name.as_str())) {
        let value = value.as_s().map_err(|_| format!("tags.{} is not a string", name.escape_debug()))?;
        other.insert(name.clone(), value.clone());
    }
    Ok(Content {
        revision: label(item, "revision")?,
        weight: weight(tags, foreign)?,
        canary: boolean(tags, "canary")?.unwrap_or(false),
        locality: Locality { region: label(tags, "region")?, zone: label(tags, "az")? },
        instance_id: label(tags, "instance_id")?,
        task_arn: label(item, "task")?,
        service_repo_name: label(item, "service_repo_name")?,
        tags: Tags::parse(other).map_err(reason)?,
    })
}

fn weight(tags: &Item, foreign: bool) -> Result<Option<Weight>, String> {
    const NAME: &str = "load_balancing_weight";
    match tags.get(NAME) {
        None => return Ok(None),
        Some(value) if foreign && !value.is_n() => return Ok(None),
        Some(_) => {}
    }
    let weight = match number(tags, NAME)? {
        // cookpad/sds takes any byte; an Envoy does not.
        101..=255 if foreign => 100,
        weight => i64::try_from(weight).unwrap_or(i64::MAX),
    };
    Weight::try_from(weight).map(Some).map_err(reason)
}
