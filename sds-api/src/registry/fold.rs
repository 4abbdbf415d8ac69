//! Rows and signs of life in, snapshots out: the registry's whole belief, and the rules by which it changes.
//!
//! - Rows fold by (incarnation, rev): what arrives late or twice changes nothing.
//! - A sign of life is a heartbeat or a write that moved (incarnation, seq). A row found by a repair read is none,
//!   also when it was never seen before; only the read at the start takes what it finds for alive, for one lease.
//! - Absence from a read never removes: silence or a tombstone does. A row that the store lost is marked dirty, and
//!   its next heartbeat writes it again.
//!
//! Pure: time comes in as an argument, what is to be done in the store goes out as a list.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap, HashSet, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use sds_types::{Endpoint, Sequence, ServiceName};

use super::{
    judge::{self, Verdict},
    lease::{LeaseClock, Leases},
    snapshot::{Instance, Service, Snapshot},
};
use crate::{
    clock::{Stamp, Timestamp},
    instance::{Content, Key, Origin, Row, Standing, Status},
};

/// Where a row comes from; it decides whether the row is a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A write that was just made.
    Written,
    /// The read at the start.
    Start,
    /// A repair read, or a row that stood in a write's way.
    Read,
}

/// One row and what is believed of it.
#[derive(Debug)]
pub struct Known {
    /// As the store has it.
    pub row: Row,
    /// The store was seen without it, or with an older one.
    pub dirty: bool,
    /// In the answers.
    pub served: bool,
    /// How many full reads had begun when the row changed: an older read knows nothing of it.
    reads: u64,
    heard: Option<Heard>,
}

#[derive(Debug, Clone, Copy)]
struct Heard {
    /// On the lease clock.
    at: Duration,
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
    services: HashMap<ServiceName, BTreeMap<Endpoint, Known>>,
    changed: HashSet<ServiceName>,
    reads: u64,
}

impl Fold {
    /// Nothing known yet.
    pub fn new(leases: Leases) -> Self {
        Self { leases, clock: LeaseClock::new(leases), services: HashMap::new(), changed: HashSet::new(), reads: 0 }
    }

    /// Judges a sidecar's request and, if it is a heartbeat, hears it.
    pub fn native(&mut self, key: &Key, at: Sequence, status: Status, content: &Content, wall: Timestamp) -> Verdict {
        let known = self.known(key);
        let verdict = judge::native(known, at, status, content);
        // A heartbeat is a sign of life also when the store must be told again, which may fail.
        if known.is_some_and(|known| judge::is_heartbeat(known, at, status, content)) {
            self.hear(key, Some(at.seq), wall);
        }
        verdict
    }

    /// A write of unknown outcome: the next request for this key asks the store.
    pub fn doubt(&mut self, key: &Key) {
        if let Some(known) = self.services.get_mut(&key.service).and_then(|rows| rows.get_mut(&key.endpoint)) {
            known.dirty = true;
        }
    }

    /// Judges a legacy client's request and, if it is a heartbeat, hears it.
    pub fn legacy(&mut self, key: &Key, origin: Origin, content: &Content, wall: Timestamp) -> Verdict {
        let verdict = judge::legacy(self.known(key), origin, content);
        if verdict == Verdict::Heard {
            self.hear(key, None, wall);
        }
        verdict
    }

    /// What is known of a key.
    pub fn known(&self, key: &Key) -> Option<&Known> {
        self.services.get(&key.service)?.get(&key.endpoint)
    }

    fn hear(&mut self, key: &Key, seq: Option<u64>, wall: Timestamp) {
        let now = self.clock.now();
        let Some(known) = self.services.get_mut(&key.service).and_then(|rows| rows.get_mut(&key.endpoint)) else {
            return;
        };
        let last = known.row.at.seq.max(known.heard.map_or(0, |heard| heard.seq));
        if seq.is_none_or(|seq| seq > last) {
            known.heard = Some(Heard { at: now, wall, seq: seq.unwrap_or(last) });
            if !known.served {
                known.served = true;
                self.changed.insert(key.service.clone());
            }
        }
    }

    /// Takes in a row, unless what is known is as new.
    pub fn row(&mut self, row: Row, source: Source, wall: Timestamp) {
        let heard = Heard { at: self.clock.now(), wall, seq: row.at.seq };
        let service = row.key.service.clone();
        let rows = self.services.entry(service.clone()).or_default();
        let old = rows.get(&row.key.endpoint);
        // What the store lost is no match for what it took instead: a count of writes that begins anew, by a clock
        // that may be behind, or even an incarnation that is.
        let rewritten = |old: &Known| source == Source::Written && old.dirty;
        let stale = |old: &Known| match old.row.order().cmp(&row.order()) {
            Ordering::Less => false,
            // Another request may have met this very write in the store and brought the row here first.
            Ordering::Equal => source != Source::Written,
            Ordering::Greater => !rewritten(old),
        };
        if old.is_some_and(stale) {
            return;
        }
        let unheard = |old: &Known| {
            old.row.at.incarnation < row.at.incarnation || old.heard.is_none_or(|heard| heard.seq < row.at.seq)
        };
        let alive = match source {
            Source::Written => old.is_none_or(unheard),
            Source::Start => row.registration().is_some_and(|registration| !registration.lost),
            Source::Read => false,
        };
        let kept = old.filter(|old| old.row.at.incarnation == row.at.incarnation);
        let known = Known {
            heard: if alive { Some(heard) } else { kept.and_then(|old| old.heard) },
            served: row.registration().is_some() && (alive || kept.is_some_and(|old| old.served)),
            dirty: false,
            reads: self.reads,
            row,
        };
        if known.served || old.is_some_and(|old| old.served) {
            self.changed.insert(service);
        }
        rows.insert(known.row.key.endpoint, known);
    }

