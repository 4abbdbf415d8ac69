//! cookpad/sds's dialect: JSON whatever the Content-Type says, 202 without a body, errors as plain text, and
//! `HostNotFound` for what is not registered.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use sds_types::{Endpoint, InstanceId, Invalid, Label, Locality, Revision, ServiceName, Weight};

use super::super::{
    App,
    body::{self, Fields},
};
use crate::{
    error::ApiError,
    instance::{Content, Key, Origin},
    registry::Said,
};

/// One host, registered or renewed.
pub async fn register(app: &App, service: ServiceName, fields: Fields) -> Response {
    match register_host(app, service, fields).await {
        Err(error) => error.into_cookpad(),
        Ok(ignored) => body::naming_ignored(StatusCode::ACCEPTED.into_response(), &ignored),
    }
}

/// One host, deregistered.
pub async fn deregister(app: &App, key: Result<Key, ApiError>) -> Response {
    let left = match key {
        Ok(key) => app.registry.legacy_deregister(key).await.map_err(ApiError::from),
        Err(error) => Err(error),
    };
    match left {
        Err(error) => error.into_cookpad(),
        Ok(()) => StatusCode::ACCEPTED.into_response(),
    }
}

async fn register_host(app: &App, service: ServiceName, fields: Fields) -> Result<Vec<String>, ApiError> {
    let (endpoint, content, ignored) = host(fields)?;
    app.addresses.check(endpoint)?;
    let said = Said { origin: Origin::Cookpad, content, unsaid: None };
    app.registry.legacy_put(Key { service, endpoint }, said).await?;
    Ok(ignored)
}

fn host(mut fields: Fields) -> Result<(Endpoint, Content, Vec<String>), Invalid> {
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
        ..Content::default()
    };
    let mut ignored = fields.ignored("");
    ignored.extend(tags.ignored("tags."));
    Ok((endpoint, content, ignored))
}
