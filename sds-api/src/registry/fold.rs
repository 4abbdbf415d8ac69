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
mod ecs;
mod facts;
mod hear;
mod legacy;
mod publish;
mod sweep;

use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use sds_types::{Endpoint, Sequence, ServiceName};

use super::{
    hearers::{Hearer, Hearers},
    judge::{self, Verdict},
    lease::{LeaseClock, Leases},
};
use crate::{
    clock::{Now, Timestamp},
    instance::{Content, Key, Order, Row, Status},
    replica::InstanceHash,
};

pub use away::Owing;
pub use ecs::{Entry, Roll, Whose};
pub use facts::{Facts, LastHeard};
pub use hear::Life;
pub use legacy::{Judged, Seen};
pub use sweep::Swept;

/// Where a row comes from; it decides whether the row is a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A write that was just made here.
    Written,
    /// A write that another replica announced, which heard it.
    Announced(Hearer),
    /// The read at the start, or the snapshot that stands in for it.
    Start,
    /// A repair read, or a row that stood in a write's way.
    Read,
}

/// What a full read brought.
#[derive(Debug, Default)]
pub struct Found {
    /// Rows that were not known, or not so new.
    pub news: Vec<Key>,
    /// How many the table lacks that it had when it was read before.
    pub missed: usize,
}

/// One row and what is believed of it.
#[derive(Debug)]
pub struct Known {
    /// As the store has it or, if it is owed, as the store will have it.
    pub row: Row,
    /// What names it in pages, made once and not with each heartbeat.
    hash: InstanceHash,
    /// The store was seen without it, or with an older one.
    pub dirty: bool,
    /// Changed here while the store was away, and not written yet.
    pub owed: bool,
    /// In the answers.
    pub served: bool,
    /// Late, and kept in the answers by the loss guard.
    pub held: bool,
    /// ECS has said, since it is late, that its task runs.
    pub runs: bool,
    /// Silent for a lease, and in the answers, as unhealthy, by that word alone.
    pub kept: bool,
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

/// Boxed, because a tree's nodes stand half empty.
type Services = HashMap<ServiceName, BTreeMap<Endpoint, Box<Known>>>;

/// All rows.
#[derive(Debug)]
pub struct Fold {
    leases: Leases,
    clock: LeaseClock,
    hearers: Hearers,
    services: Services,
    /// What many instances say of themselves, once.
    words: HashSet<Arc<str>>,
    by_hash: HashMap<InstanceHash, Key>,
    /// Whom others heard and nobody here knows: the row may come later than the page.
    strangers: HashMap<InstanceHash, Heard>,
    changed: HashSet<ServiceName>,
    owed: HashSet<Key>,
    /// Services with held instances, and how many, as last told.
    holding: HashMap<ServiceName, usize>,
    reads: u64,
    /// Who was heard here since the last flush, and when on the monotonic clock.
    vouches: HashMap<InstanceHash, Duration>,
}

impl Fold {
    /// Nothing known yet.
    pub fn new(leases: Leases) -> Self {
        Self {
            leases,
            clock: LeaseClock::new(leases),
            hearers: Hearers::new(leases),
            services: Services::new(),
            words: HashSet::new(),
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
        self.services.get(&key.service)?.get(&key.endpoint).map(Box::as_ref)
    }

    fn known_mut(&mut self, key: &Key) -> Option<&mut Known> {
        self.services.get_mut(&key.service)?.get_mut(&key.endpoint).map(Box::as_mut)
    }

    /// Takes in a row, unless what is known is as new; whether it was taken.
    pub fn row(&mut self, mut row: Row, source: Source, wall: Timestamp) -> bool {
        if self.known(&row.key).is_some_and(|old| is_stale(old, &row, source)) {
            return false;
        }
        self.share(&mut row);
        let service = row.key.service.clone();
        let old = self.known(&row.key);
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
                Source::Written | Source::Announced(_) => old.is_none_or(unheard),
                Source::Start => row.registration().is_some(),
                Source::Read => false,
            };
        let by = if let Source::Announced(by) = source { by } else { Hearer::SELF };
        let heard = Heard { at: self.clock.now(), by, stalled: self.hearers.stalled(by), wall, seq: row.at.seq };
        let kept = old.filter(|old| old.row.at.incarnation == row.at.incarnation);
        // Of a new incarnation, a page may have told before.
        let hash = kept.map_or_else(|| InstanceHash::of(&row.key, row.at.incarnation), |old| old.hash);
        let stranger = self.strangers.get(&hash).filter(|_| kept.is_none());
        let stranger = stranger.map(|heard| Heard { seq: row.at.seq, ..*heard });
        let fresh = alive || stranger.is_some_and(|heard| self.since(heard) < self.lease_of(&row));
        let known = Known {
            heard: if alive { Some(heard) } else { kept.and_then(|old| old.heard).or(stranger) },
            // A foreign row lives by its own clock, wherever it was found.
            served: row.registration().is_some() && (fresh || kept.is_some_and(|old| old.served))
                || is_living_foreign(&row, wall),
            held: !alive && kept.is_some_and(|old| old.held),
            runs: !alive && kept.is_some_and(|old| old.runs),
            kept: !alive && kept.is_some_and(|old| old.kept),
            dirty: false,
            owed: false,
            overridden: false,
            reads: self.reads,
            hash,
            row,
        };
        let was_served = old.is_some_and(|old| old.served);
        let former = old.map(|old| old.hash);
        if known.served || was_served {
            self.changed.insert(service);
        }
        if former != Some(hash) {
            if let Some(former) = former {
                self.by_hash.remove(&former);
            }
            if !known.row.is_foreign() {
                self.strangers.remove(&hash);
                self.by_hash.insert(hash, known.row.key.clone());
            }
        }
        self.owed.remove(&known.row.key);
        rows_insert(&mut self.services, known);
        true
    }

