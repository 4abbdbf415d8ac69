//! What the other replicas said of drains when their headers were read last.

use tokio::time::Instant;

use crate::replica::{InstanceHash, ReplicaId};

/// One look at the headers.
#[derive(Debug)]
pub struct Witnesses {
    /// When it began: it shows whoever had a client before.
    pub began: Instant,
    /// Those who may have clients.
    pub others: Vec<Witness>,
}

/// Another replica.
#[derive(Debug)]
pub struct Witness {
    /// Its name.
    pub id: ReplicaId,
    /// The draining instances of which all its clients know.
    pub seen: Vec<InstanceHash>,
}
