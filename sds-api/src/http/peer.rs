//! Who sent a request: the TCP peer, or the client that a trusted proxy named by PROXY protocol v2.

use std::{future::Future, net::SocketAddr};

use http::{HeaderName, HeaderValue};
use tokio::time::Instant;

use crate::drains::Poller;

/// The sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub addr: SocketAddr,
    /// Whether this is a trusted proxy that did not say for whom it speaks.
    pub hidden: bool,
    /// Whether the connection came with a certificate of the clients' authority.
    pub certified: bool,
}

tokio::task_local! {
    // An extension of the request would be allocated for each poll.
    static ASKING: (Peer, Instant);
}

impl Peer {
    /// Whose request is answered here.
    pub fn asking() -> Option<Self> {
        ASKING.try_with(|(peer, _)| *peer).ok()
    }

    /// In words, for who is told why not.
    pub fn words(peer: Option<Self>) -> String {
        match peer {
            Some(peer) if peer.hidden => "a proxy that does not say for whom it speaks".into(),
            Some(peer) => peer.addr.ip().to_canonical().to_string(),
            None => "an unknown peer".into(),
        }
    }

    /// Answers a request of this peer, which came just now.
    pub fn asks<F: Future>(self, now: Instant, answer: F) -> impl Future<Output = F::Output> {
        ASKING.scope((self, now), answer)
    }
}

/// Where an Envoy names itself; whatever else may stand there only keeps two pollers apart.
pub const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The sender of a poll.
pub fn poller(forwarded: Option<&HeaderValue>) -> Poller<'_> {
    let (ip, at) = match ASKING.try_with(|(peer, now)| (peer.addr.ip(), *now)) {
        Ok((ip, now)) => (Some(ip), now),
        Err(_) => (None, Instant::now()),
    };
    Poller { forwarded: forwarded.map(HeaderValue::as_bytes), ip, at }
}
