//! REST EDS, `POST /v2|v3/discovery:endpoints`: an Envoy names clusters, we answer with their endpoints.
//!
//! - Every name that was asked for is answered, an unknown one with no endpoints.
//! - 304 when the request's `version_info` is current and not empty: a first request is always answered in full,
//!   for Envoy re-adds a cluster that way and waits.
//! - An Envoy sends its whole self with each poll, tens of kilobytes; only three fields of it are read.

use std::borrow::Cow;

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use sds_types::{Invalid, ServiceName};
use serde::Deserialize;

use super::{
    App, Shared, body,
    peer::{FORWARDED, poller},
    state,
};
use crate::{
    drains::Reads,
    error::ApiError,
    registry::{Snapshot, Version},
    render::eds_json::{self, Api},
};

/// The most names of one request.
const NAMES: usize = 1000;

/// Of a `DiscoveryRequest`, in proto3 JSON's two spellings.
#[derive(Deserialize)]
pub struct DiscoveryRequest<'a> {
    /// What the client holds.
    #[serde(borrow, default, alias = "versionInfo")]
    pub version_info: Option<Cow<'a, str>>,
    /// What it wants.
    #[serde(borrow, default, alias = "resourceNames")]
    pub resource_names: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow, default, alias = "typeUrl")]
    type_url: Option<Cow<'a, str>>,
}

pub async fn v2(State(app): Shared, request: Request<Body>) -> Result<Response, ApiError> {
    answer(&app, request, Api::V2).await
}

pub async fn v3(State(app): Shared, request: Request<Body>) -> Result<Response, ApiError> {
    answer(&app, request, Api::V3).await
}

async fn answer(app: &App, request: Request<Body>, api: Api) -> Result<Response, ApiError> {
    let forwarded = request.headers().get(FORWARDED).cloned();
    let body = body::read(request, body::DISCOVERY_LIMIT).await?;
    let request = parse(&body, api)?;
    let snapshot = app.registry.snapshot().ok_or(ApiError::NotReady)?;
    let mut names = request.resource_names.unwrap_or_default();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() || names.len() > NAMES {
        return Err(Invalid::new("InvalidNames", "resource_names", format!("1 to {NAMES} names are answered")).into());
    }
    let poller = poller(forwarded.as_ref());
    for service in names.iter().filter_map(|name| snapshot.services.get(name.as_ref())) {
        app.drains.pollers().answered(poller, Reads::Health, service.name.as_str(), service.version);
    }
    let held = request.version_info.unwrap_or_default();
    Ok(match &names[..] {
        [name] => one(app, &snapshot, name, &held, api),
        names => many(app, &snapshot, names, &held, api),
    })
}

/// Reads a request; unknown fields are nobody's business here.
pub fn parse(body: &[u8], api: Api) -> Result<DiscoveryRequest<'_>, ApiError> {
    // An array would pass for an object: serde reads it field by field.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(ApiError::Json("the body is not a JSON object"));
    }
    let request: DiscoveryRequest<'_> =
        serde_json::from_slice(body).map_err(|_| ApiError::Json("the body is not a DiscoveryRequest"))?;
    let wrong = request.type_url.as_deref().is_some_and(|url| !url.is_empty() && url != api.type_url());
    if wrong {
        return Err(Invalid::new("InvalidType", "type_url", format!("only {} is served here", api.type_url())).into());
    }
    Ok(request)
}

fn one(app: &App, snapshot: &Snapshot, name: &str, held: &str, api: Api) -> Response {
    let Some(service) = snapshot.services.get(name) else {
        let version = version_of_none(app, name);
        let empty = || eds_json::response(api, version, &[&eds_json::empty(name, api)]);
        return unless_held(held, version, state::of(app, 0, false), empty);
    };
    let state = state::of(app, service.holding(), false);
    let ready = || service.answers.eds(api, || eds_json::render(service, api)).response.clone();
    unless_held(held, service.version, state, ready)
}

fn many(app: &App, snapshot: &Snapshot, names: &[Cow<'_, str>], held: &str, api: Api) -> Response {
    let found: Vec<_> = names.iter().map(|name| (name.as_ref(), snapshot.services.get(name.as_ref()))).collect();
    let versions = found
        .iter()
        .map(|(name, service)| (*name, service.map_or_else(|| version_of_none(app, name), |service| service.version)));
    let version = Version::of_all(&mut versions.collect::<Vec<_>>());
    let holding = found.iter().filter_map(|(_, service)| *service).map(|service| service.holding()).sum();
    unless_held(held, version, state::of(app, holding, false), || {
        let resources: Vec<Bytes> = found
            .iter()
            .map(|(name, service)| match service {
                Some(service) => service.answers.eds(api, || eds_json::render(service, api)).resource.clone(),
                None => eds_json::empty(name, api),
            })
            .collect();
        let resources: Vec<&[u8]> = resources.iter().map(AsRef::as_ref).collect();
        eds_json::response(api, version, &resources)
    })
}

/// A name outside the grammar can have no registrations; it is answered as unknown, and counted.
fn version_of_none(app: &App, name: &str) -> Version {
    if name.parse::<ServiceName>().is_err() {
        app.metrics.bad_names.inc();
    }
    Version::of(name, &[])
}

fn unless_held(held: &str, version: Version, state: HeaderValue, response: impl FnOnce() -> Bytes) -> Response {
    if version.is(held) {
        return (StatusCode::NOT_MODIFIED, [(state::NAME, state)]).into_response();
    }
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json")), (state::NAME, state)];
    (headers, response()).into_response()
}
