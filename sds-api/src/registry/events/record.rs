//! The loop's pen: it writes down what each publication changed, and whom the loss guard holds and lets go.

use std::collections::{HashMap, HashSet};

use sds_types::{Endpoint, ServiceName};

use super::{Events, What, diff::diff};
use crate::{
    clock::Timestamp,
    instance::{Gone, Key, Row, Standing},
    registry::{
        By, Written, audit,
        fold::{Fold, Known, Swept},
        snapshot::Snapshot,
    },
};

/// Writes the events.
#[derive(Debug)]
pub struct Recorder {
    events: Events,
    /// Whom the loss guard holds, as last written down.
    held: HashMap<ServiceName, HashSet<Endpoint>>,
}

impl Recorder {
    /// Writes to `events`.
    pub fn new(events: Events) -> Self {
        Self { events, held: HashMap::new() }
    }

    /// This replica answers from now on. What it found is one event: the fleet was there before.
    pub fn serving(&mut self, snapshot: &Snapshot, wall: Timestamp) {
        let instances = snapshot.services.values().map(|service| service.instances.len()).sum();
        let what = What::Serving { services: snapshot.services.len(), instances };
        self.events.ring().push(wall, None, what);
    }

    /// A snapshot takes the place of another.
    pub fn published(&mut self, before: &Snapshot, after: &Snapshot, fold: &Fold, wall: Timestamp) {
        let found = diff(before, after, |key| gone(fold.known(key)?), wall);
        if found.is_empty() {
            return;
        }
        let mut ring = self.events.ring();
        for found in found {
            let what = match found.what {
                What::Registered(_) if ring.was_silent(&found.key, found.incarnation) => What::HeardAgain,
                what => what,
            };
            let silent = (what == What::Silent).then(|| (found.key.clone(), found.incarnation));
            ring.push(wall, Some(found.key), what);
            if let Some((key, incarnation)) = silent {
                let told = ring.last;
                ring.silent.insert(key, (incarnation, told));
            }
        }
    }

    /// A request changed a row.
    pub fn written(&mut self, fold: &Fold, row: &Row, by: By, wall: Timestamp) {
        let before = audit::words(fold.known(&row.key).map(|known| &known.row), wall);
        let change = Written { by, before, after: audit::words(Some(row), wall) };
        audit::log(row, &change);
        self.events.ring().push(wall, Some(row.key.clone()), What::Written(Box::new(change)));
    }

    /// Time has passed: some are held from now on, others no more.
    pub fn swept(&mut self, swept: &Swept, fold: &Fold, wall: Timestamp) {
        if swept.held.is_empty() && swept.holding.is_empty() {
            return;
        }
        let mut ring = self.events.ring();
        for key in &swept.held {
            self.held.entry(key.service.clone()).or_default().insert(key.endpoint);
            ring.push(wall, Some(key.clone()), What::Held);
        }
        let touched = swept.held.iter().map(|key| &key.service).chain(swept.holding.iter().map(|(name, _)| name));
        for service in touched.collect::<HashSet<_>>() {
            let Some(held) = self.held.get_mut(service) else { continue };
            held.retain(|endpoint| {
                let key = Key { service: service.clone(), endpoint: *endpoint };
                let known = fold.known(&key);
                let held = known.is_some_and(|known| known.held);
                // Who left the answers meanwhile has its event for that.
                if !held && known.is_some_and(|known| known.served) {
                    ring.push(wall, Some(key), What::HeardAgain);
                }
                held
            });
            if held.is_empty() {
                self.held.remove(service);
            }
        }
    }
}

fn gone(known: &Known) -> Option<Gone> {
    match known.row.standing {
        Standing::Gone(gone) => Some(gone),
        Standing::In(_) => None,
    }
}

#[cfg(test)]
impl Recorder {
    /// Whether it remembers nobody.
    pub fn is_idle(&self) -> bool {
        self.held.is_empty()
    }
}

impl super::Ring {
    /// Whether this very registration left for silence, as far as the events tell; asked once.
    fn was_silent(&mut self, key: &Key, incarnation: u64) -> bool {
        self.silent.remove(key).is_some_and(|(silent, _)| silent == incarnation)
    }
}
