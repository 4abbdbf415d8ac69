//! kumonos-sds's dialect: lists of hosts as JSON, 201 with `{}`, errors as `{"error":".."}`.
//!
//! A list is checked as a whole before any of it is written. A host that stands in it twice is what it was said to be last.

use std::collections::BTreeMap;

use axum::{body::Body, extract::State, response::Response};
use http::{Request, StatusCode};
use sds_types::{Endpoint, Invalid, Label, Locality, ServiceName, Weight};

use super::{
    super::{
        App, Shared,
        body::{self, Fields},
        path::Service,
    },
    nothing,
};
use crate::{
    auth::Shown,
    error::{ApiError, MISSING},
    instance::{Content, Key, Origin},
    registry::{Registry, Said},
};

/// `{"hosts":[{ip_address, port, az, canary, load_balancing_weight}]}`, registered or renewed.
pub async fn register(app: &App, shown: &Shown, service: ServiceName, fields: Fields) -> Response {
    answer(register_hosts(app, shown, &service, fields).await)
}

/// `POST /v1/deregistration/{s}`, `{"hosts":[{ip_address, port}]}`: those of them that are registered.
pub async fn deregister(State(app): Shared, Service(service): Service, request: Request<Body>) -> Response {
    answer(deregister_hosts(&app, &service, request).await)
}

fn answer(outcome: Result<Vec<String>, ApiError>) -> Response {
    match outcome {
        Err(error) => error.into_kumonos(),
        Ok(ignored) => body::naming_ignored(nothing(StatusCode::CREATED), &ignored),
    }
}

async fn register_hosts(
    app: &App,
    shown: &Shown,
    service: &ServiceName,
    fields: Fields,
) -> Result<Vec<String>, ApiError> {
    let (hosts, ignored) = hosts(fields, content)?;
    for endpoint in hosts.keys() {
        app.addresses.check(*endpoint)?;
    }
    let hosts = hosts.into_iter().map(|(endpoint, content)| {
        let key = Key { service: service.clone(), endpoint };
        (key, Said { origin: Origin::Kumonos, content, unsaid: None })
    });
    let hosts: Vec<_> = hosts.collect();
    registrant(app, shown, hosts.iter().map(|(key, _)| key)).await?.legacy_put_all(hosts).await?;
    Ok(ignored)
}

async fn deregister_hosts(app: &App, service: &ServiceName, request: Request<Body>) -> Result<Vec<String>, ApiError> {
    let shown = Shown::by(request.headers());
    let body = body::read(request, body::WRITE_LIMIT).await?;
    let (hosts, ignored) = hosts(Fields::parse(&body)?, |_| Ok(()))?;
    let keys = hosts.into_keys().map(|endpoint| Key { service: service.clone(), endpoint });
    let keys: Vec<_> = keys.collect();
    registrant(app, &shown, keys.iter()).await?.legacy_deregister_all(keys).await?;
    Ok(ignored)
}

/// The registry in the name of who may write all of them.
async fn registrant(app: &App, shown: &Shown, keys: impl Iterator<Item = &Key>) -> Result<Registry, ApiError> {
    let mut registry = app.registry.clone();
    for (nth, key) in keys.enumerate() {
        let next = app.registrant(shown, key).await?;
        // One of whom nobody knows who speaks for it makes the request nobody's.
        if nth == 0 || registry.is_known() {
            registry = next;
        }
    }
    Ok(registry)
}

/// The hosts of a list, with what `read` takes of each, and the names that nobody took.
fn hosts<T>(
    mut fields: Fields,
    read: impl Fn(&mut Fields) -> Result<T, Invalid>,
) -> Result<(BTreeMap<Endpoint, T>, Vec<String>), Invalid> {
    let missing = |name: &'static str, reason: &str| Invalid::new(MISSING, name, reason);
    let list = fields.objects("hosts").ok_or_else(|| missing("hosts", "hosts is missing: a list of hosts"))?;
    let mut ignored = fields.ignored("");
    let mut hosts = BTreeMap::new();
    for mut host in list {
        let absent = |name| move || missing(name, &format!("{name} of a host is missing or has a null value"));
        let ip = host.text("ip_address")?.ok_or_else(absent("ip_address"))?;
        let port = host.integer("port", "InvalidPort")?.ok_or_else(absent("port"))?;
        let endpoint = Endpoint::parse(&ip, port)?;
        hosts.insert(endpoint, read(&mut host)?);
        ignored.extend(host.ignored("hosts."));
    }
    ignored.sort_unstable();
    ignored.dedup();
    ignored.truncate(16);
    Ok((hosts, ignored))
}

fn content(host: &mut Fields) -> Result<Content, Invalid> {
    let zone = host.text("az")?.unwrap_or_default();
    let weight = host.integer("load_balancing_weight", "InvalidWeight")?.map(Weight::try_from).transpose()?;
    let locality = Locality { zone: Label::parse("az", zone)?, ..Locality::default() };
    Ok(Content { locality, weight, canary: host.flag("canary")?, ..Content::default() })
}
