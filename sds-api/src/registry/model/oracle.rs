//! What was promised, checked twice a second against what each replica answers.
//!
//! A replica is *settled* once nothing was wrong with it for [`SETTLE`]: its next rounds, and the full read that a hole in the
//! announcements asks for, have ended. Promises about answers hold for settled replicas; that nothing is emptied, and that
//! nothing comes back, holds for all.

use std::collections::BTreeMap;

use super::{
    net::Link,
    sidecar::{Fate, Seen, Sidecar, Will},
    world::{LEASES, Ms, World, ms},
};
use crate::{
    instance::{Key, Origin, Row, Status},
    registry::snapshot::Snapshot,
    store::Write,
};

/// A poll, three calls, and a full read of some pages.
const SETTLE: Ms = 5_000;
/// P1: a header that is being written, the next one, a poll and two reads.
const VISIBLE: Ms = 1_000;
/// From the answer to a heartbeat until all must know of it: a flush, its pages and header, and a poll.
const TOLD: Ms = 4_000;
/// What a lease may take longer than itself: a flush, a poll, rounding of ages, the step of the clock.
const SLACK: Ms = 4_000;

#[derive(Default)]
pub struct Oracle {
    pub broken: Option<String>,
    /// When each replica was unwell last.
    unwell: BTreeMap<usize, Ms>,
    /// When each stop of one began: so many times patience may be due.
    stops: Vec<Ms>,
    /// The highest incarnation that was told 200, and when.
    newest: BTreeMap<Key, (u64, Ms)>,
    ended: BTreeMap<Key, Ended>,
    /// Which incarnation bears the hint of silence in the table, and since when.
    lost: BTreeMap<Key, (u64, Ms)>,
    pub mass: Option<Mass>,
    /// When the guard had last a reason to hold.
    loss: Option<Ms>,
    /// When a replica died last: what it wrote and told nobody is found once it is missed.
    pub crashed: Option<Ms>,
    /// When the table was emptied last.
    wiped: Option<Ms>,
}

struct Ended {
    incarnation: u64,
    at: Ms,
    /// By which life of a replica, if it was a 202.
    owed: Option<(usize, u64)>,
}

/// A service that fell silent as a whole.
pub struct Mass {
    pub sidecars: Vec<usize>,
    /// Replicas that had all of them in their answers, and in which life.
    pub lives: Vec<(usize, u64)>,
}

impl World {
    pub fn breaks(&mut self, what: String) {
        let now = self.now;
        self.oracle.broken.get_or_insert_with(|| format!("at {:.3}: {what}", now as f64 / 1000.0));
    }

    /// Something is wrong with a replica now.
    pub fn unwell(&mut self, r: usize) {
        let before = self.oracle.unwell.insert(r, self.now);
        if before.is_none_or(|before| before + 1000 < self.now) {
            self.oracle.stops.push(self.now);
        }
    }

    /// Somebody emptied the table: what kept the late out is gone.
    pub fn oracle_wiped(&mut self) {
        (0..self.replicas.len()).for_each(|r| self.unwell(r));
        self.oracle.wiped = Some(self.now);
        self.oracle.ended.clear();
        self.oracle.newest.clear();
        self.oracle.lost.clear();
    }

    pub fn oracle_lost(&mut self, row: &Row) {
        self.oracle.lost.insert(row.key.clone(), (row.at.incarnation, self.now));
    }

    /// A write of a registration arrived in the table, perhaps long after its request.
    pub fn landed(&mut self, key: &Key, at: sds_types::Sequence, written: &Write) {
        let now = self.now;
        if let Write::Done(_) = written {
            self.say(|| format!("the table takes {key} {} {}", at.incarnation, at.seq));
            self.oracle.lost.remove(key);
            for sidecar in self.sidecars.iter_mut().filter(|sidecar| sidecar.key == *key) {
                if sidecar.legacy || sidecar.at.incarnation == at.incarnation {
                    sidecar.seen.last_word = now;
                }
            }
        }
    }

