//! Many registrants in one process: what the registry hears of thousands of sidecars, where thousands of processes do not
//! fit. Where twenty will do, the real one is used ([`crate::sidecar`]).
//!
//! Each speaks the native API on a connection of its own, as a sidecar does: `pace` says when, by what it was answered.
//! None has an app: its health, weight and end are the test's to say.

mod caller;
pub(crate) mod line;
mod pace;
mod registrant;

use std::{net::SocketAddr, time::Duration};

use anyhow::ensure;
pub use registrant::{Registrant, Seen, Spec};
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::wait::until;

/// Registrants that were started together.
#[derive(Debug, Default)]
pub struct Fleet {
    /// In the order of their specs.
    pub all: Vec<Registrant>,
}

impl Fleet {
    /// Starts them one after the other within `spread`, as their heartbeats go on. The nth begins with the nth replica,
    /// and all know all of them.
    pub fn start(specs: impl IntoIterator<Item = Spec>, replicas: &[SocketAddr], spread: Duration) -> Self {
        raise_descriptors();
        let specs: Vec<Spec> = specs.into_iter().collect();
        let every = spread / u32::try_from(specs.len().max(1)).unwrap_or(u32::MAX);
        let mut all = Vec::new();
        for (nth, spec) in (0_u32..).zip(specs) {
            let mut known = replicas.to_vec();
            known.rotate_left(nth as usize % replicas.len().max(1));
            all.push(Registrant::start(spec, known, every * nth));
        }
        Self { all }
    }

    /// Waits until each was told at least once that it is registered.
    pub async fn registered(&self, within: Duration) -> anyhow::Result<()> {
        until("all of the fleet to be registered", within, async || {
            let missing = self.all.iter().filter(|one| one.seen().held == 0).count();
            ensure!(missing == 0, "{missing} of {} are not: {:?}", self.all.len(), self.sum());
            Ok(())
        })
        .await
    }

    /// Those of one service.
    pub fn of(&self, service: &str) -> impl Iterator<Item = &Registrant> {
        self.all.iter().filter(move |one| one.spec.service == service)
    }

    /// What all have seen, added up.
    pub fn sum(&self) -> Seen {
        self.all.iter().map(Registrant::seen).fold(Seen::default(), Seen::plus)
    }
}

/// A connection for each: more than a shell allows at first.
fn raise_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it cannot be raised, connecting says so.
    let _ = setrlimit(Resource::Nofile, limit);
}
