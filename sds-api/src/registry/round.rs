//! What a round of the reader means for what is believed.
//!
//! A round that failed half-way still brings rows, and they are taken; but no lease runs in it, nor while this replica cannot
//! tell the others whom it hears: who is blind or mute finds nobody dead.

use std::time::Duration;

use super::{
    fold::{Fold, Source, Swept},
    pages::Page,
};
use crate::{clock::Timestamp, instance::Row, replica::ReplicaId, store::StoreError};

/// What one round brought.
#[derive(Debug, Default)]
pub struct Round {
    /// Since the end of the one before.
    pub elapsed: Duration,
    /// The other replicas: who, its beat, whether it has stopped.
    pub beats: Vec<(ReplicaId, u64, bool)>,
    /// Announced rows.
    pub rows: Vec<Row>,
    /// Whom the others heard, each with the beat that its header has come to.
    pub pages: Vec<(ReplicaId, u64, Page)>,
    /// Announcements were missed, or the table was wiped.
    pub full_read: bool,
    /// Why it is not complete.
    pub failed: Option<StoreError>,
}

impl Round {
    /// Takes it in; what the time that passed brought, if it counts.
    pub fn fold(self, fold: &mut Fold, mute: bool, wall: Timestamp) -> Option<Swept> {
        for (id, beat, bye) in &self.beats {
            fold.replica(id, *beat, *bye);
        }
        for row in self.rows {
            fold.row(row, Source::Announced, wall);
        }
        for (id, beat, page) in &self.pages {
            fold.page(id, *beat, page, wall);
        }
        (self.failed.is_none() && !mute).then(|| fold.pass(self.elapsed, wall))
    }
}