    /// Most instances of a service say the same of themselves.
    fn share(&mut self, row: &mut Row) {
        if let Some((name, _)) = self.services.get_key_value(&row.key.service) {
            row.key.service = name.clone();
        }
        if let Some(standing) = row.registration_mut() {
            let content = Arc::make_mut(&mut standing.content);
            content.revision.share(&mut self.words);
            content.locality.region.share(&mut self.words);
            content.locality.zone.share(&mut self.words);
            content.service_repo_name.share(&mut self.words);
        }
    }

    /// A full read begins: what changes from here on it may have missed.
    pub fn read_begins(&mut self) {
        self.reads += 1;
    }

    /// Takes in the read that began last, complete. Rows that it should have had become dirty, and are
    /// forgotten if they are not in service: silence or a tombstone removed them, and the store's garbage collection took the
    /// rest.
    pub fn read(&mut self, rows: Vec<Row>, source: Source, wall: Timestamp) -> Found {
        let found: HashMap<&Key, Order> = rows.iter().map(|row| (&row.key, row.order())).collect();
        let mut missed = 0;
        let begun = self.reads;
        let by_hash = &mut self.by_hash;
        for known in self.services.values_mut() {
            known.retain(|_, known| {
                let lacks =
                    known.reads < begun && found.get(&known.row.key).is_none_or(|order| *order < known.row.order());
                missed += usize::from(lacks && !known.dirty);
                known.dirty |= lacks && !known.row.is_foreign();
                let keep = !lacks || known.served || known.owed;
                if !keep {
                    by_hash.remove(&known.hash);
                }
                keep
            });
        }
        self.services.retain(|_, rows| !rows.is_empty());
        self.words.retain(|word| Arc::strong_count(word) > 1);
        let mut news = Vec::new();
        for row in rows {
            let key = (source == Source::Read && !row.is_foreign()).then(|| row.key.clone());
            if self.row(row, source, wall) {
                news.extend(key);
            }
        }
        Found { news, missed }
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

/// Whether a row says nothing that is not known, or less. What is owed stands in the same order as what the store has.
fn is_stale(old: &Known, row: &Row, source: Source) -> bool {
    // What the store lost is no match for what it took instead: a count of writes that begins anew, by a clock
    // that may be behind, or even an incarnation that is.
    let rewritten = source == Source::Written && old.dirty;
    match old.row.order().cmp(&row.order()) {
        Ordering::Less => false,
        // Another request may have met this very write in the store and brought the row here first.
        Ordering::Equal => match source {
            Source::Written => false,
            Source::Announced(_) => {
                row.registration().is_none() || old.heard.is_some_and(|heard| heard.seq >= row.at.seq)
            }
            Source::Start | Source::Read => true,
        },
        Ordering::Greater => !rewritten,
    }
}

fn rows_insert(services: &mut Services, known: Known) {
    services.entry(known.row.key.service.clone()).or_default().insert(known.row.key.endpoint, Box::new(known));
}

#[cfg(test)]
mod tests;
