//! `GET .../instances/{ip:port}`: why it is or is not in each answer. Whoever asks has a problem with one instance: so it
//! also answers for those that left, for rows that are left out of all answers, and for words that are no address at all.

use axum::{
    extract::{RawPathParams, RawQuery, State, rejection::RawPathParamsRejection},
    response::Response,
};
use http::HeaderMap;
use sds_types::{Endpoint, ServiceName};

use super::{Shared, path, query::Query, state, table};
use crate::{
    clock::Timestamp,
    error::ApiError,
    registry::{Event, Looked, explain::explain},
};

mod shown;

use shown::Shown;

/// So many of its last transitions are told.
const EVENTS: usize = 20;

/// The handler.
pub async fn get(
    State(app): Shared,
    params: Result<RawPathParams, RawPathParamsRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    app.registry.snapshot().ok_or(ApiError::NotReady)?;
    let params = params.map_err(|_| path::not_text())?;
    let word = |name| params.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value);
    let (service, host) = (word("service"), word("host"));
    let looked = app.registry.look_at(service, host).await?;
    if looked.facts.is_none() && looked.quarantine.is_none() {
        return Err(unknown(service, host, &looked));
    }
    let endpoint = host.parse::<Endpoint>().ok();
    let wanted = |event: &Event| {
        event.is_transition()
            && event.key.as_ref().is_some_and(|key| Some(key.endpoint) == endpoint && key.service.as_str() == service)
    };
    let events = app.registry.events().page(None, EVENTS, wanted).events;
    let wall = Timestamp::now();
    let explain = |facts| explain(facts, looked.service.as_deref(), app.fail_open, wall);
    let explained = looked.facts.as_ref().map(explain);
    let shown = Shown::of(service, host, &looked, explained.as_ref(), &events, wall);
    let held = looked.service.as_ref().map_or(0, |service| service.holding());
    let response = table::either(&headers, &Query::of(query.as_deref()), &shown, || shown.text(), None);
    Ok(state::on(response, state::of(&app, held, false)))
}

/// Nothing is known: what is wrong with the words, or where was looked.
fn unknown(service: &str, host: &str, looked: &Looked) -> ApiError {
    if let Err(error) = service.parse::<ServiceName>() {
        return error.into();
    }
    if let Err(error) = host.parse::<Endpoint>() {
        return error.into();
    }
    let fresh = looked.fresh.iso_seconds();
    ApiError::NotFound(format!(
        "nothing is known of {service}/{host}: neither a registration nor a tombstone (kept for a day) nor a row that is \
         left out, as of {fresh}; GET /v1/services/{service} lists who is in service"
    ))
}

#[cfg(test)]
mod tests;