    /// A sidecar is told 200, 202 or 204.
    pub fn oracle_acked(&mut self, s: usize, by: Option<(usize, u64)>, sent: Ms, leaves: bool, owed: bool) {
        let now = self.now;
        let Some((r, life)) = by else { return };
        let sidecar = &mut self.sidecars[s];
        let (key, at) = (sidecar.key.clone(), sidecar.at);
        if leaves {
            sidecar.fate = Fate::Left;
            let owed = owed.then_some((r, life));
            // A tombstone that was wiped away at once is nobody's fault; a lease ends it.
            if self.oracle.wiped.is_some_and(|wiped| now < wiped + 2 * VISIBLE) {
                return;
            }
            self.oracle.ended.insert(key.clone(), Ended { incarnation: at.incarnation, at: now, owed });
            self.say(|| format!("sidecar {s} is told by {r} that it left, owed: {}", owed.is_some()));
            if self.replicas[r].life == life && self.serves(r, &key).is_some_and(|(i, _)| i <= at.incarnation) {
                self.breaks(format!("{key} was told that it left, and replica {r} still answers it"));
            }
            return;
        }
        let status = if sidecar.will == Will::Drain { Status::Draining } else { sidecar.status };
        let seen = &mut sidecar.seen;
        // A heartbeat that came in before a request was sent is older than it.
        let gap = seen.acked.map_or(Ms::MAX, |(last, ..)| now - last);
        if gap > 14_000 {
            seen.lively = Some(now);
        }
        seen.heard_by.insert(r, (life, sent));
        seen.owed |= owed;
        if !owed {
            seen.registered.get_or_insert(now);
            seen.acked = Some((now, at, status));
            if !sidecar.legacy {
                let newest = self.oracle.newest.entry(key).or_insert((at.incarnation, now));
                if newest.0 < at.incarnation {
                    *newest = (at.incarnation, now);
                }
            }
        }
        let incarnation = at.incarnation;
        self.say(|| format!("sidecar {s} is told {} by {r}: {status:?} {}", if owed { 202 } else { 200 }, at.seq));
        self.later(TOLD, move |world| {
            let well = world.replicas[r].life == life && world.oracle.unwell.get(&r).is_none_or(|last| *last < sent);
            let seen = &mut world.sidecars[s];
            if well && seen.at.incarnation == incarnation {
                seen.seen.told = seen.seen.told.max(Some(sent));
            }
        });
    }

    /// The incarnation and the status that a replica answers.
    fn serves(&self, r: usize, key: &Key) -> Option<(u64, Status)> {
        let snapshot = self.snapshot(r)?;
        let instances = &snapshot.services.get(&key.service)?.instances;
        let instance = instances.iter().find(|instance| instance.endpoint == key.endpoint)?;
        Some((instance.at.incarnation, instance.status))
    }

    fn snapshot(&self, r: usize) -> Option<&Snapshot> {
        self.replicas[r].mind.as_ref()?.snapshot.as_ref()
    }

    fn settled(&self, r: usize) -> bool {
        self.snapshot(r).is_some() && self.well_since(r).is_some_and(|since| self.now >= since + SETTLE)
    }

    /// Since when nothing is wrong with a replica.
    fn well_since(&self, r: usize) -> Option<Ms> {
        let opened = self.replicas[r].mind.as_ref()?.opened?;
        Some(opened.max(self.oracle.unwell.get(&r).copied().unwrap_or(0)))
    }

    /// Called when a replica published.
    pub fn replica_published(&mut self, r: usize) {
        if self.replicas[r].mind.as_ref().is_some_and(|mind| mind.opened == Some(self.now)) {
            self.check_opening(r);
        }
    }

    /// A replica's first answers: a service that has lived for a while is not empty.
    fn check_opening(&mut self, r: usize) {
        let mind = self.replicas[r].mind.as_ref().unwrap();
        if mind.kept && !mind.read {
            return;
        }
        let began = mind.started;
        for s in 0..self.sidecars.len() {
            let sidecar = &self.sidecars[s];
            let lively = sidecar.seen.lively.is_some_and(|since| since + 12_000 < began);
            let recent = sidecar.seen.acked.is_some_and(|(at, ..)| at + 11_000 > self.now);
            if self.is_here(s) && !sidecar.legacy && lively && recent && !self.has_service(r, s) {
                let service = self.sidecars[s].key.service.clone();
                return self.breaks(format!("replica {r} begins to answer, and has nobody of {service}"));
            }
        }
    }

    fn has_service(&self, r: usize, s: usize) -> bool {
        self.snapshot(r).is_some_and(|snapshot| snapshot.services.contains_key(&self.sidecars[s].key.service))
    }

    fn is_here(&self, s: usize) -> bool {
        let sidecar = &self.sidecars[s];
        sidecar.fate == Fate::Here && sidecar.will != Will::Leave && !sidecar.cut
    }

