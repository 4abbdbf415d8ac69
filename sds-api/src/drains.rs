//! Drain receipts: whether everybody who routes by this registry knows that an instance drains, so that its sidecar need not
//! wait for the slowest that it can think of.
//!
//! ```text
//!   streams: what each has accepted --.
//!                                      >-- ledger: which drains all of them know -- registry --> the replica's header
//!   pollers: what each was answered --'                                             registry <-- the others' headers
//! ```
//!
//! A drain is complete when this replica and every other one that may have clients said so. What is not known counts as
//! not known by somebody: then the linger ends the drain, as it does without receipts.

mod ledger;
mod pollers;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};

pub use ledger::Reads;
pub use pollers::{Poller, Pollers};

use crate::{
    instance::Key,
    registry::{Registry, Version},
    replica::{InstanceHash, ReplicaId},
    xds::{Clients, Held},
};
use ledger::{Holding, Ledger};

/// The drains of now; clones share them.
#[derive(Debug, Clone)]
pub struct Drains {
    registry: Registry,
    clients: Clients,
    pollers: Pollers,
    ledger: Arc<Mutex<Ledger>>,
}

/// Where a drain stands.
#[derive(Debug)]
pub struct Standing {
    /// Everybody knows.
    pub complete: bool,
    /// All clients of this replica know.
    pub here: bool,
    /// Each of the others, and whether all of its clients know; nothing while they cannot be heard.
    pub others: Option<Vec<(ReplicaId, bool)>>,
    /// Clients of this replica that may not know.
    pub waiting: Vec<Waiting>,
}

/// A client that may still send something.
#[derive(Debug)]
pub struct Waiting {
    /// As it calls itself.
    pub who: String,
    /// From where it came, if that is another thing.
    pub peer: Option<String>,
    /// How it asks.
    pub asks: &'static str,
}

impl Drains {
    /// Starts to keep the ledger, looking at clients every so often while a drain is not known to all.
    pub fn start(registry: Registry, clients: Clients, fail_open: bool, every: Duration) -> Self {
        let drains = Self { registry, clients, pollers: Pollers::default(), ledger: Arc::default() };
        tokio::spawn(drains.clone().keep(fail_open, every));
        drains
    }

    /// Those who poll.
    pub fn pollers(&self) -> &Pollers {
        &self.pollers
    }

    async fn keep(self, fail_open: bool, every: Duration) {
        let mut snapshots = self.registry.snapshots();
        let mut told = Vec::new();
        loop {
            let open = !self.ledger().open().is_empty();
            tokio::select! {
                changed = snapshots.changed() => if changed.is_err() { return },
                () = sleep(every), if open => {}
            }
            let Some(snapshot) = snapshots.borrow_and_update().clone() else { continue };
            self.ledger().look(&snapshot, fail_open, Instant::now());
            let open = self.ledger().open();
            for service in open {
                let holdings = self.holdings(service.as_str());
                self.ledger().settle(&service, &holdings);
            }
            let seen = self.ledger().seen();
            if seen != told {
                self.registry.tell_seen(seen.clone());
                told = seen;
            }
            // Changes come in bursts; nobody waits for this but drains.
            sleep(every / 4).await;
        }
    }

    /// Whether everybody knows that this incarnation drains.
    pub fn are_complete(&self, key: &Key, incarnation: u64) -> bool {
        let drain = self.ledger().drain(key).map(|drain| (drain.incarnation, drain.seen, drain.since));
        let drain = drain.filter(|(standing, seen, _)| *standing == incarnation && *seen);
        drain.is_some_and(|(_, _, since)| all(self.others(key, incarnation, since).as_deref()))
    }

    /// Where the drain of an instance stands, if it drains.
    pub fn standing(&self, key: &Key) -> Option<Standing> {
        let ledger = self.ledger();
        let drain = ledger.drain(key)?;
        let others = self.others(key, drain.incarnation, drain.since);
        let mut waiting = Vec::new();
        if !drain.seen {
            self.each(key.service.as_str(), |holding, client| {
                if !drain.is_known_by(holding) {
                    waiting.push(client());
                }
            });
        }
        Some(Standing { complete: drain.seen && all(others.as_deref()), here: drain.seen, others, waiting })
    }

    /// What the other replicas say of it, once a look at them has begun after it did.
    fn others(&self, key: &Key, incarnation: u64, since: Instant) -> Option<Vec<(ReplicaId, bool)>> {
        let witnesses = self.registry.witnesses().filter(|witnesses| witnesses.began > since)?;
        let hash = InstanceHash::of(key, incarnation);
        Some(witnesses.others.iter().map(|other| (other.id.clone(), other.seen.contains(&hash))).collect())
    }

    fn holdings(&self, service: &str) -> HashSet<Holding> {
        let mut holdings = HashSet::new();
        self.each(service, |holding, _| {
            holdings.insert(holding);
        });
        if self.pollers.are_crowded() {
            holdings.insert((Reads::Health, None));
        }
        holdings
    }

    /// Shows what each client of a service holds, and who it is.
    fn each(&self, service: &str, mut each: impl FnMut(Holding, &dyn Fn() -> Waiting)) {
        self.clients.holders(service, |client, held| {
            let version: Option<Version> = match held {
                Held::Version(version) => Some(version),
                Held::Unknown | Held::Unwanted => None,
            };
            each((Reads::Health, version), &|| Waiting {
                who: client.node.id.clone(),
                peer: client.peer.map(|peer| peer.to_string()),
                asks: client.variant,
            });
        });
        self.pollers.of(service, |poll| {
            let asks = if poll.reads == Reads::List { "v1" } else { "eds" };
            each((poll.reads, Some(poll.version)), &|| Waiting { who: poll.who.to_string(), peer: None, asks });
        });
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether all other replicas could be heard, and said so.
fn all(others: Option<&[(ReplicaId, bool)]>) -> bool {
    others.is_some_and(|others| others.iter().all(|(_, seen)| *seen))
}
