//! lyft/discovery's weights, `POST /v1/loadbalancing/{service}[/{ip}]`: somebody who is not the host says how much traffic
//! it gets. Its next heartbeat must not undo that, so it is an operator's word and not part of the registration.

use std::net::IpAddr;

use axum::{
    body::Body,
    extract::{RawPathParams, State, rejection::RawPathParamsRejection},
    response::{IntoResponse, Response},
};
use http::{Request, StatusCode};
use sds_types::{Invalid, ServiceName, Weight};

use super::super::{
    super::{App, Shared, body, path},
    boundary,
    form::Form,
};
use crate::{
    auth::Shown,
    error::{ApiError, MISSING},
    registry::WriteError,
};

/// `POST /v1/loadbalancing/{s}`: every host; a service without any is no error.
/// `POST /v1/loadbalancing/{s}/{ip}`: the host there.
pub async fn weigh(
    State(app): Shared,
    params: Result<RawPathParams, RawPathParamsRejection>,
    request: Request<Body>,
) -> Response {
    let Ok(params) = params else { return path::not_text().into_response() };
    let service = match path::word(&params, "service").parse::<ServiceName>() {
        Ok(service) => service,
        Err(error) => return ApiError::Invalid(error).into_response(),
    };
    let host = params.iter().find(|(name, _)| *name == "host").map(|(_, host)| super::ip(host));
    match set(&app, service, host, request).await {
        Err(error) => error.into_lyft_weight(),
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
    }
}

async fn set(
    app: &App,
    service: ServiceName,
    host: Option<Result<IpAddr, Invalid>>,
    request: Request<Body>,
) -> Result<(), ApiError> {
    let shown = Shown::by(request.headers());
    let boundary = boundary(request.headers());
    let body = body::read(request, body::WRITE_LIMIT).await?;
    let form = match boundary {
        Some(boundary) if body.starts_with(b"--") => Form::multipart(body, boundary).await?,
        _ => Form::urlencoded(&body)?,
    };
    let weight = weight(form)?;
    let ip = host.transpose().map_err(|_| WriteError::Unknown)?;
    let by = app.auth.weigh(&shown, &service)?;
    Ok(app.registry.by(by).set_weight(service, ip, weight).await?)
}

fn weight(mut form: Form) -> Result<Weight, Invalid> {
    let name = "load_balancing_weight";
    let text = form.take(name).ok_or_else(|| Invalid::new(MISSING, name, format!("{name} is required")))?;
    let number = text.parse::<i64>();
    Weight::try_from(number.map_err(|_| Invalid::new("InvalidWeight", name, format!("{name} is not an integer")))?)
}