    /// A full read begins: what changes from here on it may have missed.
    pub fn read_begins(&mut self) {
        self.reads += 1;
    }

    /// Takes in the read that began last, complete. Rows that it should have had become dirty, and are forgotten if they
    /// are not in service: silence or a tombstone removed them, and the store's garbage collection took the rest.
    pub fn read(&mut self, rows: Vec<Row>, source: Source, wall: Timestamp) {
        let found: HashMap<Key, (u64, u64)> = rows.iter().map(|row| (row.key.clone(), row.order())).collect();
        let begun = self.reads;
        for known in self.services.values_mut() {
            known.retain(|_, known| {
                let missed =
                    known.reads < begun && found.get(&known.row.key).is_none_or(|order| *order < known.row.order());
                known.dirty |= missed;
                !missed || known.served
            });
        }
        self.services.retain(|_, rows| !rows.is_empty());
        for row in rows {
            self.row(row, source, wall);
        }
    }

    /// Lets time pass; returns the rows that have just fallen silent.
    pub fn tick(&mut self, elapsed: Duration) -> Vec<Row> {
        self.clock.advance(elapsed);
        let now = self.clock.now();
        let mut silent = Vec::new();
        for (service, rows) in &mut self.services {
            for known in rows.values_mut().filter(|known| known.served) {
                let Standing::In(registration) = &known.row.standing else { continue };
                let lease = self.leases.of(registration.origin);
                if known.heard.is_none_or(|heard| now.saturating_sub(heard.at) >= lease) {
                    known.served = false;
                    silent.push(known.row.clone());
                    self.changed.insert(service.clone());
                }
            }
        }
        silent
    }

    /// Living rows whose store entry the garbage collection would take within `left` from `wall`; each is taken
    /// for refreshed at once, for the repair reads mend what a failed refresh loses.
    pub fn refresh(&mut self, left: Duration, keep: Duration, wall: Timestamp) -> Vec<Row> {
        let mut rows = Vec::new();
        for known in self.services.values_mut().flat_map(BTreeMap::values_mut).filter(|known| known.served) {
            let Standing::In(registration) = &mut known.row.standing else { continue };
            if registration.expire_time < wall.plus(left).seconds() {
                registration.expire_time = wall.plus(keep).seconds();
                rows.push(known.row.clone());
            }
        }
        rows
    }

    /// The snapshot after all changes since the last call; untouched services are shared with `before`.
    pub fn publish(&mut self, before: &Snapshot) -> Option<Snapshot> {
        if self.changed.is_empty() {
            return None;
        }
        let mut services = before.services.clone();
        for name in self.changed.drain() {
            let rows = self.services.get(&name);
            let instances: Vec<_> =
                rows.into_iter().flatten().filter_map(|(_, known)| instance(known, self.leases)).collect();
            match (services.entry(name.clone()), instances.is_empty()) {
                (Entry::Occupied(entry), true) => drop(entry.remove()),
                (Entry::Vacant(_), true) => {}
                (Entry::Occupied(mut entry), false) => {
                    entry.insert(Arc::new(Service::new(name, instances)));
                }
                (Entry::Vacant(entry), false) => {
                    entry.insert(Arc::new(Service::new(name, instances)));
                }
            }
        }
        Some(Snapshot { services })
    }

    /// How long ago each instance in service was heard.
    pub fn ages(&self, service: &ServiceName) -> HashMap<Endpoint, Duration> {
        let now = self.clock.now();
        let served = self.services.get(service).into_iter().flatten().filter(|(_, known)| known.served);
        served.filter_map(|(endpoint, known)| Some((*endpoint, now.saturating_sub(known.heard?.at)))).collect()
    }

    /// Tells a service of the snapshot when its instances were last heard, for people.
    pub fn tell_heard(&self, service: &Service) {
        let Some(rows) = self.services.get(&service.name) else { return };
        for instance in &service.instances {
            if let Some(heard) = rows.get(&instance.endpoint).and_then(|known| known.heard) {
                instance.heard.set(heard.wall);
            }
        }
    }
}

fn instance(known: &Known, leases: Leases) -> Option<Instance> {
    let registration = known.row.registration().filter(|_| known.served)?;
    Some(Instance {
        endpoint: known.row.key.endpoint,
        at: known.row.at,
        status: registration.status,
        origin: registration.origin,
        content: registration.content.clone(),
        heard: Stamp::new(known.heard?.wall),
        lease: leases.of(registration.origin),
    })
}

#[cfg(test)]
mod tests;
