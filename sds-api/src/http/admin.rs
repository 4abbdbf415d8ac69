//! How the server is: for load balancers, orchestrators and Prometheus.
//!
//! Readiness asks whether something is known, not whether the store answers now: with the store away the snapshot is
//! still the best answer there is. Liveness asks whether the loop turns.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use super::{App, Shared};

/// `GET /livez`
pub async fn livez(State(app): Shared) -> Response {
    if app.registry.is_live() {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the sync loop is stuck\n").into_response()
    }
}

/// `GET /readyz`
pub async fn readyz(State(app): Shared) -> Response {
    ready(&app, "ok\n")
}

/// `GET /hc`, as cookpad/sds has it.
pub async fn hc(State(app): Shared) -> Response {
    ready(&app, "ok")
}

/// `GET /healthcheck`, as lyft/discovery has it.
pub async fn healthcheck(State(app): Shared) -> Response {
    ready(&app, "OK")
}

fn ready(app: &App, word: &'static str) -> Response {
    match unready(app) {
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, why).into_response(),
        None => word.into_response(),
    }
}

fn unready(app: &App) -> Option<&'static str> {
    if app.is_stopping() {
        Some("stopping\n")
    } else if app.registry.snapshot().is_none() {
        Some("the first read of the store is not complete\n")
    } else {
        None
    }
}

/// `GET /metrics`
pub async fn metrics(State(app): Shared) -> Response {
    app.metrics.ready.set(unready(&app).is_none().into());
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], app.metrics.text()).into_response()
}
