//! Discovery by streams (xDS over gRPC, version 3): a client says once what it wants, and is told when that changes.
//!
//! ```text
//!   service -- opens --> stream -- hears, asks what is due --> subscription (pure)
//!                          `-- looks up what there is --> catalog --> render::{eds_proto, proxyless, gateway}
//! ```
//!
//! Endpoints by their own service and by the aggregated one, in both variants of the protocol; on an aggregated stream
//! also clusters, listeners and routes, as far as the catalog has them. Other types are met with silence there, and counted:
//! their client goes on waiting for who serves them.

mod admission;
mod catalog;
mod clients;
mod service;
mod stream;
mod subscription;
mod variant;
mod wire;

use std::{net::SocketAddr, sync::Arc};

use tokio::sync::watch;

use crate::{drains::Pollers, metrics::Metrics, registry::Snapshot};

pub use admission::Admission;
pub use clients::{Client, Clients, Wants};
pub use service::{PREFIX, elsewhere};
pub use stream::Leaving;
pub use subscription::{Answer, Held};

/// What all streams have in common; clones share it.
#[derive(Debug, Clone)]
pub struct Discovery {
    /// What is served.
    pub snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    /// Counters.
    pub metrics: Metrics,
    /// Who holds a stream.
    pub clients: Clients,
    /// The pace of new ones.
    pub admission: Admission,
    /// Who asks without one.
    pub pollers: Pollers,
    /// Where Envoys that ask for all listeners are to listen, if anywhere.
    pub gateway: Option<SocketAddr>,
}
