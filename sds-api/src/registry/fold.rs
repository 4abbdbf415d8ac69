//! Rows and signs of life in, snapshots out: the registry's whole belief, and the rules by which it changes.
//!
//! - Rows fold by (incarnation, gone, seq, rev): what arrives late or twice changes nothing.
//! - A sign of life is a heartbeat, a page of another replica, or an announced write that moved (incarnation, seq). A row
//!   found by a repair read is none, also when it was never seen before; only the read at the start takes what it finds
//!   for alive, for one lease.
//! - Absence from a read never removes: silence or a tombstone does. A row that the store lost is marked dirty, and
//!   its next heartbeat writes it again.
//! - What leaves while the store is away leaves these answers at once, and is owed to the store.
//!
//! Pure: time comes in as an argument, what is to be done in the store goes out as a list.

mod away;
mod facts;
mod hear;
mod legacy;
mod publish;
mod sweep;

use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use sds_types::{Endpoint, Sequence, ServiceName};

use super::{
    hearers::{Hearer, Hearers},
    judge::{self, Verdict},
    lease::{LeaseClock, Leases},
    pages::VouchHash,
};
use crate::{
    clock::{Now, Timestamp},
    instance::{Content, Key, Order, Row, Status},
};

pub use away::Owing;
pub use facts::{Facts, LastHeard};
pub use hear::Life;
pub use legacy::{Judged, Seen};
pub use sweep::Swept;

/// Where a row comes from; it decides whether the row is a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A write that was just made here.
    Written,
    /// A write that another replica announced.
    Announced,
    /// The read at the start, or the snapshot that stands in for it.
    Start,
    /// A repair read, or a row that stood in a write's way.
    Read,
}

/// One row and what is believed of it.
#[derive(Debug)]
pub struct Known {
    /// As the store has it or, if it is owed, as the store will have it.
    pub row: Row,
    /// The store was seen without it, or with an older one.
    pub dirty: bool,
    /// Changed here while the store was away, and not written yet.
    pub owed: bool,
    /// In the answers.
    pub served: bool,
    /// Late, and kept in the answers by the loss guard.
    pub held: bool,
    /// Whether what is served was laid over by an operator.
    overridden: bool,
    /// How many full reads had begun when the row changed: an older read knows nothing of it.
    reads: u64,
    heard: Option<Heard>,
}

#[derive(Debug, Clone, Copy)]
struct Heard {
    /// On the lease clock.
    at: Duration,
    by: Hearer,
    /// How long that replica's stops had been forgiven then.
    stalled: Duration,
    /// For people.
    wall: Timestamp,
    /// The highest sequence number heard of this incarnation: a repeated request is no new sign of life.
    seq: u64,
}

/// All rows.
#[derive(Debug)]
pub struct Fold {
    leases: Leases,
    clock: LeaseClock,
    hearers: Hearers,
    services: HashMap<ServiceName, BTreeMap<Endpoint, Known>>,
    by_hash: HashMap<VouchHash, Key>,
    /// Whom others heard and nobody here knows: the row may come later than the page.
    strangers: HashMap<VouchHash, Heard>,
    changed: HashSet<ServiceName>,
    owed: HashSet<Key>,
    /// Services with held instances, and how many, as last told.
    holding: HashMap<ServiceName, usize>,
    reads: u64,
    /// Who was heard here since the last flush, and when on the monotonic clock.
    vouches: HashMap<VouchHash, Duration>,
}

impl Fold {
    /// Nothing known yet.
    pub fn new(leases: Leases) -> Self {
        Self {
            leases,
            clock: LeaseClock::new(leases),
            hearers: Hearers::new(leases),
            services: HashMap::new(),
            by_hash: HashMap::new(),
            strangers: HashMap::new(),
            changed: HashSet::new(),
            owed: HashSet::new(),
            holding: HashMap::new(),
            reads: 0,
            vouches: HashMap::new(),
        }
    }

    /// Judges a sidecar's request, and hears it.
    pub fn native(&mut self, key: &Key, at: Sequence, status: Status, content: &Content, now: Now) -> Verdict {
        let known = self.known(key);
        let verdict = judge::native(known, at, status, content);
        // A sign of life also when the store must be told something, which may fail.
        if known.is_some_and(|known| judge::is_life(known, at)) {
            self.hear(key, Some(at.seq), now);
        }
        verdict
    }

    /// A write of unknown outcome: the next request for this key asks the store.
    pub fn doubt(&mut self, key: &Key) {
        if let Some(known) = self.known_mut(key) {
            known.dirty = true;
        }
    }

    /// What is known of a key.
    pub fn known(&self, key: &Key) -> Option<&Known> {
        self.services.get(&key.service)?.get(&key.endpoint)
    }

    fn known_mut(&mut self, key: &Key) -> Option<&mut Known> {
        self.services.get_mut(&key.service)?.get_mut(&key.endpoint)
    }

