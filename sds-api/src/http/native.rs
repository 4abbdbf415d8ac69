//! The native API, `/v1/services..`: what sidecars write and people read.

use std::collections::HashMap;

use axum::{
    body::Body,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use sds_types::{Health, InstanceId, Invalid, Locality, Registered, Revision, Sequence, Tags, TaskArn, Weight};
use serde::Serialize;

use super::{
    Shared,
    body::{self, Fields},
    not_modified,
    path::{Host, Service},
    table,
};
use crate::{
    error::ApiError,
    instance::{Content, Gone, Status},
    registry::{self, Accepted, Version},
    render,
};

/// `PUT .../instances/{ip:port}`: register or renew.
pub async fn put(State(app): Shared, Host(key): Host, request: Request<Body>) -> Result<Response, ApiError> {
    let body = body::read(request, body::WRITE_LIMIT).await?;
    let said = Said::parse(&body, true)?;
    let put = app.registry.put(key, said.at, said.status, said.content).await?;
    Ok(accepted(&put, &said.ignored))
}

/// `POST .../instances/{ip:port}/drain`: no new requests, until a higher incarnation registers.
pub async fn drain(State(app): Shared, Host(key): Host, request: Request<Body>) -> Result<Response, ApiError> {
    let body = body::read(request, body::WRITE_LIMIT).await?;
    let said = Said::parse(&body, false)?;
    let put = app.registry.put(key, said.at, Status::Draining, said.content).await?;
    Ok(accepted(&put, &said.ignored))
}

/// `DELETE .../instances/{ip:port}?incarnation=&seq=`: gone, also when repeated.
pub async fn delete(State(app): Shared, Host(key): Host, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let query = parameters(query.as_deref());
    let Some(incarnation) = query.get("incarnation") else {
        let reason = "incarnation is required: the registrant's own, as GET /v1/services/{service} shows it";
        return Err(Invalid::new("InvalidSequence", "incarnation", reason).into());
    };
    let number = |field: &'static str, text: &str| {
        let number = text.parse::<u64>().ok().filter(|number| *number > 0);
        number.ok_or_else(|| Invalid::new("InvalidSequence", field, format!("{field} is an integer from 1 up")))
    };
    let seq = query.get("seq").map_or(Ok(u64::MAX), |seq| number("seq", seq))?;
    let at = body::sequence(number("incarnation", incarnation)?, seq)?;
    let why = match query.get("reason") {
        Some(&"unhealthy") => Gone::Unhealthy,
        _ => Gone::Deregistered,
    };
    Ok(match app.registry.deregister(key, at, why).await? {
        Accepted::Persisted => StatusCode::NO_CONTENT.into_response(),
        Accepted::Owed => owed(),
    })
}

/// `GET /v1/services?limit=&next=`: all services with counts.
pub async fn services(State(app): Shared, RawQuery(query): RawQuery, headers: HeaderMap) -> Result<Response, ApiError> {
    let snapshot = app.registry.snapshot().ok_or(ApiError::NotReady)?;
    let query = parameters(query.as_deref());
    let limit = match query.get("limit") {
        None => 1000,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=1000).contains(limit))
            .ok_or_else(|| Invalid::new("InvalidLimit", "limit", "limit is an integer from 1 to 1000"))?,
    };
    let after = query.get("next").copied().unwrap_or("");
    let mut services: Vec<_> = snapshot.services.values().filter(|service| service.name.as_str() > after).collect();
    services.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let more = services.len() > limit;
    services.truncate(limit);
    let mut versions: Vec<_> = services.iter().map(|service| (service.name.as_str(), service.version)).collect();
    if more {
        // That there are more is part of the answer.
        versions.push(("", Version::of("", &[])));
    }
    let etag = render::etag(Version::of_all(&mut versions));
    if let Some(unchanged) = not_modified(&headers, &etag) {
        return Ok(unchanged);
    }
    let list = ServiceList {
        services: services.iter().map(|service| ServiceCounts::of(service)).collect(),
        next: services.last().filter(|_| more).map(|service| service.name.as_str()),
    };
    let rows = list.services.iter().map(|s| {
        [s.service.into(), s.healthy.to_string(), s.unhealthy.to_string(), s.draining.to_string(), s.version.clone()]
    });
    let columns = ["SERVICE", "HEALTHY", "UNHEALTHY", "DRAINING", "VERSION"];
    Ok(table::either(&headers, &query, &list, || table::text(columns, rows), etag))
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
    let etag = render::etag(service.version);
    if let Some(unchanged) = not_modified(&headers, &etag) {
        return Ok(unchanged);
    }
    let lives = app.registry.lives(&name).await?;
    let shown = ServiceShown {
        service: name.as_str(),
        version: service.version.to_string(),
        instances: service
            .instances
            .iter()
            .map(|instance| InstanceShown {
                endpoint: instance.endpoint.to_string(),
                ip_address: instance.endpoint.ip().to_string(),
                port: instance.endpoint.port(),
                status: instance.status.as_str(),
                origin: instance.origin.as_str(),
                lease_age_ms: lives.get(&instance.endpoint).map(|life| life.age.as_millis()),
                held: lives.get(&instance.endpoint).is_some_and(|life| life.held),
                lease_ms: instance.lease.as_millis(),
                at: instance.at,
                weight: instance.content.weight,
                canary: instance.content.canary,
                revision: instance.content.revision.as_str(),
                locality: &instance.content.locality,
                instance_id: instance.content.instance_id.as_str(),
                task_arn: instance.content.task_arn.as_str(),
                tags: &instance.content.tags,
            })
            .collect(),
    };
    let rows = shown.instances.iter().map(|i| {
        [
            i.endpoint.clone(),
            i.status.into(),
            i.lease_age_ms.map_or_else(String::new, |ms| format!("{:.1}s", ms as f64 / 1000.0)),
            i.weight.map_or_else(String::new, |weight| weight.to_string()),
            i.locality.zone.to_string(),
            i.revision.into(),
        ]
    });
    let columns = ["ENDPOINT", "STATUS", "HEARD", "WEIGHT", "ZONE", "REVISION"];
    let query = parameters(query.as_deref());
    Ok(table::either(&headers, &query, &shown, || table::text(columns, rows), etag))
}

