//! The clock, and what is to happen: jobs in the order of their times. A job of a replica waits while that is stopped, and
//! dies with it.

use std::{collections::BTreeMap, time::Duration};

use super::{net::Weather, oracle::Oracle, replica::Replica, sidecar::Sidecar, table::Table};
use crate::{clock::Timestamp, registry::lease::Leases};

pub type Job = Box<dyn FnOnce(&mut World)>;

/// Milliseconds since the world began.
pub type Ms = u64;

/// The hold is short, so that a run sees its end.
pub const LEASES: Leases =
    Leases { native: Duration::from_secs(30), legacy: Duration::from_secs(60), hold: Duration::from_secs(120) };
/// Between two repair reads; short, for the same reason.
pub const FULL_READ: Ms = 60_000;
const EPOCH: u64 = 1_800_000_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    World,
    Replica { r: usize, life: u64 },
}

#[derive(Default)]
pub struct World {
    pub now: Ms,
    order: u64,
    queue: BTreeMap<(Ms, u64), (Owner, Job)>,
    pub table: Table,
    pub weather: Weather,
    pub replicas: Vec<Replica>,
    pub sidecars: Vec<Sidecar>,
    pub oracle: Oracle,
    /// What happened, told only when the run is repeated to be read.
    pub trace: Option<Vec<String>>,
}

impl World {
    /// Something that happens whoever is up.
    pub fn later(&mut self, delay: Ms, job: impl FnOnce(&mut Self) + 'static) {
        self.push(self.now + delay, Owner::World, Box::new(job));
    }

    /// Something that replica `r` does, if it lives until then.
    pub fn soon(&mut self, r: usize, delay: Ms, job: impl FnOnce(&mut Self) + 'static) {
        self.soon_in(r, self.replicas[r].life, delay, job);
    }

    /// The same, for a life of it that may have ended since.
    pub fn soon_in(&mut self, r: usize, life: u64, delay: Ms, job: impl FnOnce(&mut Self) + 'static) {
        self.push(self.now + delay, Owner::Replica { r, life }, Box::new(job));
    }

    fn push(&mut self, at: Ms, owner: Owner, job: Job) {
        self.order += 1;
        self.queue.insert((at, self.order), (owner, job));
    }

    /// Runs until the end or the first broken promise.
    pub fn run(&mut self, end: Ms) {
        while self.oracle.broken.is_none()
            && let Some(((at, order), (owner, job))) = self.queue.pop_first()
        {
            if at > end {
                return;
            }
            self.now = at;
            if let Owner::Replica { r, life } = owner {
                let replica = &self.replicas[r];
                if replica.life != life || replica.mind.is_none() {
                    continue;
                }
                if let Some(until) = replica.stopped.filter(|until| *until > at) {
                    // In the order in which it would have come.
                    self.queue.insert((until, order), (owner, job));
                    continue;
                }
            }
            job(self);
        }
    }

    /// By replica `r`'s clock, which may be wrong.
    pub fn wall(&self, r: usize) -> Timestamp {
        let ms = i64::try_from(self.now).unwrap() + self.replicas[r].skew;
        let at = Timestamp::of_seconds(EPOCH);
        let span = Duration::from_millis(ms.unsigned_abs());
        if ms < 0 { at.minus(span) } else { at.plus(span) }
    }

    /// By the clock of a machine that is so many milliseconds ahead.
    pub fn clock(&self, skew: i64) -> u64 {
        (EPOCH * 1000 + self.now).saturating_add_signed(skew)
    }

    pub fn say(&mut self, what: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:8.3} {}", now as f64 / 1000.0, what()));
        }
    }
}

pub fn ms(duration: Duration) -> Ms {
    duration.as_millis().try_into().unwrap()
}

/// A random number of milliseconds.
pub fn any(range: std::ops::Range<Ms>) -> Ms {
    fastrand::u64(range)
}

/// One in so many.
pub fn one_in(n: u64) -> bool {
    fastrand::u64(0..n) == 0
}
