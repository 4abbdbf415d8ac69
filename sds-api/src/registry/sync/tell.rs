//! What the loop tells others: snapshots to those who answer, times to old Envoys' answers, a file to the next start, and
//! the log of what a full read found.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;

use super::Loop;
use crate::{
    clock::Timestamp,
    keepsake::{self, Kept},
    registry::{
        chores::Chore,
        fold::{Found, Source},
        phase::Phase,
        snapshot::Snapshot,
    },
    render,
    store::{FullRead, KEEP, StoreError, item::BadRow},
};

impl Loop {
    /// Takes in a full read; how many rows it lacked.
    pub(super) fn take_read(&mut self, mut read: FullRead, wiped: bool) -> usize {
        let wall = Timestamp::now();
        let found = read.rows.len();
        let addresses = &self.sync.options.addresses;
        read.rows.retain(|row| match addresses.check(row.key.endpoint) {
            Ok(()) => true,
            Err(refused) => {
                read.bad.push(BadRow { key: row.key.to_string(), reason: refused.to_string() });
                false
            }
        });
        for bad in &read.bad {
            tracing::warn!(row = bad.key, reason = bad.reason, "row left out of the answers");
        }
        let metrics = &self.sync.metrics;
        metrics.bad_rows.set(count(read.bad.len()));
        metrics.foreign_rows.set(count(read.foreign));
        metrics.last_full_read.set(i64::try_from(wall.seconds()).unwrap_or(i64::MAX));
        self.bad = read.bad.into_iter().map(|bad| (bad.key, bad.reason)).collect();
        let first = !std::mem::replace(&mut self.read, true);
        let source = if first { Source::Start } else { Source::Read };
        let Found { news, missed } = self.fold.read(read.rows, source, wall);
        for key in news {
            // What was found here only now may be unknown to the others as well.
            self.sync.herald.announce_later(key);
        }
        self.true_at(wall);
        if self.phase == Phase::Reading {
            tracing::info!(rows = found, wiped, "first full read complete");
        }
        self.phase = self.phase.read(wiped, self.sync.options.leases.heartbeat(), self.started.elapsed());
        self.sync.pulse.open();
        missed
    }

    pub(super) fn read_failed(&self, error: &StoreError) {
        self.sync.metrics.failed_reads.inc();
        let table = self.sync.store.table();
        if self.phase == Phase::Reading {
            tracing::warn!(%error, table, "full read failed, nothing is served yet; is there such a table?");
        } else {
            tracing::warn!(%error, table, "full read failed, what was known stays");
        }
    }

    /// The last run's or a sibling's snapshot; of use while nothing better is known.
    pub(super) fn take_kept(&mut self, kept: Kept) {
        if self.phase == Phase::Serving {
            return;
        }
        let wall = Timestamp::now();
        let age = wall.since(kept.taken);
        tracing::warn!(rows = kept.rows.len(), ?age, "the store is away or empty: the last snapshot is served");
        for row in kept.rows {
            let key = row.key.clone();
            if self.fold.row(row, Source::Start, wall) && self.read {
                // The table was read, and it was not there.
                self.fold.doubt(&key);
            }
        }
        if !self.read {
            self.fresh = kept.taken;
            self.sync.metrics.last_sync.set(i64::try_from(kept.taken.seconds()).unwrap_or(i64::MAX));
            self.sync.pulse.kept(age);
        }
        self.phase = self.phase.kept(self.started.elapsed());
        self.sync.pulse.open();
    }

    /// All that is served was true at this moment.
    pub(super) fn true_at(&mut self, wall: Timestamp) {
        self.fresh = wall;
        self.sync.pulse.kept(Duration::ZERO);
        self.sync.metrics.last_sync.set(i64::try_from(wall.seconds()).unwrap_or(i64::MAX));
    }

    pub(super) fn publish(&mut self) {
        let wall = Timestamp::now();
        self.sync.metrics.owed.set(count(self.fold.owes()));
        if self.phase.opens(self.started.elapsed()) {
            let first = self.fold.publish(&Snapshot::default(), wall).unwrap_or_default();
            self.recorder.serving(&first, wall);
            self.announce(first);
            tracing::info!("serving");
        } else if self.phase == Phase::Serving {
            let Some(before) = self.sync.snapshots.borrow().clone() else { return };
            if let Some(snapshot) = self.fold.publish(&before, wall) {
                self.recorder.published(&before, &snapshot, &self.fold, wall);
                self.announce(snapshot);
            }
        }
    }

    fn announce(&self, snapshot: Snapshot) {
        let metrics = &self.sync.metrics;
        metrics.services.set(count(snapshot.services.len()));
        metrics.instances.set(count(snapshot.services.values().map(|service| service.instances.len()).sum()));
        let snapshot = Arc::new(snapshot);
        metrics.members.serve(snapshot.clone());
        self.sync.snapshots.send_replace(Some(snapshot));
    }

    /// Old Envoys' answers tell when each host was last heard: rendered anew for services that are polled. Rows that the
    /// garbage collection would take soon get another day.
    pub(super) fn renew(&mut self) {
        self.sync.metrics.replicas.set(count(self.fold.replicas()));
        self.sync.metrics.unannounced.set(count(self.sync.herald.waiting()));
        let left = Duration::from_secs(fastrand::u64(12..18) * 3600);
        for row in self.fold.refresh(left, KEEP, Timestamp::now()) {
            self.chores.add(Chore::Refresh(row));
        }
        for replica in self.fold.departed() {
            self.chores.add(Chore::Forget(replica));
        }
        let Some(snapshot) = self.sync.snapshots.borrow().clone() else { return };
        for service in snapshot.services.values() {
            self.fold.tell_heard(service);
            if service.answers.v1_is_polled() {
                let (env, fail_open) = (&self.sync.options.env, self.sync.options.fail_open);
                service.answers.set_v1(render::v1::render(service, env, fail_open));
            }
        }
    }

    /// Keeps what is served for the next start, while it is known to be true.
    pub(super) fn keep(&self, keeping: &mut JoinSet<()>) {
        let Some(file) = self.sync.options.snapshots.file.clone() else { return };
        if self.sync.pulse.is_stale() {
            return;
        }
        let kept = Kept { rows: self.fold.served_rows(), taken: self.fresh };
        keeping.spawn_blocking(move || {
            if let Err(error) = keepsake::write(&file, &kept) {
                tracing::warn!(%error, file = %file.display(), "the snapshot could not be written");
            }
        });
    }
}

/// A number for a gauge.
pub(super) fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
