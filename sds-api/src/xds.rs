//! Discovery by streams (xDS over gRPC, version 3): a client says once what it wants, and is told when that changes.
//!
//! ```text
//!   service -- opens --> stream -- hears, asks what is due --> subscription (pure)
//!                          `-- spells with --> kind --> render::{eds_proto, proxyless}
//! ```
//!
//! Endpoints by their own service and by the aggregated one, in both variants of the protocol; on an aggregated stream
//! also the listener and the cluster of a service, by name. Other types are met with silence there, and counted: their
//! client goes on waiting for who serves them.

mod clients;
mod kind;
mod service;
mod stream;
mod subscription;
mod variant;
mod wire;

pub use clients::{Client, Clients, Wants};
pub use service::{PREFIX, serve};
pub use stream::Leaving;
pub use subscription::Answer;
