//! Signs of life: what this replica hears itself, what others tell that they heard, and how old the last one is.

use std::{collections::HashMap, time::Duration};

use sds_types::{Endpoint, ServiceName};

use super::{Fold, Heard, Known};
use crate::{
    clock::{Now, Timestamp},
    instance::{Key, Row},
    registry::{hearers::Hearer, pages::Page, snapshot::Service},
    replica::{InstanceHash, ReplicaId},
};

/// How alive an instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// Since its last sign of life.
    pub age: Duration,
    /// Kept in the answers by the loss guard.
    pub held: bool,
    /// Silent for a lease, and in the answers because ECS says that its task runs.
    pub kept: bool,
}

impl Fold {
    /// A request of this row's owner came; with `seq` it counts only if that is new.
    pub(super) fn hear(&mut self, key: &Key, seq: Option<u64>, now: Now) {
        let at = self.clock.now();
        let Some(known) = self.known_mut(key) else { return };
        let last = known.row.at.seq.max(known.heard.map_or(0, |heard| heard.seq));
        if seq.is_some_and(|seq| seq <= last) {
            return;
        }
        let seq = seq.unwrap_or(last);
        known.heard = Some(Heard { at, by: Hearer::SELF, stalled: Duration::ZERO, wall: now.wall, seq });
        let hash = known.hash;
        self.revive(key);
        self.vouches.insert(hash, now.mono);
    }

    fn revive(&mut self, key: &Key) {
        let Some(known) = self.known_mut(key) else { return };
        known.held = false;
        known.runs = false;
        let kept = std::mem::take(&mut known.kept);
        if (kept || !known.served) && known.row.registration().is_some() {
            known.served = true;
            self.changed.insert(key.service.clone());
        }
    }

    /// Whom this replica heard since the last call, and when.
    pub fn take_vouches(&mut self) -> HashMap<InstanceHash, Duration> {
        std::mem::take(&mut self.vouches)
    }

    /// A flush failed: what it should have told is told with the next one.
    pub fn give_back(&mut self, vouches: HashMap<InstanceHash, Duration>) {
        for (hash, at) in vouches {
            let newest = self.vouches.entry(hash).or_insert(at);
            *newest = at.max(*newest);
        }
    }

    /// Another replica's header was read.
    pub fn replica(&mut self, id: &ReplicaId, beat: u64, bye: bool) {
        self.hearers.seen(id, beat, bye, self.clock.now());
    }

    /// Another replica, as signs of life remember it.
    pub fn hearer(&mut self, id: &ReplicaId) -> Hearer {
        self.hearers.of(id, self.clock.now())
    }

    /// Replicas that will not speak again, each told once.
    pub fn departed(&mut self) -> Vec<ReplicaId> {
        self.hearers.departed(self.clock.now())
    }

    /// How many other replicas speak.
    pub fn replicas(&self) -> usize {
        self.hearers.speaking(self.clock.now())
    }

    /// Other replicas that may have clients now.
    pub fn witnesses(&self) -> impl Iterator<Item = &ReplicaId> {
        self.hearers.witnesses(self.clock.now())
    }

    /// Another replica tells whom it heard; its header has come to `beat`.
    pub fn page(&mut self, id: &ReplicaId, beat: u64, page: &Page, wall: Timestamp) {
        let now = self.clock.now();
        let by = self.hearers.of(id, now);
        let stalled = self.hearers.stalled(by);
        let since = u32::try_from(beat.saturating_sub(page.beat)).unwrap_or(u32::MAX);
        let since = self.leases.flush().saturating_mul(since);
        for (hash, age) in &page.heard {
            let age = age.saturating_add(since);
            let Some(key) = self.by_hash.get(hash).cloned() else {
                let heard = Heard { at: now.saturating_sub(age), by, stalled, wall: wall.minus(age), seq: 0 };
                let newest = self.strangers.entry(*hash).or_insert(heard);
                if newest.at < heard.at {
                    *newest = heard;
                }
                continue;
            };
            let Some(known) = self.known(&key) else { continue };
            if known.row.registration().is_none() || self.age(known, wall).is_some_and(|known| known <= age) {
                continue;
            }
            let lease = self.lease(known);
            let seq = known.heard.map_or(known.row.at.seq, |heard| heard.seq);
            let heard = Heard { at: now.saturating_sub(age), by, stalled, wall: wall.minus(age), seq };
            if let Some(known) = self.known_mut(&key) {
                known.heard = Some(heard);
            }
            if age < lease {
                self.revive(&key);
            }
        }
    }

    /// Since the last sign of life; nothing if there never was one.
    pub(super) fn age(&self, known: &Known, wall: Timestamp) -> Option<Duration> {
        if known.row.is_foreign() {
            let expires = Timestamp::of_seconds(known.row.registration()?.expire_time);
            return Some(wall.plus(self.leases.legacy).since(expires));
        }
        known.heard.map(|heard| self.since(heard))
    }

    /// Since a sign of life, the stops of who heard it forgiven.
    pub(super) fn since(&self, heard: Heard) -> Duration {
        let stalled = self.hearers.stalled(heard.by).saturating_sub(heard.stalled);
        self.clock.now().saturating_sub(heard.at).saturating_sub(stalled)
    }

    /// Nobody will ask for a stranger's last sign of life when it is older than any lease.
    pub(super) fn forget_strangers(&mut self) {
        let longest = self.leases.native.max(self.leases.legacy);
        let oldest = self.clock.now().saturating_sub(longest);
        self.strangers.retain(|_, heard| heard.at > oldest);
    }

    /// The lease clock's time.
    #[cfg(test)]
    pub fn lease_now(&self) -> Duration {
        self.clock.now()
    }

    /// How alive each instance in service is.
    pub fn lives(&self, service: &ServiceName, wall: Timestamp) -> HashMap<Endpoint, Life> {
        let served = self.services.get(service).into_iter().flatten().filter(|(_, known)| known.served);
        let life = |known: &Known| Some(Life { age: self.age(known, wall)?, held: known.held, kept: known.kept });
        served.filter_map(|(endpoint, known)| Some((*endpoint, life(known)?))).collect()
    }

    /// Tells a service of the snapshot when its instances were last heard, for people.
    pub fn tell_heard(&self, service: &Service) {
        let Some(rows) = self.services.get(&service.name) else { return };
        for instance in &service.instances {
            if let Some(known) = rows.get(&instance.endpoint) {
                instance.heard.set(self.heard_wall(known));
            }
        }
    }

    pub(super) fn heard_wall(&self, known: &Known) -> Timestamp {
        if known.row.is_foreign() {
            let expires = known.row.registration().map_or(0, |standing| standing.expire_time);
            return Timestamp::of_seconds(expires).minus(self.leases.legacy);
        }
        known.heard.map_or(Timestamp::of_seconds(0), |heard| heard.wall)
    }

    pub(super) fn lease(&self, known: &Known) -> Duration {
        self.lease_of(&known.row)
    }

    pub(super) fn lease_of(&self, row: &Row) -> Duration {
        row.registration().map_or(self.leases.native, |standing| self.leases.of(standing.origin))
    }
}