    /// Takes in a row, unless what is known is as new; whether it was taken.
    pub fn row(&mut self, row: Row, source: Source, wall: Timestamp) -> bool {
        let service = row.key.service.clone();
        let old = self.known(&row.key);
        if old.is_some_and(|old| is_stale(old, &row, source)) {
            return false;
        }
        let unheard = |old: &Known| {
            let behind =
                old.row.at.incarnation != row.at.incarnation || old.heard.is_none_or(|heard| heard.seq < row.at.seq);
            match source {
                Source::Written => behind,
                // Also if a full read was faster than the announcement, but not if only `rev` moved.
                _ => old.row.at < row.at || (old.row.rev == row.rev && behind),
            }
        };
        // A row that was silent for a lease in another's eyes lives when its owner's next write takes the hint away.
        let lost = row.registration().is_some_and(|standing| standing.lost);
        let alive = !lost
            && match source {
                Source::Written | Source::Announced => old.is_none_or(unheard),
                Source::Start => row.registration().is_some(),
                Source::Read => false,
            };
        let heard = Heard { at: self.clock.now(), by: Hearer::SELF, stalled: Duration::ZERO, wall, seq: row.at.seq };
        let kept = old.filter(|old| old.row.at.incarnation == row.at.incarnation);
        // Of a new incarnation, a page may have told before.
        let stranger =
            if kept.is_none() { self.strangers.get(&VouchHash::of(&row.key, row.at.incarnation)) } else { None };
        let stranger = stranger.map(|heard| Heard { seq: row.at.seq, ..*heard });
        let fresh = alive || stranger.is_some_and(|heard| self.since(heard) < self.lease_of(&row));
        let known = Known {
            heard: if alive { Some(heard) } else { kept.and_then(|old| old.heard).or(stranger) },
            // A foreign row lives by its own clock, wherever it was found.
            served: row.registration().is_some() && (fresh || kept.is_some_and(|old| old.served))
                || is_living_foreign(&row, wall),
            held: !alive && kept.is_some_and(|old| old.held),
            dirty: false,
            owed: false,
            overridden: false,
            reads: self.reads,
            row,
        };
        let was_served = old.is_some_and(|old| old.served);
        let incarnation = old.map(|old| old.row.at.incarnation);
        if known.served || was_served {
            self.changed.insert(service);
        }
        if incarnation != Some(known.row.at.incarnation) {
            if let Some(former) = incarnation {
                self.by_hash.remove(&VouchHash::of(&known.row.key, former));
            }
            if !known.row.is_foreign() {
                let hash = VouchHash::of(&known.row.key, known.row.at.incarnation);
                self.strangers.remove(&hash);
                self.by_hash.insert(hash, known.row.key.clone());
            }
        }
        self.owed.remove(&known.row.key);
        rows_insert(&mut self.services, known);
        true
    }

    /// A full read begins: what changes from here on it may have missed.
    pub fn read_begins(&mut self) {
        self.reads += 1;
    }

    /// Takes in the read that began last, complete; returns what was news. Rows that it should have had become dirty, and are
    /// forgotten if they are not in service: silence or a tombstone removed them, and the store's garbage collection took the
    /// rest.
    pub fn read(&mut self, rows: Vec<Row>, source: Source, wall: Timestamp) -> Vec<Key> {
        let found: HashMap<&Key, Order> = rows.iter().map(|row| (&row.key, row.order())).collect();
        let begun = self.reads;
        let by_hash = &mut self.by_hash;
        for known in self.services.values_mut() {
            known.retain(|_, known| {
                let missed =
                    known.reads < begun && found.get(&known.row.key).is_none_or(|order| *order < known.row.order());
                known.dirty |= missed && !known.row.is_foreign();
                let keep = !missed || known.served || known.owed;
                if !keep {
                    by_hash.remove(&VouchHash::of(&known.row.key, known.row.at.incarnation));
                }
                keep
            });
        }
        self.services.retain(|_, rows| !rows.is_empty());
        let mut news = Vec::new();
        for row in rows {
            let key = (source == Source::Read && !row.is_foreign()).then(|| row.key.clone());
            if self.row(row, source, wall) {
                news.extend(key);
            }
        }
        news
    }

    /// Living rows whose store entry the garbage collection would take within `left` from `wall`; each is taken
    /// for refreshed at once, for the repair reads mend what a failed refresh loses.
    pub fn refresh(&mut self, left: Duration, keep: Duration, wall: Timestamp) -> Vec<Row> {
        let mut rows = Vec::new();
        let living = self.services.values_mut().flat_map(BTreeMap::values_mut);
        for known in living.filter(|known| known.served && !known.owed && !known.row.is_foreign()) {
            let Some(registration) = known.row.registration_mut() else { continue };
            if registration.expire_time < wall.plus(left).seconds() {
                registration.expire_time = wall.plus(keep).seconds();
                rows.push(known.row.clone());
            }
        }
        rows
    }
}

/// Whether this is another registry's row that has not expired, by the wall clock that wrote it.
fn is_living_foreign(row: &Row, wall: Timestamp) -> bool {
    row.is_foreign() && row.registration().is_some_and(|standing| standing.expire_time > wall.seconds())
}

/// Whether a row says nothing that is not known, or less.
fn is_stale(old: &Known, row: &Row, source: Source) -> bool {
    if old.owed {
        // What the store has not seen yet stands above what it has.
        let ended = row.registration().is_none() && row.at.incarnation == old.row.at.incarnation;
        return row.at < old.row.at && !ended;
    }
    // What the store lost is no match for what it took instead: a count of writes that begins anew, by a clock
    // that may be behind, or even an incarnation that is.
    let rewritten = source == Source::Written && old.dirty;
    match old.row.order().cmp(&row.order()) {
        Ordering::Less => false,
        // Another request may have met this very write in the store and brought the row here first.
        Ordering::Equal => match source {
            Source::Written => false,
            Source::Announced => row.registration().is_none() || old.heard.is_some_and(|heard| heard.seq >= row.at.seq),
            Source::Start | Source::Read => true,
        },
        Ordering::Greater => !rewritten,
    }
}

fn rows_insert(services: &mut HashMap<ServiceName, BTreeMap<Endpoint, Known>>, known: Known) {
    services.entry(known.row.key.service.clone()).or_default().insert(known.row.key.endpoint, known);
}

#[cfg(test)]
mod tests;
