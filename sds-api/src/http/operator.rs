//! Overrides: an operator's word on one instance. It wins over its registrant, survives heartbeats and restarts, and ends by
//! itself, so that what was done at night is not found in the routes a month later.
//!
//! Requests from this machine itself may do so, and tokens that the policy lets operate the service. Who speaks through a proxy
//! may be anybody, and a header may say anything.

use std::time::Duration;

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Request, StatusCode, header};
use sds_types::{Invalid, Label, Weight, any_span};
use serde::Serialize;
use serde_json::Value;

use super::{
    Shared,
    body::{self, Fields},
    path::Host,
};
use crate::{
    auth::Shown,
    clock::Timestamp,
    error::ApiError,
    instance::{Key, Override, Status},
    registry::{Facts, Registry, WriteError},
};

/// An override that does not say when it ends.
const DEFAULT: Duration = Duration::from_secs(3600);
/// The longest.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

/// `PUT .../instances/{ip:port}/override`: lays a word over an instance, in the place of an earlier one.
pub async fn put(State(app): Shared, Host(key): Host, request: Request<Body>) -> Result<Response, ApiError> {
    let registry = app.operator(&Shown::by(request.headers()), &key.service)?;
    let body = body::read(request, body::WRITE_LIMIT).await?;
    let (mut said, ignored) = parse(&body, Timestamp::now())?;
    said.tenant = standing(&registry, &key).await?.row.tenant();
    registry.set_override(key, Some(said.clone())).await?;
    let shown = serde_json::to_vec(&OverrideShown::of(&said)).unwrap_or_default();
    let response = ([(header::CONTENT_TYPE, "application/json")], shown).into_response();
    Ok(body::naming_ignored(response, &ignored))
}

/// `DELETE .../instances/{ip:port}/override`: takes it back; also when there is none.
pub async fn delete(State(app): Shared, Host(key): Host, headers: HeaderMap) -> Result<Response, ApiError> {
    let registry = app.operator(&Shown::by(&headers), &key.service)?;
    standing(&registry, &key).await?;
    registry.set_override(key, None).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Who is registered there; a word that was meant for nobody would fall on whoever comes next.
async fn standing(registry: &Registry, key: &Key) -> Result<Facts, ApiError> {
    let facts = registry.look_at(key.service.as_str(), &key.endpoint.to_string()).await?.facts;
    let registered = |facts: &Facts| facts.row.registration().is_some() && !facts.row.is_foreign();
    Ok(facts.filter(registered).ok_or(WriteError::Unknown)?)
}

/// The word, of nobody yet, and what was not understood.
fn parse(body: &[u8], now: Timestamp) -> Result<(Override, Vec<String>), ApiError> {
    let mut fields = Fields::parse(body)?;
    let status = match fields.text("status")?.as_deref() {
        None => None,
        Some("unhealthy") => Some(Status::Unhealthy),
        Some("draining") => Some(Status::Draining),
        Some(_) => {
            let reason =
                "status is 'unhealthy' or 'draining': nobody is declared healthy, take the override back instead";
            return Err(Invalid::new("InvalidStatus", "status", reason).into());
        }
    };
    let weight = fields.integer("weight", "InvalidWeight")?.map(Weight::try_from).transpose()?;
    let canary = match fields.take("canary") {
        None => None,
        Some(Value::Bool(canary)) => Some(canary),
        Some(_) => return Err(Invalid::new("InvalidType", "canary", "canary is not true or false").into()),
    };
    if status.is_none() && weight.is_none() && canary.is_none() {
        return Err(Invalid::new("InvalidOverride", "status", "say at least one of status, weight and canary").into());
    }
    let reason = fields.text("reason")?.unwrap_or_default();
    if reason.trim().is_empty() {
        return Err(
            Invalid::new("InvalidText", "reason", "reason is required: who reads it at night knows nothing").into()
        );
    }
    let said = Override {
        status,
        weight,
        canary,
        reason: Label::parse("reason", reason)?,
        who: Label::parse("who", fields.text("who")?.unwrap_or_default())?,
        until: until(&mut fields, now)?,
        tenant: String::new(),
    };
    Ok((said, fields.ignored("")))
}

/// When it ends, in epoch seconds; never before the time that was asked for.
fn until(fields: &mut Fields, now: Timestamp) -> Result<u64, Invalid> {
    let until = match (fields.take("until"), fields.take("for")) {
        (Some(_), Some(_)) => return Err(Invalid::new("InvalidTime", "until", "say until or for, not both")),
        (Some(Value::String(text)), None) => Timestamp::parse(&text),
        (Some(_), None) => None,
        (None, None) => Some(now.plus(DEFAULT)),
        (None, Some(span)) => {
            let span = match span {
                Value::String(text) => any_span(&text).ok(),
                Value::Number(seconds) => seconds.as_u64().map(Duration::from_secs),
                _ => None,
            };
            let wrong = || Invalid::new("InvalidTime", "for", "for is a span, as in 30s, 15m, 2h, 7d or bare seconds");
            return bounded("for", now.plus(span.ok_or_else(wrong)?), now);
        }
    };
    let wrong = || Invalid::new("InvalidTime", "until", "until is a time, as in 2026-11-23T12:00:00Z");
    bounded("until", until.ok_or_else(wrong)?, now)
}

fn bounded(field: &'static str, until: Timestamp, now: Timestamp) -> Result<u64, Invalid> {
    if until <= now {
        return Err(Invalid::new("InvalidTime", field, "an override ends in the future"));
    }
    if until.since(now) > LONGEST {
        return Err(Invalid::new("InvalidTime", field, "an override lasts 7 days at most"));
    }
    Ok(until.millis().div_ceil(1000))
}

/// An override in one line.
pub fn words(said: &Override) -> String {
    let parts = [
        said.status.map(|status| status.as_str().to_owned()),
        said.weight.map(|weight| format!("weight {weight}")),
        said.canary.map(|canary| format!("canary {canary}")),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    let who = if said.who.is_empty() { String::new() } else { format!(" by {}", said.who) };
    let until = Timestamp::of_seconds(said.until).iso_seconds();
    format!("{}{who} until {until}: {}", parts.join(", "), said.reason)
}

/// An override as JSON.
#[derive(Debug, Serialize)]
pub struct OverrideShown<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<Weight>,
    #[serde(skip_serializing_if = "Option::is_none")]
    canary: Option<bool>,
    reason: &'a str,
    who: &'a str,
    until: String,
}

impl<'a> OverrideShown<'a> {
    /// Shows one.
    pub fn of(said: &'a Override) -> Self {
        Self {
            status: said.status.map(Status::as_str),
            weight: said.weight,
            canary: said.canary,
            reason: said.reason.as_str(),
            who: said.who.as_str(),
            until: Timestamp::of_seconds(said.until).iso_seconds(),
        }
    }
}

#[cfg(test)]
mod tests;
