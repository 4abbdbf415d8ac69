//! cookpad/sds's dialect: JSON whatever the Content-Type says, 202 without a body, errors as plain text, and
//! `HostNotFound` for what is not registered.
//!
//! Its server stored any text as ip and any weight up to 255, which an Envoy then refuses together with all other
//! hosts of the service; here those are a 400.

use std::collections::BTreeMap;

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{Request, StatusCode};
use sds_types::{Endpoint, InstanceId, Invalid, Label, Locality, Revision, ServiceName, Tags, Weight};

use super::super::{
    App, Shared,
    body::{self, Fields},
    path::{Host, Service},
};
use crate::{
    error::ApiError,
    instance::{Content, Key, Origin},
};

/// `POST /v1/registration/{s}`: register or renew.
pub async fn register(State(app): Shared, Service(name): Service, request: Request<Body>) -> Response {
    match register_host(&app, name, request).await {
        Err(error) => error.into_cookpad(),
        Ok(ignored) => body::naming_ignored(StatusCode::ACCEPTED.into_response(), &ignored),
    }
}

/// `DELETE /v1/registration/{s}/{ip}:{port}`.
pub async fn deregister(State(app): Shared, Host(key): Host) -> Response {
    match app.registry.legacy_deregister(key).await {
        Err(error) => ApiError::Write(error).into_cookpad(),
        Ok(_) => StatusCode::ACCEPTED.into_response(),
    }
}

async fn register_host(app: &App, service: ServiceName, request: Request<Body>) -> Result<Vec<String>, ApiError> {
    let body = body::read(request, body::WRITE_LIMIT).await?;
    let (endpoint, content, ignored) = host(&body)?;
    app.addresses.check(endpoint)?;
    app.registry.legacy_put(Key { service, endpoint }, content, Origin::Cookpad).await?;
    Ok(ignored)
}

fn host(body: &[u8]) -> Result<(Endpoint, Content, Vec<String>), ApiError> {
    let mut fields = Fields::parse(body)?;
    let missing = |name| move || Invalid::new("InvalidAddress", name, format!("{name} is required"));
    let ip = fields.text("ip")?.ok_or_else(missing("ip"))?;
    let port = fields.integer("port", "InvalidPort")?.ok_or_else(missing("port"))?;
    let endpoint = Endpoint::parse(&ip, port)?;
    let revision = Revision::parse("revision", fields.text("revision")?.unwrap_or_default())?;
    let mut tags = fields.object("tags")?;
    let weight = tags.integer("load_balancing_weight", "InvalidWeight")?.map(Weight::try_from).transpose()?;
    let canary = tags.flag("canary")?;
    let mut text = |name: &'static str| Ok::<_, Invalid>(tags.text(name)?.unwrap_or_default());
    let content = Content {
        revision,
        weight,
        canary,
        locality: Locality {
            region: Label::parse("tags.region", text("region")?)?,
            zone: Label::parse("tags.az", text("az")?)?,
        },
        instance_id: InstanceId::parse("tags.instance_id", text("instance_id")?)?,
        tags: Tags::parse(BTreeMap::new())?,
        ..Content::default()
    };
    let mut ignored = fields.ignored("");
    ignored.extend(tags.ignored("tags."));
    Ok((endpoint, content, ignored))
}