    pub fn watch(&mut self) {
        for r in 0..self.replicas.len() {
            let replica = &self.replicas[r];
            let open = replica.mind.as_ref().is_some_and(|mind| mind.opened.is_some());
            let fit = open && replica.stopped.is_none() && replica.link == Link::default();
            if !fit || self.weather.dead || self.weather.throttled {
                self.unwell(r);
            }
        }
        self.look_for_losses();
        for r in 0..self.replicas.len() {
            if self.replicas[r].mind.is_some() && self.replicas[r].stopped.is_none() {
                if self.now.is_multiple_of(2000) {
                    self.check_publication(r);
                }
                self.check_tombstones(r);
                (0..self.sidecars.len()).for_each(|s| self.check_sidecar(r, s));
                self.check_mass(r);
            }
        }
        self.later(500, Self::watch);
    }

    /// All that is believed to be in service is in the answers, and nothing else.
    fn check_publication(&mut self, r: usize) {
        let mind = self.replicas[r].mind.as_ref().unwrap();
        let Some(snapshot) = &mind.snapshot else { return };
        let served = mind.fold.served_rows();
        let answered: usize = snapshot.services.values().map(|service| service.instances.len()).sum();
        let here =
            |row: &Row| self.serves(r, &row.key).is_some_and(|(incarnation, _)| incarnation == row.at.incarnation);
        if let Some(row) = served.iter().find(|row| !here(row)) {
            self.breaks(format!("replica {r} believes in {} and does not answer it", row.key));
        } else if answered != served.len() {
            self.breaks(format!("replica {r} answers {answered} and believes in {}", served.len()));
        }
    }

    /// Nothing comes back after a deregister, and the newest incarnation wins.
    fn check_tombstones(&mut self, r: usize) {
        let settled = self.settled(r);
        let mut broken = None;
        for (key, ended) in &self.oracle.ended {
            let Some((incarnation, _)) = self.serves(r, key) else { continue };
            let life = self.replicas[r].life;
            let bound = match ended.owed {
                None if settled => self.oracle_since(r, ended.at) + VISIBLE,
                Some(by) if by == (r, life) => ended.at,
                // Two heartbeats after the store is back for both, as RELIABILITY promises; if the debtor still lives.
                Some((debtor, then)) if settled && self.replicas[debtor].life == then && self.settled(debtor) => {
                    self.oracle_since(r, ended.at).max(self.oracle_since(debtor, ended.at)) + 20_000
                }
                _ => continue,
            };
            if incarnation <= ended.incarnation && self.now >= bound {
                broken = Some(format!("replica {r} answers {key} {incarnation}, which left"));
            }
        }
        for (key, (newest, at)) in &self.oracle.newest {
            let Some((incarnation, _)) = self.serves(r, key) else { continue };
            if settled && incarnation < *newest && self.now >= self.oracle_since(r, *at) + VISIBLE {
                broken = Some(format!("replica {r} answers {key} {incarnation}, and {newest} is newer"));
            }
        }
        if let Some(broken) = broken {
            self.breaks(broken);
        }
    }

    fn oracle_since(&self, r: usize, at: Ms) -> Ms {
        at.max(self.well_since(r).map_or(0, |since| since + SETTLE - VISIBLE))
    }

    /// Three flushes without a word of a replica, and a full read.
    fn found_by(&self) -> Ms {
        self.oracle.crashed.map_or(0, |crashed| crashed + 4 * ms(LEASES.flush()) + SETTLE - VISIBLE)
    }

    /// A wiped table takes a heartbeat, with its retries, to be full again.
    fn is_full_again(&self) -> bool {
        self.oracle.wiped.is_none_or(|wiped| self.now > wiped + ms(LEASES.heartbeat()) + SETTLE)
    }

