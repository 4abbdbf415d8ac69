//! What happened lately: this replica's last transitions, numbered, for the person on call. They are the difference of two
//! snapshots ([`diff`]), so that an event is exactly what pollers saw change, and what the loss guard holds, which no
//! snapshot shows.
//!
//! The loop alone writes; readers copy a page under a lock that is held for as long as that takes, and never by somebody
//! who waits for anything else. Without a transition nothing is done here.

mod diff;
mod record;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sds_types::Weight;

use super::Written;
use crate::{
    clock::Timestamp,
    instance::{Gone, Key, Override, Status},
};
pub use record::Recorder;

/// How many are kept.
const KEPT: usize = 10_000;

/// One transition.
#[derive(Debug, Clone)]
pub struct Event {
    /// Rises by one, from 1 at the start of this replica.
    pub n: u64,
    /// When it was in the answers, by this machine's clock.
    pub at: Timestamp,
    /// Whose; nothing for the replica's own.
    pub key: Option<Key>,
    /// What.
    pub what: What,
}

impl Event {
    /// Whether pollers saw something change.
    pub fn is_transition(&self) -> bool {
        !matches!(self.what, What::Written(_))
    }
}

/// What happened to an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The first answers of this replica.
    Serving {
        /// How many services.
        services: usize,
        /// How many instances.
        instances: usize,
    },
    /// Came into the answers with this status.
    Registered(Status),
    /// The same task or host registered with a higher incarnation: its sidecar was started again.
    Restarted(u64),
    /// Another task or host registered at the address.
    NewTenant {
        /// As [`Row::tenant`](crate::instance::Row::tenant) names it.
        from: String,
        /// The same.
        to: String,
    },
    /// Has another status in the answers.
    Status {
        /// Before.
        from: Status,
        /// Now.
        to: Status,
    },
    /// Says something else of itself.
    Changed(Vec<Changed>),
    /// An operator's word began to count, or another one did.
    Overridden(Arc<Override>),
    /// It counts no more.
    OverrideEnded(Ended),
    /// Silent together with many others, and kept in the answers.
    Held,
    /// Was silent, held or not, and was heard.
    HeardAgain,
    /// Left the answers for silence.
    Silent,
    /// Left the answers by a word.
    Deregistered(Gone),
    /// A request changed its row; for the audit, beside what pollers saw change.
    Written(Box<Written>),
}

/// A part of what an instance says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// Its share of traffic.
    Weight(Option<Weight>, Option<Weight>),
    /// Whether it is a canary now.
    Canary(bool),
    /// What runs.
    Revision(String, String),
    /// Anything else, by its name.
    Other(&'static str),
}

/// Why an operator's word counts no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Its time is over.
    RanOut,
    /// It was meant for somebody else, who was here before.
    NewTenant,
    /// It was taken back.
    TakenBack,
}

/// The last transitions; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Events(Arc<Mutex<Ring>>);

#[derive(Debug, Default)]
struct Ring {
    last: u64,
    events: VecDeque<Event>,
    /// Whose silence is among the events: its incarnation, and the event's number. Who is heard of it again is not new.
    silent: HashMap<Key, (u64, u64)>,
}

/// Some of them, the newest last.
#[derive(Debug)]
pub struct Page {
    /// In order.
    pub events: Vec<Event>,
    /// Whether there are newer ones that were asked for.
    pub more: bool,
    /// The newest number of all.
    pub last: u64,
}

impl Events {
    /// The newest `limit` events of which `wanted` holds, or, with `after`, the first ones that came after that number. A
    /// number that was not reached is of another replica or of another run: everything is new to who says it.
    pub fn page(&self, after: Option<u64>, limit: usize, wanted: impl Fn(&Event) -> bool) -> Page {
        let ring = self.ring();
        let last = ring.last;
        let mut found = Vec::new();
        let more = match after {
            None => {
                found.extend(ring.events.iter().rev().filter(|event| wanted(event)).take(limit).cloned());
                found.reverse();
                false
            }
            Some(after) => {
                let after = if after > last { 0 } else { after };
                let newer = ring.events.partition_point(|event| event.n <= after);
                let mut newer = ring.events.range(newer..).filter(|event| wanted(event));
                found.extend(newer.by_ref().take(limit).cloned());
                newer.next().is_some()
            }
        };
        Page { events: found, more, last }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn push(&mut self, at: Timestamp, key: Option<Key>, what: What) {
        if self.events.len() >= KEPT
            && let Some(Event { n, key: Some(key), what: What::Silent, .. }) = self.events.pop_front()
            && self.silent.get(&key).is_some_and(|(_, told)| *told == n)
        {
            self.silent.remove(&key);
        }
        self.last += 1;
        self.events.push_back(Event { n: self.last, at, key, what });
    }
}

#[cfg(test)]
mod tests;
