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
    auth::Shown,
    error::ApiError,
    instance::{Content, Key, Origin},
    registry::Said,
};

/// One host, registered or renewed.
pub async fn register(app: &App, shown: &Shown, service: ServiceName, fields: Fields) -> Response {
    match register_host(app, shown, service, fields).await {
        Err(error) => error.into_cookpad(),
        Ok(ignored) => body::naming_ignored(StatusCode::ACCEPTED.into_response(), &ignored),
    }
}

/// One host, deregistered.
pub async fn deregister(app: &App, shown: &Shown, key: Result<Key, ApiError>) -> Response {
    match deregister_host(app, shown, key).await {
        Err(error) => error.into_cookpad(),
        Ok(()) => StatusCode::ACCEPTED.into_response(),
    }
}

async fn deregister_host(app: &App, shown: &Shown, key: Result<Key, ApiError>) -> Result<(), ApiError> {
    let key = key?;
    Ok(app.registrant(shown, &key).await?.legacy_deregister(key).await?)
}

async fn register_host(
    app: &App,
    shown: &Shown,
    service: ServiceName,
    fields: Fields,
) -> Result<Vec<String>, ApiError> {
    let (endpoint, content, ignored) = host(fields)?;
    app.addresses.check(endpoint)?;
    let said = Said { origin: Origin::Cookpad, content, unsaid: None };
    let key = Key { service, endpoint };
    app.registrant(shown, &key).await?.legacy_put(key, said).await?;
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
