//! `GET /v1/prometheus`, `/v1/prometheus/{service}`: targets for Prometheus, by its HTTP service discovery
//! (`http_sd_configs`, which wants a 200, JSON, and the whole list each time).
//!
//! Prometheus keeps its targets when it is refused, so until the first complete read it is; and what nobody serves is an
//! empty list with 200, as Prometheus asks for it. A refusal instead would leave it scraping the addresses of a service
//! that is gone, where others listen by now. The list is never empty for another reason: the registry serves what it knew
//! while its store is away, and holds many that fall silent at once.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderValue, header};

use super::{App, Shared, path::Service, state};
use crate::{error::ApiError, render::prometheus};

/// All services.
pub async fn all(State(app): Shared) -> Result<Response, ApiError> {
    let snapshot = app.registry.snapshot().ok_or(ApiError::NotReady)?;
    let held = snapshot.services.values().map(|service| service.holding()).sum();
    Ok(answer(&app, snapshot.targets(prometheus::all).clone(), held))
}

/// One.
pub async fn one(State(app): Shared, Service(name): Service) -> Result<Response, ApiError> {
    Ok(match app.registry.service(name.as_str()).ok_or(ApiError::NotReady)? {
        Some(service) => answer(&app, prometheus::of(&service).clone(), service.holding()),
        None => answer(&app, prometheus::NONE, 0),
    })
}

fn answer(app: &App, targets: Bytes, held: usize) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (state::NAME, state::of(app, held, false)),
    ];
    (headers, targets).into_response()
}
