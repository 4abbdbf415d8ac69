//! Time passes: who is late, who is held, who is silent and leaves or, where ECS says that its task runs, stays as unhealthy, and
//! whose override has ended.

use std::{collections::BTreeMap, time::Duration};

use sds_types::{Endpoint, ServiceName};

use super::{Fold, Known};
use crate::{
    clock::Timestamp,
    instance::{Key, Row},
    registry::guard::Tally,
};

/// What a sweep changed.
#[derive(Debug, Default)]
pub struct Swept {
    /// Left the answers for silence.
    pub silent: Vec<Row>,
    /// How many are there by ECS's word alone.
    pub keeping: usize,
    /// Silent for a lease now, and staying because ECS says that their tasks run.
    pub kept: Vec<Row>,
    /// Held from now on.
    pub held: Vec<Key>,
    /// Services with a new number of held instances.
    pub holding: Vec<(ServiceName, usize)>,
    /// Another replica has stopped without a goodbye: the table may hold what it told nobody.
    pub stopped: bool,
    /// The whole registry.
    pub tally: Tally,
}

/// What becomes of one instance.
struct Fate {
    endpoint: Endpoint,
    held: bool,
    kept: bool,
    silent: bool,
}

impl Fold {
    /// A round of the reader heard everything; so much time passed since the one before.
    pub fn pass(&mut self, elapsed: Duration, wall: Timestamp) -> Swept {
        let step = self.clock.advance(elapsed);
        let stopped = self.hearers.pass(step, self.clock.now());
        self.forget_strangers();
        let mut swept = Swept { stopped, ..Swept::default() };
        let mut unwell = BTreeMap::new();
        for (name, rows) in &self.services {
            let mut tally = Tally::default();
            let mut kept = false;
            for known in rows.values().filter(|known| known.served) {
                // Of whom ECS speaks, the guard need not guess.
                if known.kept {
                    kept = true;
                    swept.keeping += 1;
                } else {
                    tally.add(self.is_late(known, wall));
                }
            }
            swept.tally.all += tally.all;
            swept.tally.late += tally.late;
            let turns = || rows.values().any(|known| override_turns(known, wall));
            // Most services are well: only the others are looked at again.
            if tally.late > 0 || kept || self.holding.contains_key(name) || turns() {
                unwell.insert(name.clone(), tally);
            }
        }
        let all = swept.tally.is_loss_of_registry();
        for (name, tally) in unwell {
            self.sweep(&name, all || tally.is_loss_of_service(), wall, &mut swept);
        }
        swept
    }

    fn sweep(&mut self, name: &ServiceName, loss: bool, wall: Timestamp, swept: &mut Swept) {
        let served = self.services.get(name).into_iter().flatten().filter(|(_, known)| known.served);
        let fates: Vec<_> = served
            .map(|(endpoint, known)| {
                let age = self.age(known, wall);
                let mine = known.runs || age.is_some_and(|age| age <= self.leases.hold);
                let held = mine && !known.kept && self.is_late(known, wall) && (loss || known.held);
                let over = age.is_none_or(|age| age >= self.lease(known)) && !held;
                Fate { endpoint: *endpoint, held, kept: over && known.runs, silent: over && !known.runs }
            })
            .collect();
        let holding = fates.iter().filter(|fate| fate.held).count();
        let told = if holding > 0 { self.holding.insert(name.clone(), holding) } else { self.holding.remove(name) };
        if told.unwrap_or(0) != holding {
            swept.holding.push((name.clone(), holding));
        }
        let Some(rows) = self.services.get_mut(name) else { return };
        for Fate { endpoint, held, kept, silent } in fates {
            let Some(known) = rows.get_mut(&endpoint) else { continue };
            if held && !known.held {
                swept.held.push(known.row.key.clone());
            }
            known.held = held;
            let turned = known.kept != kept;
            known.kept = kept;
            if kept && turned {
                swept.kept.push(known.row.clone());
            }
            if silent {
                known.served = false;
                swept.silent.push(known.row.clone());
            }
            if silent || turned || override_turns(known, wall) {
                self.changed.insert(name.clone());
            }
        }
    }

    pub(super) fn is_late(&self, known: &Known, wall: Timestamp) -> bool {
        let Some(standing) = known.row.registration() else { return false };
        self.age(known, wall).is_none_or(|age| age > self.leases.late(standing.origin))
    }
}

/// Whether an override has ended, or has begun to count, since the answers were made.
fn override_turns(known: &Known, wall: Timestamp) -> bool {
    known.served && known.row.active_override(wall.seconds()).is_some() != known.overridden
}