/// Routes that come with later releases answer as unknown ones.
pub async fn later() -> ApiError {
    ApiError::NotFound("this route does not exist yet".into())
}

/// A sidecar's body.
struct Said {
    at: Sequence,
    status: Status,
    content: Content,
    ignored: Vec<String>,
}

impl Said {
    fn parse(body: &Bytes, with_health: bool) -> Result<Self, ApiError> {
        let mut fields = Fields::parse(body)?;
        let at = fields.sequence()?;
        let health = fields.text("health")?;
        let status = match health.as_deref() {
            _ if !with_health => Status::Draining,
            None => return Err(Invalid::new("InvalidHealth", "health", "health is required").into()),
            Some(text) => Health::parse(text)?.into(),
        };
        let weight = fields.integer("weight", "InvalidWeight")?.map(Weight::try_from).transpose()?;
        let mut locality = fields.object("locality")?;
        let mut label = |name: &'static str| Ok::<_, Invalid>(locality.text(name)?.unwrap_or_default());
        let (region, zone) = (label("region")?, label("zone")?);
        let content = Content {
            weight,
            canary: fields.flag("canary")?,
            revision: Revision::parse("revision", fields.text("revision")?.unwrap_or_default())?,
            locality: Locality {
                region: sds_types::Label::parse("locality.region", region)?,
                zone: sds_types::Label::parse("locality.zone", zone)?,
            },
            instance_id: InstanceId::parse("instance_id", fields.text("instance_id")?.unwrap_or_default())?,
            task_arn: TaskArn::parse("task_arn", fields.text("task_arn")?.unwrap_or_default())?,
            tags: Tags::parse(fields.object("tags")?.texts("tags", "InvalidTags")?)?,
            ..Content::default()
        };
        let mut ignored = fields.ignored("");
        ignored.extend(locality.ignored("locality."));
        Ok(Self { at, status, content, ignored })
    }
}

fn accepted((registered, accepted): &(Registered, Accepted), ignored: &[String]) -> Response {
    let response = match accepted {
        Accepted::Persisted => {
            let body = serde_json::to_vec(registered).unwrap_or_default();
            ([(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Accepted::Owed => owed(),
    };
    body::naming_ignored(response, ignored)
}

/// It counts here, and the store will be told.
fn owed() -> Response {
    (StatusCode::ACCEPTED, [(header::CONTENT_TYPE, "application/json")], r#"{"persisted":false}"#).into_response()
}

/// A query's parameters; ours are plain words and numbers, so nothing is decoded.
fn parameters(query: Option<&str>) -> HashMap<&str, &str> {
    query.unwrap_or("").split('&').filter_map(|pair| pair.split_once('=')).collect()
}

#[derive(Serialize)]
struct ServiceList<'a> {
    services: Vec<ServiceCounts<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'a str>,
}

#[derive(Serialize)]
struct ServiceCounts<'a> {
    service: &'a str,
    version: String,
    healthy: usize,
    unhealthy: usize,
    draining: usize,
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
        }
    }
}

#[derive(Serialize)]
struct ServiceShown<'a> {
    service: &'a str,
    version: String,
    instances: Vec<InstanceShown<'a>>,
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
}
