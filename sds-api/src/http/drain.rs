//! `GET .../instances/{ip:port}/drain?limit=`: who has not seen yet that an instance drains.

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use http::HeaderMap;
use serde::Serialize;

use super::{Shared, path::Host, query::Query, table};
use crate::{drains::Standing, error::ApiError};

/// The handler.
pub async fn get(
    State(app): Shared,
    Host(key): Host,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    app.registry.snapshot().ok_or(ApiError::NotReady)?;
    let query = Query::of(query.as_deref());
    let limit = query.limit(100)?;
    let Some(standing) = app.drains.standing(&key) else {
        return Err(ApiError::NotFound(format!("{key} is not draining")));
    };
    let shown = Shown::of(&standing, limit);
    Ok(table::either(&headers, &query, &shown, || shown.text(), None))
}

#[derive(Serialize)]
struct Shown {
    /// Nobody who routes by this registry sends it anything new.
    complete: bool,
    /// As far as this replica's clients go.
    here: bool,
    /// The other replicas; absent while they cannot be heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    others: Option<Vec<Other>>,
    /// Clients of this replica that may not know.
    waiting: Vec<ShownWaiting>,
    /// How many there are.
    waiting_for: usize,
}

#[derive(Serialize)]
struct Other {
    replica: String,
    complete: bool,
}

#[derive(Serialize)]
struct ShownWaiting {
    who: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    asks: &'static str,
}

impl Shown {
    fn of(standing: &Standing, limit: usize) -> Self {
        let others = standing.others.as_ref().map(|others| {
            let other = |(id, complete): &_| Other { replica: format!("{id}"), complete: *complete };
            others.iter().map(other).collect()
        });
        let waiting = standing.waiting.iter().take(limit).map(|client| ShownWaiting {
            who: client.who.clone(),
            peer: client.peer.clone(),
            asks: client.asks,
        });
        Self {
            complete: standing.complete,
            here: standing.here,
            others,
            waiting: waiting.collect(),
            waiting_for: standing.waiting.len(),
        }
    }

    fn text(&self) -> String {
        let known = |known| if known { "complete" } else { "waiting" }.to_owned();
        let mut rows = vec![
            ["everywhere".to_owned(), known(self.complete), String::new()],
            ["this replica".to_owned(), known(self.here), String::new()],
        ];
        match &self.others {
            None => rows.push(["other replicas".to_owned(), "cannot be heard".to_owned(), String::new()]),
            Some(others) => rows
                .extend(others.iter().map(|it| [format!("replica {}", it.replica), known(it.complete), String::new()])),
        }
        rows.extend(self.waiting.iter().map(|client| {
            let who: String = client.who.chars().flat_map(char::escape_debug).collect();
            [format!("  {who}"), client.asks.to_owned(), client.peer.clone().unwrap_or_default()]
        }));
        table::aligned(rows.into_iter())
    }
}
