//! Writes in the dialects of the registries before us, whose clients work unchanged, all at the same time.
//!
//! They share their paths, so a registration's dialect is told by its body, whatever its Content-Type says: a form is
//! lyft/discovery's, JSON with `hosts` is kumonos-sds's, all else is cookpad/sds's. A deregistration's is told by its
//! path: without a port it is lyft's.
//!
//! All three of their servers stored what an Envoy then refuses together with all other hosts of the service; here that is a
//! bad request, in the words of the dialect.

mod cookpad;
mod form;
mod kumonos;
mod lyft;
mod repo;

use axum::{
    body::Body,
    extract::{RawPathParams, State, rejection::RawPathParamsRejection},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};

pub use kumonos::deregister as deregister_list;
pub use lyft::weight::weigh;
pub use repo::get as repo;

use super::{
    Shared,
    body::{self, Fields},
    path::{self, Service},
    peer::Peer,
};
use crate::auth::Shown;
use form::Form;

/// `POST /v1/registration/{s}`: register or renew.
pub async fn register(State(app): Shared, Service(service): Service, request: Request<Body>) -> Response {
    let peer = Peer::asking();
    let shown = Shown::by(request.headers());
    let boundary = boundary(request.headers());
    let body = match body::read(request, body::WRITE_LIMIT).await {
        Ok(body) => body,
        Err(error) => return error.into_cookpad(),
    };
    if Form::is_urlencoded(&body) {
        return lyft::register(&app, &shown, service, Form::urlencoded(&body), peer).await;
    }
    if let Some(boundary) = boundary.filter(|_| body.starts_with(b"--")) {
        return lyft::register(&app, &shown, service, Form::multipart(body, boundary).await, peer).await;
    }
    match Fields::parse(&body) {
        Err(error) => error.into_cookpad(),
        Ok(fields) if fields.has("hosts") => kumonos::register(&app, &shown, service, fields).await,
        Ok(fields) => cookpad::register(&app, &shown, service, fields).await,
    }
}

/// `DELETE /v1/registration/{s}/{ip}[:{port}]`.
pub async fn deregister(
    State(app): Shared,
    params: Result<RawPathParams, RawPathParamsRejection>,
    headers: HeaderMap,
) -> Response {
    let shown = Shown::by(&headers);
    let Ok(params) = params else { return path::not_text().into_response() };
    let (service, host) = (path::word(&params, "service"), path::word(&params, "host"));
    if lyft::is_without_port(host) {
        lyft::deregister(&app, &shown, service, host).await
    } else {
        cookpad::deregister(&app, &shown, path::key(&app, service, host)).await
    }
}

fn boundary(headers: &HeaderMap) -> Option<String> {
    multer::parse_boundary(headers.get(header::CONTENT_TYPE)?.to_str().ok()?).ok()
}

/// `{}`, which two of the dialects answer a success with.
fn nothing(status: StatusCode) -> Response {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], "{}").into_response()
}
