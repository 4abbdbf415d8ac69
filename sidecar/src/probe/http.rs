//! The HTTP check: GET, and a status from 200 to 299 passes; a redirect is an answer like any other, so it fails.
//!
//! The body is read too, up to a limit: an app that says 200 and then hangs or resets is not well. One that goes on
//! beyond the limit has shown enough.

use std::net::SocketAddr;

use reqwest::{Client, Url};

use super::{Probe, failure};
use crate::{
    config::Check,
    web::{self, BodyError},
};

/// A client that keeps no connection and asks no DNS: `localhost` is this task, whatever a resolver thinks.
pub fn client(checks: &[Check]) -> Result<Client, reqwest::Error> {
    let localhost = checks.iter().find(|check| check.is_localhost());
    let addresses: &[SocketAddr] = localhost.map_or(&[], |check| &check.addresses);
    let portless: Vec<_> = addresses.iter().map(|address| SocketAddr::new(address.ip(), 0)).collect();
    web::client(false).pool_max_idle_per_host(0).resolve_to_addrs("localhost", &portless).build()
}

/// One GET; the caller sets the deadline.
pub async fn probe(client: &Client, url: Url) -> Probe {
    match client.get(url).send().await {
        Err(error) => failure(&error),
        Ok(response) if !response.status().is_success() => Probe::Fail(format!("status {}", response.status())),
        Ok(response) => match web::body(response, web::BODY_LIMIT).await {
            Ok(_) | Err(BodyError::TooLong(_)) => Probe::Pass,
            Err(error @ BodyError::Broken(_)) => Probe::Fail(error.to_string()),
        },
    }
}
