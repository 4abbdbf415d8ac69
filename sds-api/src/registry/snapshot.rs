//! What the registry answers from: immutable, shared by all readers, replaced as a whole.
//!
//! A service's version hashes what the answers are made of, by a fixed spelling of our own: it is the same on every
//! replica, after every restart and in the next release, and a heartbeat does not move it. Envoys and HTTP caches
//! compare it to learn that nothing changed.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    hash::Hasher,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use sds_types::{Endpoint, Sequence, ServiceName};
use siphasher::sip::SipHasher24;

use crate::{
    clock::Stamp,
    instance::{Content, Origin, Override, Status},
    render::Answers,
};

/// All services that have an instance in service.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// By name; services that did not change are shared with the snapshot before.
    pub services: HashMap<ServiceName, Arc<Service>>,
    /// All that have a row, also of departed instances: for a day at least, a service without instances is among them.
    pub known: Arc<BTreeSet<ServiceName>>,
}

/// One service and the answers made of it so far.
#[derive(Debug)]
pub struct Service {
    /// Its name.
    pub name: ServiceName,
    /// Of the content below.
    pub version: Version,
    /// By zone, ip, port.
    pub instances: Vec<Instance>,
    /// Each rendered on first use, dropped with this version.
    pub answers: Answers,
    /// How many of them only the loss guard keeps here: moved by the loop alone, and no part of the content.
    held: AtomicUsize,
}

/// A row in service, as the answers need it.
#[derive(Debug)]
pub struct Instance {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Its registrant's order.
    pub at: Sequence,
    /// What its registrant says.
    pub status: Status,
    /// Who registered it.
    pub origin: Origin,
    /// All else, an operator's word laid over it.
    pub content: Arc<Content>,
    /// That word.
    pub operator: Option<Arc<Override>>,
    /// The last sign of life, for people: the one thing here that moves, by the loop alone.
    pub heard: Stamp,
    /// How long that lasts.
    pub lease: Duration,
}

impl Service {
    /// A version of a service; the instances come in any order.
    pub fn new(name: ServiceName, mut instances: Vec<Instance>, held: usize) -> Self {
        instances.sort_unstable_by(|a, b| {
            let zones = a.content.locality.zone.cmp(&b.content.locality.zone);
            zones.then(a.endpoint.cmp(&b.endpoint))
        });
        let version = Version::of(name.as_str(), &instances);
        let held = AtomicUsize::new(held);
        Self { name, version, instances, answers: Answers::default(), held }
    }

    /// How many of the instances only the loss guard keeps here.
    pub fn holding(&self) -> usize {
        self.held.load(Relaxed)
    }

    /// Moves that number; the loop's alone.
    pub fn hold(&self, holding: usize) {
        self.held.store(holding, Relaxed);
    }
}

/// 64 bits that change with the content; sixteen hex digits in answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u64);

impl Version {
    /// The version of a service; that of an unknown one has no instances.
    pub fn of(name: &str, instances: &[Instance]) -> Self {
        let mut hash = SipHasher24::new();
        text(&mut hash, name);
        for Instance { endpoint, status, content, .. } in instances {
            text(&mut hash, &endpoint.to_string());
            text(&mut hash, status.as_str());
            hash.write(&[content.weight.map_or(0, |weight| weight.get()), content.canary.into()]);
            for label in [
                content.locality.region.as_str(),
                content.locality.zone.as_str(),
                content.revision.as_str(),
                content.instance_id.as_str(),
                content.service_repo_name.as_str(),
            ] {
                text(&mut hash, label);
            }
            for (name, value) in content.tags.iter() {
                text(&mut hash, name);
                text(&mut hash, value);
            }
            // No text has this length, so a tag cannot be taken for the next endpoint.
            hash.write(&u64::MAX.to_be_bytes());
        }
        Self(hash.finish())
    }

    /// Whether a client's text is this version; asked with each poll, so nothing is spelled for it.
    pub fn is(self, text: &str) -> bool {
        text.len() == 16 && u64::from_str_radix(text, 16) == Ok(self.0)
    }

    /// The version of an answer about several services, in any order.
    pub fn of_all(versions: &mut [(&str, Version)]) -> Self {
        versions.sort_unstable();
        let mut hash = SipHasher24::new();
        for (name, version) in versions {
            text(&mut hash, name);
            hash.write(&version.0.to_be_bytes());
        }
        Self(hash.finish())
    }
}

/// Lengths keep neighbours apart: ("ab", "c") is not ("a", "bc").
fn text(hash: &mut SipHasher24, text: &str) {
    hash.write(&(text.len() as u64).to_be_bytes());
    hash.write(text.as_bytes());
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