    fn check_sidecar(&mut self, r: usize, s: usize) {
        let sidecar = &self.sidecars[s];
        let seen = &sidecar.seen;
        let key = sidecar.key.clone();
        let life = self.replicas[r].life;
        let served = self.serves(r, &key);
        let mind = self.replicas[r].mind.as_ref().unwrap();
        let known = mind.fold.known(&key);
        let legacy =
            known.and_then(|known| known.row.registration()).is_some_and(|found| found.origin != Origin::Native);
        let own = served.filter(
            |(incarnation, _)| {
                if sidecar.legacy { legacy } else { *incarnation == sidecar.at.incarnation }
            },
        );
        let wiped = self.oracle.wiped.is_some()
            && self.sidecars.iter().any(|other| other.key == key && other.at.incarnation > sidecar.at.incarnation);
        let overtaken = wiped
            || known.is_some_and(|known| {
                if sidecar.legacy { !legacy } else { known.row.at.incarnation > sidecar.at.incarnation }
            });
        let lease = ms(if sidecar.legacy { LEASES.legacy } else { LEASES.native });
        let settled = self.settled(r);
        let held = known.is_some_and(|known| known.held);
        let known_row = known.map(|known| known.row.clone());
        if let Some((acked, at, status)) = seen.acked
            && settled
            && !sidecar.legacy
            && self.is_here(s)
            && self.now >= self.oracle_since(r, acked).max(self.found_by()) + VISIBLE
            && self.is_full_again()
            && (!seen.owed
                || acked > self.oracle.unwell.values().max().map_or(0, |last| last + 2 * ms(LEASES.heartbeat())))
        {
            // What was told 200 is known to all.
            let shown = known_row.as_ref().is_some_and(|row| {
                row.at.incarnation > at.incarnation
                    || row.at.incarnation == at.incarnation
                        && (row.at.seq > at.seq || row.registration().is_some_and(|standing| standing.status == status))
            });
            if !shown {
                let at_s = acked as f64 / 1000.0;
                return self
                    .breaks(format!("{key} was told {status:?} at {at_s}, and replica {r} knows {known_row:?}"));
            }
        }
        if self.is_here(s) && !overtaken && own.is_none() {
            let heard = seen.heard_by.get(&r).filter(|(then, _)| *then == life).map(|(_, at)| *at);
            let last = heard.max(seen.told);
            let visible = seen.registered.is_some_and(|at| self.now >= self.oracle_since(r, at) + VISIBLE);
            if settled && visible && last.is_some_and(|last| self.now - last + 2000 < lease) {
                return self.breaks(format!(
                    "{key} {} lives (sidecar {s}), and replica {r} does not answer it",
                    sidecar.at.incarnation
                ));
            }
            // One that answered it goes on as long as it is spoken for, somewhere, whatever is wrong here.
            let lively = seen.lively.is_some_and(|since| self.now >= since + TOLD)
                && seen.acked.is_some_and(|(at, ..)| self.now < at + 14_000);
            if lively && seen.known_to.get(&r) == Some(&life) && !self.has_service(r, s) {
                return self.breaks(format!("replica {r} has nobody of {} any more", key.service));
            }
        }
        if let Some((incarnation, _)) = own {
            self.sidecars[s].seen.known_to.insert(r, life);
            let sidecar = &self.sidecars[s];
            if sidecar.fate == Fate::Dead && !held {
                self.check_dead(r, s, incarnation);
            } else if held && settled {
                self.check_held(r, s);
            }
        }
    }

    fn check_dead(&mut self, r: usize, s: usize, incarnation: u64) {
        let Sidecar { key, seen, legacy, .. } = &self.sidecars[s];
        let (Some(since), mind) = (self.well_since(r), self.replicas[r].mind.as_ref().unwrap()) else { return };
        let since = since.max(seen.last_word);
        let lease = ms(if *legacy { LEASES.legacy } else { LEASES.native });
        let bound = lease + SLACK + self.patience_since(seen.last_word);
        if self.now > since + bound {
            let last = seen.last_word as f64 / 1000.0;
            return self.breaks(format!("{key} {incarnation} is dead since {last}, and replica {r} answers it"));
        }
        let hint = self.oracle.lost.get(key).filter(|(lost, at)| *lost == incarnation && *at < mind.started);
        if hint.is_some_and(|(_, at)| seen.last_word < *at) && !mind.kept {
            self.breaks(format!("{key} {incarnation} was silent when replica {r} started, and it answers it"));
        }
    }

    /// What stops of replicas may have been forgiven since then.
    fn patience_since(&self, then: Ms) -> Ms {
        let going_on = |r: &usize| self.well_since(*r).is_none_or(|since| since >= then);
        let stops = self.oracle.stops.iter().filter(|begun| **begun >= then).count();
        let stops = stops.max((0..self.replicas.len()).filter(going_on).count());
        stops as Ms * ms(LEASES.stall())
    }

