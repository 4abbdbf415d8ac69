//! The native API as sidecars write it: register, renew, drain, leave.

use axum::{
    body::Body,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use sds_types::{Health, InstanceId, Invalid, Locality, Registered, Revision, Sequence, Tags, TaskArn, Weight};

use super::{
    App, Shared,
    body::{self, Fields},
    path::Host,
    query::Query,
};
use crate::{
    auth::{Lease, Shown},
    error::ApiError,
    instance::{Content, Gone, Status},
    registry::Accepted,
};

/// `PUT .../instances/{ip:port}`: register or renew.
pub async fn put(State(app): Shared, Host(key): Host, request: Request<Body>) -> Result<Response, ApiError> {
    let shown = Shown::by(request.headers());
    let body = body::read(request, body::WRITE_LIMIT).await?;
    let said = Said::parse(&body, true)?;
    let (registry, lease) = app.sidecar(&shown, &key, said.at.incarnation, Some(&said.content.task_arn)).await?;
    let mut put = registry.put(key, said.at, said.status, said.content).await?;
    give_token(&app, &mut put.0, lease.as_ref());
    Ok(accepted(&put, &said.ignored))
}

/// `POST .../instances/{ip:port}/drain`: no new requests, until a higher incarnation registers.
pub async fn drain(State(app): Shared, Host(key): Host, request: Request<Body>) -> Result<Response, ApiError> {
    let shown = Shown::by(request.headers());
    let body = body::read(request, body::WRITE_LIMIT).await?;
    let said = Said::parse(&body, false)?;
    let (registry, lease) = app.sidecar(&shown, &key, said.at.incarnation, Some(&said.content.task_arn)).await?;
    let mut put = registry.put(key.clone(), said.at, Status::Draining, said.content).await?;
    give_token(&app, &mut put.0, lease.as_ref());
    put.0.drained = Some(app.drains.are_complete(&key, said.at.incarnation));
    Ok(accepted(&put, &said.ignored))
}

/// `DELETE .../instances/{ip:port}?incarnation=&seq=`: gone, also when repeated.
pub async fn delete(
    State(app): Shared,
    Host(key): Host,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let query = Query::of(query.as_deref());
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
        Some("unhealthy") => Gone::Unhealthy,
        _ => Gone::Deregistered,
    };
    let (registry, _) = app.sidecar(&Shown::by(&headers), &key, at.incarnation, None).await?;
    Ok(match registry.deregister(key, at, why).await? {
        Accepted::Persisted => StatusCode::NO_CONTENT.into_response(),
        Accepted::Owed => owed(),
    })
}

/// Routes that come with later releases answer as unknown ones.
pub async fn later() -> ApiError {
    ApiError::NotFound("this route does not exist yet".into())
}

/// A sidecar's body.
pub struct Said {
    /// Its place in the order of writes.
    pub at: Sequence,
    status: Status,
    /// What it says of the instance.
    pub content: Content,
    /// Names of what was not understood.
    pub ignored: Vec<String>,
}

impl Said {
    /// Reads it; a drain says no health.
    pub fn parse(body: &Bytes, with_health: bool) -> Result<Self, ApiError> {
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

/// What its next requests show.
fn give_token(app: &App, registered: &mut Registered, lease: Option<&Lease>) {
    if let Some((token, ttl)) = lease.and_then(|lease| app.auth.token(lease)) {
        registered.token = Some(token);
        registered.token_ttl_ms = ttl.as_millis().try_into().ok();
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
