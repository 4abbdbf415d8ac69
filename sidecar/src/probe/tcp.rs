//! The TCP check: an accepted connection passes, and is closed at once. It cannot tell a hung app from a well one,
//! because the kernel accepts for both; only a check that reads an answer can.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::{Probe, failure};

/// One connect, to the first address that takes it; the caller sets the deadline.
pub async fn probe(addresses: &[SocketAddr]) -> Probe {
    match TcpStream::connect(addresses).await {
        Ok(_) => Probe::Pass,
        Err(error) => failure(&error),
    }
}
