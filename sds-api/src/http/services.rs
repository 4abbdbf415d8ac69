//! The native API as people read it: all services with counts, and the instances of one.

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use http::{HeaderMap, HeaderValue};
use sds_types::{Locality, Sequence, Tags, Weight};
use serde::Serialize;

use super::{
    Shared, ecs, not_modified,
    operator::{self, OverrideShown},
    path::Service,
    query::Query,
    state, table,
};
use crate::{
    clock,
    error::ApiError,
    instance::Status,
    registry::{self, Version},
    render,
};

/// `GET /v1/services?limit=&next=`: all services with counts; with `unregistered`, the tasks that run and are in none.
pub async fn services(State(app): Shared, RawQuery(query): RawQuery, headers: HeaderMap) -> Result<Response, ApiError> {
    if ecs::wants_unregistered(query.as_deref()) {
        return ecs::unregistered(app.watch.as_ref(), query.as_deref(), &headers).await;
    }
    let snapshot = app.registry.snapshot().ok_or(ApiError::NotReady)?;
    let query = Query::of(query.as_deref());
    let limit = query.limit(1000)?;
    let after = query.get("next").unwrap_or("");
    let mut services: Vec<_> = snapshot.services.values().filter(|service| service.name.as_str() > after).collect();
    services.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let more = services.len() > limit;
    services.truncate(limit);
    let counts: Vec<_> = services.iter().map(|service| ServiceCounts::of(service)).collect();
    let held = counts.iter().map(|counts| counts.held).sum();
    let state = state::of(&app, held, false);
    let mut versions: Vec<_> = services.iter().map(|service| (service.name.as_str(), service.version)).collect();
    if more {
        // That there are more is part of the answer.
        versions.push(("", Version::of("", &[])));
    }
    let etag = etag(versions, &state);
    if let Some(unchanged) = not_modified(&headers, &etag) {
        return Ok(unchanged);
    }
    let next = services.last().filter(|_| more).map(|service| service.name.as_str());
    let list = ServiceList { services: counts, next };
    let response = table::either(&headers, &query, &list, || list.text(), Some(etag));
    Ok(state::on(response, state))
}

/// `GET /v1/services/{s}`: the instances of one.
pub async fn service(
    State(app): Shared,
    Service(name): Service,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let service = app.registry.service(name.as_str()).ok_or(ApiError::NotReady)?;
    let service = service.ok_or_else(|| ApiError::NotFound(format!("no instance of '{name}' is in service")))?;
    let state = state::of(&app, service.holding(), false);
    let etag = etag(vec![(name.as_str(), service.version)], &state);
    if let Some(unchanged) = not_modified(&headers, &etag) {
        return Ok(unchanged);
    }
    let lives = app.registry.lives(&name).await?;
    let shown = |instance| InstanceShown::of(instance, lives.get(&instance.endpoint).copied());
    let shown = ServiceShown {
        service: name.as_str(),
        version: service.version.to_string(),
        held: service.holding(),
        instances: service.instances.iter().map(shown).collect(),
    };
    let query = Query::of(query.as_deref());
    let response = table::either(&headers, &query, &shown, || shown.text(), Some(etag));
    Ok(state::on(response, state))
}

/// Of the content, and of what else the answer says of it.
fn etag<'a>(mut versions: Vec<(&'a str, Version)>, state: &'a HeaderValue) -> HeaderValue {
    versions.push((state.to_str().unwrap_or_default(), Version::of("", &[])));
    render::etag(Version::of_all(&mut versions))
}

#[derive(Serialize)]
struct ServiceList<'a> {
    services: Vec<ServiceCounts<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'a str>,
}

impl ServiceList<'_> {
    fn text(&self) -> String {
        let rows = self.services.iter().map(|s| {
            let [healthy, unhealthy, draining, held] =
                [s.healthy, s.unhealthy, s.draining, s.held].map(|count| count.to_string());
            [s.service.into(), healthy, unhealthy, draining, held, s.version.clone()]
        });
        table::text(["SERVICE", "HEALTHY", "UNHEALTHY", "DRAINING", "HELD", "VERSION"], rows)
    }
}

#[derive(Serialize)]
struct ServiceCounts<'a> {
    service: &'a str,
    version: String,
    healthy: usize,
    unhealthy: usize,
    draining: usize,
    /// Among the others: silent, together with many, and kept.
    held: usize,
}

impl<'a> ServiceCounts<'a> {
    fn of(service: &'a registry::Service) -> Self {
        let having = |status| service.instances.iter().filter(|i| i.status == status).count();
        Self {
            service: service.name.as_str(),
            version: service.version.to_string(),
            healthy: having(Status::Healthy),
            unhealthy: having(Status::Unhealthy),
            draining: having(Status::Draining),
            held: service.holding(),
        }
    }
}

#[derive(Serialize)]
struct ServiceShown<'a> {
    service: &'a str,
    version: String,
    held: usize,
    instances: Vec<InstanceShown<'a>>,
}

impl ServiceShown<'_> {
    fn text(&self) -> String {
        let rows = self.instances.iter().map(|i| {
            [
                i.endpoint.clone(),
                i.status.into(),
                i.age.map_or_else(String::new, clock::spell),
                i.weight.map_or_else(String::new, |weight| weight.to_string()),
                i.locality.zone.to_string(),
                i.revision.into(),
                i.notes.clone(),
            ]
        });
        table::text(["ENDPOINT", "STATUS", "HEARD", "WEIGHT", "ZONE", "REVISION", "NOTES"], rows)
    }
}

#[derive(Serialize)]
struct InstanceShown<'a> {
    endpoint: String,
    ip_address: String,
    port: u16,
    status: &'a str,
    origin: &'a str,
    /// Since the last sign of life.
    lease_age_ms: Option<u128>,
    held: bool,
    lease_ms: u128,
    #[serde(flatten)]
    at: Sequence,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<Weight>,
    canary: bool,
    revision: &'a str,
    locality: &'a Locality,
    instance_id: &'a str,
    task_arn: &'a str,
    tags: &'a Tags,
    #[serde(rename = "override", skip_serializing_if = "Option::is_none")]
    operator: Option<OverrideShown<'a>>,
    #[serde(skip)]
    age: Option<std::time::Duration>,
    #[serde(skip)]
    notes: String,
}

impl<'a> InstanceShown<'a> {
    fn of(instance: &'a registry::Instance, life: Option<registry::Life>) -> Self {
        let content = &instance.content;
        let held = life.is_some_and(|life| life.held);
        let kept = life.is_some_and(|life| life.kept);
        let operator = instance.operator.as_deref();
        let notes = [
            held.then(|| "held".to_owned()),
            kept.then(|| "silent, ECS says running".to_owned()),
            operator.map(|said| format!("override: {}", operator::words(said))),
        ];
        Self {
            endpoint: instance.endpoint.to_string(),
            ip_address: instance.endpoint.ip().to_string(),
            port: instance.endpoint.port(),
            status: instance.status.as_str(),
            origin: instance.origin.as_str(),
            lease_age_ms: life.map(|life| life.age.as_millis()),
            held,
            lease_ms: instance.lease.as_millis(),
            at: instance.at,
            weight: content.weight,
            canary: content.canary,
            revision: content.revision.as_str(),
            locality: &content.locality,
            instance_id: content.instance_id.as_str(),
            task_arn: content.task_arn.as_str(),
            tags: &content.tags,
            operator: operator.map(OverrideShown::of),
            age: life.map(|life| life.age),
            notes: notes.into_iter().flatten().collect::<Vec<_>>().join("; "),
        }
    }
}
