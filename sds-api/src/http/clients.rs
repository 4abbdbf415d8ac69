//! `GET /v1/clients?service=&limit=`: who holds a discovery stream of this replica, what each wants, and whether it has
//! accepted what it was told last.

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use http::HeaderMap;
use serde::Serialize;

use super::{Shared, query::Query, table};
use crate::{
    clock::{Timestamp, spell},
    error::ApiError,
    xds::{Answer, Client, Held, Wants},
};

/// As many names of each are listed; a stream may want thousands.
const NAMES: usize = 20;

/// The handler.
pub async fn get(State(app): Shared, RawQuery(query): RawQuery, headers: HeaderMap) -> Result<Response, ApiError> {
    let query = Query::of(query.as_deref());
    let limit = query.limit(1000)?;
    let service = query.get("service");
    let wants = |name: &str, wants: &Wants| wants.subscription.held(name) != Held::Unwanted;
    let (clients, open) = app
        .discovery
        .clients
        .list(limit, |client| service.is_none_or(|name| client.wants.iter().any(|wanted| wants(name, wanted))));
    let list = List { clients: clients.iter().map(Shown::of).collect(), open };
    Ok(table::either(&headers, &query, &list, || text(&clients), None))
}

fn text(clients: &[Client]) -> String {
    let now = Timestamp::now();
    let rows = clients.iter().flat_map(|client| client.wants.iter().map(move |wants| (client, wants)));
    let rows = rows.map(|(client, wants)| {
        let mut names = wants.subscription.names();
        let first = names.next().map_or("", AsRef::as_ref);
        let more = names.count();
        [
            shown(&client.node.id),
            shown(&client.node.cluster),
            client.peer.map_or_else(String::new, |peer| peer.to_string()),
            client.variant.to_owned(),
            spell(now.since(client.since)),
            wants.kind.name().to_owned(),
            if more > 0 { format!("{} and {more} more", shown(first)) } else { shown(first) },
            state(wants).to_owned(),
            if wants.version.is_empty() { String::new() } else { format!("{} ago", spell(now.since(wants.told))) },
            shown(&wants.refusal),
        ]
    });
    let columns = ["NODE", "CLUSTER", "PEER", "STREAM", "OPEN", "TYPE", "NAMES", "STATE", "TOLD", "REFUSED"];
    table::text(columns, rows)
}

/// A client's own words, fit for a terminal.
fn shown(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_debug).collect()
}

fn state(wants: &Wants) -> &'static str {
    match wants.subscription.answer() {
        Answer::Awaited if wants.version.is_empty() => "asked",
        Answer::Awaited => "told",
        Answer::Accepted => "accepted",
        Answer::Refused => "refused",
    }
}

#[derive(Serialize)]
struct List {
    clients: Vec<Shown>,
    /// How many streams there are.
    open: usize,
}

#[derive(Serialize)]
struct Shown {
    node: String,
    cluster: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    stream: &'static str,
    since: String,
    wants: Vec<ShownWants>,
}

#[derive(Serialize)]
struct ShownWants {
    #[serde(rename = "type")]
    kind: &'static str,
    names: Vec<String>,
    /// How many names there are.
    wanted: usize,
    #[serde(skip_serializing_if = "String::is_empty")]
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    told: Option<String>,
    state: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    refused: String,
}

impl Shown {
    fn of(client: &Client) -> Self {
        let wants = |wants: &Wants| ShownWants {
            kind: wants.kind.name(),
            names: wants.subscription.names().take(NAMES).map(ToString::to_string).collect(),
            wanted: wants.subscription.names().count(),
            version: wants.version.clone(),
            told: (!wants.version.is_empty()).then(|| wants.told.iso()),
            state: state(wants),
            refused: wants.refusal.clone(),
        };
        Self {
            node: client.node.id.clone(),
            cluster: client.node.cluster.clone(),
            peer: client.peer.map(|peer| peer.to_string()),
            stream: client.variant,
            since: client.since.iso(),
            wants: client.wants.iter().map(wants).collect(),
        }
    }
}
