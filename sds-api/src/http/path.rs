//! The words of a path: a service, and an ip:port. Decoded once, checked against their grammar, and refused in the
//! API's own words, never as another route.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, Path, RawPathParams},
    response::{IntoResponse, Response},
};
use http::request::Parts;
use sds_types::{Endpoint, Invalid, ServiceName};

use super::App;
use crate::{error::ApiError, instance::Key};

/// `{service}`.
pub struct Service(pub ServiceName);

/// `{service}` and `{host}`, the latter one of the addresses that may register here.
pub struct Host(pub Key);

impl FromRequestParts<Arc<App>> for Service {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let Path(name) =
            Path::<String>::from_request_parts(parts, app).await.map_err(|_| not_text().into_response())?;
        name.parse().map(Self).map_err(|error| ApiError::Invalid(error).into_response())
    }
}

impl FromRequestParts<Arc<App>> for Host {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let params = RawPathParams::from_request_parts(parts, app).await.map_err(|_| not_text())?;
        key(app, word(&params, "service"), word(&params, "host")).map(Self)
    }
}

/// A word of the path, "" if the route has none of that name.
pub fn word<'a>(params: &'a RawPathParams, name: &str) -> &'a str {
    params.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
}

/// An instance's key of its two words, if it may register here.
pub fn key(app: &App, service: &str, host: &str) -> Result<Key, ApiError> {
    let key = Key { service: service.parse()?, endpoint: host.parse::<Endpoint>()? };
    app.addresses.check(key.endpoint)?;
    Ok(key)
}

/// A path whose escapes are not UTF-8.
pub fn not_text() -> ApiError {
    Invalid::new("InvalidPath", "path", "the path is not UTF-8").into()
}
