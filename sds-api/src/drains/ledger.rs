//! Who drains, and which versions of a service say so: the pure half of drain receipts.
//!
//! Whoever holds one of these versions sends nothing new to the instance, whatever came before or after. A version hashes
//! what a service is made of, so this is true without any clock or order. One that was replaced before it was looked at is
//! missing here: who holds it counts as not knowing until the next one.

use std::{
    collections::{BTreeMap, HashSet},
    mem,
    sync::Arc,
};

use sds_types::{Endpoint, ServiceName};
use tokio::time::Instant;

use crate::{
    instance::{Key, Status},
    registry::{Service, Snapshot, Version},
    replica::InstanceHash,
    view,
};

/// So many versions of a service are remembered while somebody drains.
const VERSIONS: usize = 256;

/// How a client takes in a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reads {
    /// It is told each instance's health.
    Health,
    /// It is told a list, which the draining leave; unless nobody else is left.
    List,
}

/// What a client holds of a service, if that is known.
pub type Holding = (Reads, Option<Version>);

/// An instance that drains.
#[derive(Debug)]
pub struct Drain {
    /// Of its registrant.
    pub incarnation: u64,
    /// When this replica learned of it.
    pub since: Instant,
    /// All clients of this replica know: for good, since who comes later is told so.
    pub seen: bool,
    /// The versions in which it drains, and whether the lists have it all the same.
    shown: Vec<(Version, bool)>,
}

impl Drain {
    /// Whether a client with this sends it nothing new.
    pub fn is_known_by(&self, (reads, version): Holding) -> bool {
        let tells = |(shown, listed): &(Version, bool)| Some(*shown) == version && !(reads == Reads::List && *listed);
        self.shown.iter().any(tells)
    }
}

/// All that drain.
#[derive(Debug, Default)]
pub struct Ledger {
    drains: BTreeMap<ServiceName, BTreeMap<Endpoint, Drain>>,
    snapshot: Arc<Snapshot>,
}

impl Ledger {
    /// Takes in what is served now.
    pub fn look(&mut self, snapshot: &Arc<Snapshot>, fail_open: bool, now: Instant) {
        let before = mem::replace(&mut self.snapshot, snapshot.clone());
        self.drains.retain(|name, _| snapshot.services.contains_key(name));
        for (name, service) in &snapshot.services {
            if !before.services.get(name).is_some_and(|old| Arc::ptr_eq(old, service)) {
                self.service(service, fail_open, now);
            }
        }
    }

    fn service(&mut self, service: &Service, fail_open: bool, now: Instant) {
        let mut old = self.drains.remove(&service.name).unwrap_or_default();
        let draining: Vec<_> = service.instances.iter().filter(|it| it.status == Status::Draining).collect();
        if draining.is_empty() {
            return;
        }
        let list = view::v1(service, fail_open);
        let listed = list.status == Status::Draining && !list.hosts.is_empty();
        let drains = draining.into_iter().map(|instance| {
            let incarnation = instance.at.incarnation;
            let known = old.remove(&instance.endpoint).filter(|drain| drain.incarnation == incarnation);
            let mut drain = known.unwrap_or(Drain { incarnation, since: now, seen: false, shown: Vec::new() });
            if drain.shown.len() == VERSIONS {
                drain.shown.remove(0);
            }
            drain.shown.push((service.version, listed));
            (instance.endpoint, drain)
        });
        self.drains.insert(service.name.clone(), drains.collect());
    }

    /// The services of which somebody may not know yet who drains.
    pub fn open(&self) -> Vec<ServiceName> {
        let open = self.drains.iter().filter(|(_, drains)| drains.values().any(|drain| !drain.seen));
        open.map(|(name, _)| name.clone()).collect()
    }

    /// All clients of a service hold one of these.
    pub fn settle(&mut self, service: &ServiceName, holdings: &HashSet<Holding>) {
        for drain in self.drains.get_mut(service).into_iter().flat_map(BTreeMap::values_mut) {
            drain.seen = drain.seen || holdings.iter().all(|holding| drain.is_known_by(*holding));
        }
    }

