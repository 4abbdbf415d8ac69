//! All that is believed of one ip:port, told without judging it: what [`explain`](crate::registry::explain) and the answers
//! to operators are made of. It is read from where the answers come from, so the two cannot part.

use std::time::Duration;

use super::Fold;
use crate::{clock::Timestamp, instance::Key, instance::Row, replica::ReplicaId};

/// What is believed of one ip:port.
#[derive(Debug, Clone)]
pub struct Facts {
    /// As the store has it or, if it is owed, as the store will have it.
    pub row: Row,
    /// In the answers.
    pub served: bool,
    /// Kept there by the loss guard.
    pub held: bool,
    /// Silent for a lease, and there, as unhealthy, because ECS says that its task runs.
    pub kept: bool,
    /// Overdue with its sign of life.
    pub late: bool,
    /// The store was seen without it, or with an older one.
    pub dirty: bool,
    /// Changed here while the store was away, and not written yet.
    pub owed: bool,
    /// The last sign of life; nothing for a row that was only found, and for another registry's.
    pub heard: Option<LastHeard>,
    /// How long that lasts.
    pub lease: Duration,
}

/// A sign of life.
#[derive(Debug, Clone)]
pub struct LastHeard {
    /// Since then, in time in which silence counts.
    pub age: Duration,
    /// By the wall clock, for people.
    pub at: Timestamp,
    /// Which replica heard it; none is this one.
    pub by: Option<ReplicaId>,
}

impl Fold {
    /// What is believed of `key`.
    pub fn facts(&self, key: &Key, wall: Timestamp) -> Option<Facts> {
        let known = self.known(key)?;
        let heard = known.heard.filter(|_| !known.row.is_foreign()).and_then(|heard| {
            let age = self.age(known, wall)?;
            Some(LastHeard { age, at: heard.wall, by: self.hearers.name(heard.by).cloned() })
        });
        Some(Facts {
            row: known.row.clone(),
            served: known.served,
            held: known.held,
            kept: known.kept,
            late: self.is_late(known, wall),
            dirty: known.dirty,
            owed: known.owed,
            heard,
            lease: self.lease(known),
        })
    }
}
