//! Who sent a request: the TCP peer, or the client that a trusted proxy named by PROXY protocol v2.
use std::net::SocketAddr;
/// The sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub addr: SocketAddr,
    /// Whether this is a trusted proxy that did not say for whom it speaks.
    pub hidden: bool,
}
