//! `GET /v1/events?service=&limit=&after=&audit=`: what happened lately, as this replica saw it. The newest come last, so that
//! a terminal shows them; `after` a number come the next ones, so that a program misses none that are still kept. With
//! `audit=true` it also tells of each write through this replica who asked for it.

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use http::HeaderMap;
use sds_types::{Invalid, ServiceName};
use serde::Serialize;

use super::{Shared, operator, query::Query, table};
use crate::{
    error::ApiError,
    instance::Gone,
    registry::{Changed, Ended, Event, What, Written},
};

/// The handler.
pub async fn get(State(app): Shared, RawQuery(query): RawQuery, headers: HeaderMap) -> Result<Response, ApiError> {
    let query = Query::of(query.as_deref());
    let limit = query.limit(1000)?;
    let service = query.get("service").map(str::parse::<ServiceName>).transpose()?;
    let after = query.get("after").map(|text| {
        let reason = "after is the number of an event that you know";
        text.parse::<u64>().map_err(|_| Invalid::new("InvalidAfter", "after", reason))
    });
    let audit = query.get("audit") == Some("true");
    let wanted = |event: &Event| {
        (audit || event.is_transition())
            && service.as_ref().is_none_or(|service| event.key.as_ref().is_some_and(|key| key.service == *service))
    };
    let page = app.registry.events().page(after.transpose()?, limit, wanted);
    let list = EventList {
        events: page.events.iter().map(EventShown::of).collect(),
        last: page.last,
        next: page.events.last().filter(|_| page.more).map(|event| event.n),
    };
    Ok(table::either(&headers, &query, &list, || text(&list.events), None))
}

/// Events as a table.
pub fn text(events: &[EventShown<'_>]) -> String {
    let rows = events.iter().map(|event| {
        let endpoint = event.endpoint.clone().unwrap_or_default();
        let (service, event_name) = (event.service.unwrap_or_default().to_owned(), event.event.to_owned());
        [event.n.to_string(), event.at.clone(), service, endpoint, event_name, event.detail.clone()]
    });
    table::text(["N", "AT", "SERVICE", "ENDPOINT", "EVENT", "DETAIL"], rows)
}

#[derive(Serialize)]
struct EventList<'a> {
    events: Vec<EventShown<'a>>,
    /// The newest number of all; the next request's `after`, unless there is a `next`.
    last: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

/// An event as JSON.
#[derive(Debug, Serialize)]
pub struct EventShown<'a> {
    n: u64,
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    event: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
}

impl<'a> EventShown<'a> {
    /// Shows one.
    pub fn of(event: &'a Event) -> Self {
        let (name, detail) = words(&event.what);
        Self {
            n: event.n,
            at: event.at.iso(),
            service: event.key.as_ref().map(|key| key.service.as_str()),
            endpoint: event.key.as_ref().map(|key| key.endpoint.to_string()),
            event: name,
            detail,
        }
    }
}

/// The event's name for programs, and the rest for people.
fn words(what: &What) -> (&'static str, String) {
    match what {
        What::Serving { services, instances } => ("serving", format!("{services} services, {instances} instances")),
        What::Registered(status) => ("registered", status.as_str().into()),
        What::Restarted(incarnation) => ("restarted", format!("incarnation {incarnation}")),
        What::NewTenant { from, to } => ("new_tenant", format!("{from} -> {to}")),
        What::Status { from, to } => (to.as_str(), format!("was {}", from.as_str())),
        What::Changed(changed) => ("changed", changed.iter().map(changed_words).collect::<Vec<_>>().join(", ")),
        What::Overridden(said) => ("override", operator::words(said)),
        What::OverrideEnded(Ended::RanOut) => ("override_ended", "its time is over".into()),
        What::OverrideEnded(Ended::TakenBack) => ("override_ended", "taken back".into()),
        What::OverrideEnded(Ended::NewTenant) => ("override_ended", "meant for the former tenant".into()),
        What::Held => ("held", "silent together with many others".into()),
        What::HeardAgain => ("heard_again", String::new()),
        What::Silent => ("silent", "left the answers".into()),
        What::Deregistered(Gone::Deregistered) => ("deregistered", "its owner left".into()),
        What::Deregistered(Gone::Unhealthy) => ("deregistered", "its owner left, the app stayed unfit".into()),
        What::Deregistered(Gone::Stopped) => ("deregistered", "ECS says that the task stopped".into()),
        What::Written(change) => {
            let Written { by, before, after } = &**change;
            let from = by.from.map(|from| format!(" from {from}")).unwrap_or_default();
            ("written", format!("{}{from}: {before} -> {after}", by.who))
        }
    }
}

fn changed_words(changed: &Changed) -> String {
    let weight =
        |weight: &Option<_>| weight.map_or_else(|| "unset".to_owned(), |weight: sds_types::Weight| weight.to_string());
    let text = |text: &str| if text.is_empty() { "unset".to_owned() } else { text.to_owned() };
    match changed {
        Changed::Weight(from, to) => format!("weight {} -> {}", weight(from), weight(to)),
        Changed::Canary(now) => format!("canary {now}"),
        Changed::Revision(from, to) => format!("revision {} -> {}", text(from), text(to)),
        Changed::Other(name) => (*name).to_owned(),
    }
}

#[cfg(test)]
mod tests;