    /// All of which every client of this replica knows.
    pub fn seen(&self) -> Vec<InstanceHash> {
        let all = self.drains.iter().flat_map(|(name, drains)| drains.iter().map(move |drain| (name, drain)));
        let seen = all.filter(|(_, (_, drain))| drain.seen).map(|(name, (endpoint, drain))| {
            let key = Key { service: name.clone(), endpoint: *endpoint };
            InstanceHash::of(&key, drain.incarnation)
        });
        seen.collect()
    }

    /// One of them.
    pub fn drain(&self, key: &Key) -> Option<&Drain> {
        self.drains.get(&key.service)?.get(&key.endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::{Stamp, Timestamp},
        instance::Origin,
        registry::Instance,
    };

    /// `web` with an instance for each of these; all of the same incarnation.
    fn served(statuses: &[Status], incarnation: u64) -> Arc<Snapshot> {
        let name: ServiceName = "web".parse().unwrap();
        let instances = statuses.iter().zip(1..).map(|(status, nth)| Instance {
            endpoint: format!("10.0.0.{nth}:80").parse().unwrap(),
            at: sds_types::Sequence { incarnation, seq: 1 },
            status: *status,
            origin: Origin::Native,
            content: Arc::default(),
            operator: None,
            heard: Stamp::new(Timestamp::now()),
            lease: std::time::Duration::from_secs(30),
        });
        let service = Arc::new(Service::new(name.clone(), instances.collect(), 0));
        Arc::new(Snapshot { services: [(name, service)].into(), known: Arc::default() })
    }

    fn version(snapshot: &Snapshot) -> Option<Version> {
        snapshot.services.values().next().map(|service| service.version)
    }

    fn key(nth: u8) -> Key {
        Key { service: "web".parse().unwrap(), endpoint: format!("10.0.0.{nth}:80").parse().unwrap() }
    }

    const WEB: [Status; 2] = [Status::Healthy, Status::Draining];

    #[test]
    fn a_drain_is_seen_when_nobody_holds_another_version() {
        let (all, one) = (served(&[Status::Healthy; 2], 1), served(&WEB, 1));
        let mut ledger = Ledger::default();
        ledger.look(&all, true, Instant::now());
        assert!(ledger.open().is_empty());
        ledger.look(&one, true, Instant::now());
        assert_eq!(ledger.open(), [key(2).service]);
        for stale in [version(&all), None] {
            ledger.settle(&key(2).service, &[(Reads::Health, version(&one)), (Reads::Health, stale)].into());
            assert!(ledger.seen().is_empty() && !ledger.open().is_empty());
        }
        ledger.settle(&key(2).service, &[(Reads::Health, version(&one)), (Reads::List, version(&one))].into());
        assert_eq!((ledger.seen(), ledger.open()), (vec![InstanceHash::of(&key(2), 1)], vec![]));
    }

    #[test]
    fn who_holds_an_earlier_version_in_which_it_drains_knows_too() {
        let (one, two) = (served(&WEB, 1), served(&[Status::Unhealthy, Status::Draining], 1));
        let mut ledger = Ledger::default();
        ledger.look(&one, true, Instant::now());
        ledger.look(&two, true, Instant::now());
        ledger.settle(&key(2).service, &[(Reads::Health, version(&one))].into());
        assert!(ledger.drain(&key(2)).unwrap().seen);
    }

    #[test]
    fn a_list_that_has_nobody_else_still_sends_requests() {
        let last = served(&[Status::Draining], 1);
        for (fail_open, known) in [(true, false), (false, true)] {
            let mut ledger = Ledger::default();
            ledger.look(&last, fail_open, Instant::now());
            ledger.settle(&key(1).service, &[(Reads::List, version(&last))].into());
            assert_eq!(ledger.drain(&key(1)).unwrap().seen, known);
        }
    }

    #[test]
    fn what_was_seen_of_one_incarnation_says_nothing_of_the_next() {
        let mut ledger = Ledger::default();
        ledger.look(&served(&WEB, 1), true, Instant::now());
        ledger.settle(&key(2).service, &HashSet::new());
        assert_eq!(ledger.seen().len(), 1, "nobody is nobody who does not know");
        ledger.look(&served(&WEB, 2), true, Instant::now());
        assert!(ledger.seen().is_empty());
        ledger.look(&Arc::default(), true, Instant::now());
        assert!(ledger.drain(&key(2)).is_none());
    }
}
