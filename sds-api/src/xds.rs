//! Discovery by streams (xDS over gRPC, version 3): a client says once what it wants, and is told when that changes.
//!
//! ```text
//!   service -- opens --> stream -- hears, asks what is due --> subscription (pure)
//!                          `-- spells with --> render::eds_proto (once per version, for all streams)
//! ```
//!
//! Endpoints by their own service and by the aggregated one, in both variants of the protocol. Other types on an
//! aggregated stream are met with silence, and counted: their client goes on waiting for who serves them.

mod service;
mod stream;
mod subscription;
mod variant;
mod wire;

pub use service::{PREFIX, serve};
pub use stream::Leaving;