    fn check_held(&mut self, r: usize, s: usize) {
        let Sidecar { key, seen, .. } = &self.sidecars[s];
        let since = self.well_since(r).unwrap_or(0).max(seen.last_word);
        let cap = ms(LEASES.hold) + self.patience_since(seen.last_word).max(ms(LEASES.stall())) + SLACK;
        if self.now > since + cap {
            self.breaks(format!("replica {r} holds {key} beyond the cap"));
        } else if self.oracle.loss.is_none() && self.oracle.unwell.is_empty() {
            self.breaks(format!("replica {r} holds {key} without a reason"));
        }
    }

    /// Whether so many are silent that the guard may hold some.
    fn look_for_losses(&mut self) {
        let mut late = BTreeMap::<usize, usize>::new();
        for sidecar in self.sidecars.iter().filter(|sidecar| sidecar.fate != Fate::Left) {
            let silent = self.now - sidecar.seen.last_word;
            if silent > ms(LEASES.native) / 2 && silent < ms(LEASES.native) * 2 {
                *late.entry(sidecar.service).or_default() += 1;
            }
        }
        if late.values().any(|late| *late >= 3) || late.values().sum::<usize>() >= 5 {
            self.oracle.loss = Some(self.now);
        }
    }

    /// Many that fall silent together stay.
    fn check_mass(&mut self, r: usize) {
        let Some(mass) = &self.oracle.mass else { return };
        if !mass.lives.contains(&(r, self.replicas[r].life)) {
            return;
        }
        let gone = mass.sidecars.iter().find(|s| {
            let sidecar = &self.sidecars[**s];
            sidecar.fate == Fate::Here && sidecar.cut && self.serves(r, &sidecar.key).is_none()
        });
        if let Some(key) = gone.map(|s| self.sidecars[*s].key.clone()) {
            self.breaks(format!("{key} fell silent with its whole service, and replica {r} let it go"));
        }
    }

    pub fn mass_begins(&mut self, service: usize) {
        let all: Vec<_> = (0..self.sidecars.len())
            .filter(|s| {
                self.is_here(*s) && self.sidecars[*s].service == service && self.sidecars[*s].seen.lively.is_some()
            })
            .collect();
        let serves = |r: &usize| {
            self.settled(*r)
                && all.iter().all(|s| {
                    let sidecar = &self.sidecars[*s];
                    self.serves(*r, &sidecar.key).is_some_and(|(incarnation, _)| incarnation == sidecar.at.incarnation)
                })
        };
        let lives = (0..self.replicas.len()).filter(serves).map(|r| (r, self.replicas[r].life)).collect();
        for s in 0..self.sidecars.len() {
            if self.sidecars[s].service == service {
                self.sidecars[s].cut = true;
            }
        }
        if all.len() >= 4 {
            self.oracle.mass = Some(Mass { sidecars: all, lives });
        }
    }

    pub fn mass_ends(&mut self) {
        self.oracle.mass = None;
        for s in 0..self.sidecars.len() {
            self.heard_again(s);
        }
    }

    /// Its requests arrive again: what it was told before may be forgotten.
    pub fn heard_again(&mut self, s: usize) {
        let sidecar = &mut self.sidecars[s];
        sidecar.cut = false;
        sidecar.seen = Seen { last_word: sidecar.seen.last_word, ..Seen::default() };
    }

    /// Replicas that can read agree, once nothing happens any more.
    pub fn check_agreement(&mut self) {
        let all: Vec<_> = (0..self.replicas.len()).filter(|r| self.settled(*r)).collect();
        let holding = |r: &usize| self.replicas[*r].mind.as_ref().is_some_and(|mind| mind.fold.holding() > 0);
        if all.iter().any(holding) {
            return;
        }
        let versions = |r: &usize| -> BTreeMap<_, _> {
            let services = &self.snapshot(*r).unwrap().services;
            services.iter().map(|(name, service)| (name.as_str().to_owned(), service.version.to_string())).collect()
        };
        let told: Vec<_> = all.iter().map(versions).collect();
        if told.windows(2).any(|pair| pair[0] != pair[1]) {
            let shown: Vec<_> = all.iter().map(|r| self.shown(*r)).collect();
            self.breaks(format!("the replicas do not agree: {shown:?}"));
        }
    }

    fn shown(&self, r: usize) -> Vec<String> {
        let services = &self.snapshot(r).unwrap().services;
        let mut all: Vec<_> = services
            .values()
            .flat_map(|service| service.instances.iter().map(move |i| (service, i)))
            .map(|(service, i)| format!("{}/{} {} {:?}", service.name, i.endpoint, i.at.incarnation, i.status))
            .collect();
        all.sort();
        all
    }
}
