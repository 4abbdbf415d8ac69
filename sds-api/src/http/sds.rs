//! `GET /v1/registration/{service}`: what Envoy 1.4 to 1.8 and the ancestors' clients poll.
//!
//! Envoy takes anything but a 200 for a failure, so a service that nobody registered is a 200 without hosts, and 304
//! is only for those who sent `If-None-Match` (no Envoy does).

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{RawPathParams, State, rejection::RawPathParamsRejection},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Request, header};

use super::{
    Shared, not_modified, path,
    peer::{FORWARDED, poller},
    state,
};
use crate::{drains::Reads, error::ApiError, render::v1};

pub async fn get(
    State(app): Shared,
    params: Result<RawPathParams, RawPathParamsRejection>,
    request: Request<Body>,
) -> Response {
    let Ok(params) = params else { return path::not_text().into_response() };
    // A poll finds its service by the raw word; only a word that names none is looked at more closely.
    let name = params.iter().next().map_or("", |(_, name)| name);
    let Some(service) = app.registry.service(name) else { return ApiError::NotReady.into_response() };
    let Some(service) = service else {
        return match name.parse() {
            Ok(name) => answer(request.headers(), &v1::unknown(&name, &app.env), state::of(&app, 0, false)),
            Err(error) => ApiError::Invalid(error).into_response(),
        };
    };
    app.drains.pollers().answered(poller(request.headers().get(FORWARDED)), Reads::List, name, service.version);
    let first = || v1::render(&service, &app.env, app.fail_open);
    let rendered: Arc<v1::Answer> = service.answers.v1(first);
    answer(request.headers(), &rendered, state::of(&app, service.holding(), rendered.fail_open))
}

fn answer(headers: &HeaderMap, rendered: &v1::Answer, state: HeaderValue) -> Response {
    if let Some(unchanged) = not_modified(headers, &rendered.etag) {
        return unchanged;
    }
    // Put together by hand: the router's conversions would insert a type of their own first, on every poll.
    let mut response = Response::new(Body::from(rendered.body.clone()));
    let headers = response.headers_mut();
    headers.reserve(8);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ETAG, rendered.etag.clone());
    headers.insert(state::NAME, state);
    response
}
