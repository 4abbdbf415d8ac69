//! When the next call may go out: heartbeats by what the registry told, failures by a backoff that never outgrows a
//! heartbeat or 10 s, so that a registry that comes back hears everybody within that time.
//!
//! A number that a registry, or whatever answers in its place, sends is bounded before it is used: no answer makes a
//! hot loop and none silences a sidecar for longer than the cap. The one long pause is that of an address with two
//! owners: they would overwrite each other for ever, and nobody but a person can tell which one is right.

use std::time::Duration;

use sds_types::Registered;

use super::Elapsed;

const FIRST: Duration = Duration::from_millis(500);
const CAP: Duration = Duration::from_secs(10);
/// However short the heartbeats are that were told.
const CAP_LEAST: Duration = Duration::from_secs(1);
/// While the process waits to end, it asks more often.
const CAP_STOPPING: Duration = Duration::from_secs(1);
const CONFLICT_PAUSE: Duration = Duration::from_secs(300);
const CONFLICTS: usize = 3;
/// New connections that are tried at once after an answer with `vouched: false`, and the pause between later ones.
const UNVOUCHED_AT_ONCE: u32 = 4;
const UNVOUCHED_PAUSE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Retry {
    pub lease: Duration,
    pub heartbeat: Duration,
    pub failures: u32,
    pub fresh: bool,
    pub conflict_until: Option<Elapsed>,
    not_before: Elapsed,
    conflicts: Vec<Elapsed>,
    unvouched: u32,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            heartbeat: Duration::from_secs(10),
            failures: 0,
            fresh: false,
            conflict_until: None,
            not_before: Duration::ZERO,
            conflicts: Vec::new(),
            unvouched: 0,
        }
    }
}

impl Retry {
    pub fn not_before(&self) -> Elapsed {
        self.not_before.max(self.conflict_until.unwrap_or_default())
    }

    /// Ends a backoff; a conflict's pause stands.
    pub fn at_once(&mut self, now: Elapsed) {
        self.not_before = now;
    }

    /// Another stage or another address: its calls start from no failure and no conflict.
    pub fn anew(&mut self, now: Elapsed) {
        self.failures = 0;
        self.conflict_until = None;
        self.conflicts.clear();
        self.at_once(now);
    }

    /// A call that holds; gives the time of the next heartbeat, a little early at random so that a fleet spreads.
    pub fn done(&mut self, sent: Elapsed, now: Elapsed, told: Option<&Registered>, jitter: f64) -> Elapsed {
        self.failures = 0;
        self.conflict_until = None;
        self.not_before = now;
        if let Some(told) = told {
            self.heartbeat = Duration::from_millis(told.heartbeat_ms.clamp(100, 60_000));
            self.lease = Duration::from_millis(told.lease_ms.min(3_600_000)).max(self.heartbeat);
        }
        if told.is_some_and(|told| !told.vouched) {
            self.unvouched = self.unvouched.saturating_add(1);
            self.fresh = true;
            return if self.unvouched <= UNVOUCHED_AT_ONCE { now } else { now + self.heartbeat.min(UNVOUCHED_PAUSE) };
        }
        self.unvouched = 0;
        sent + self.heartbeat.mul_f64(1.0 - 0.1 * jitter.clamp(0.0, 1.0))
    }

    pub fn superseded(&mut self, now: Elapsed) {
        let window = self.lease * 10;
        self.conflicts.retain(|at| now.saturating_sub(*at) < window);
        self.conflicts.push(now);
        self.conflict_until = None;
        self.not_before = now;
        if self.conflicts.len() >= CONFLICTS {
            self.conflicts.clear();
            self.conflict_until = Some(now + CONFLICT_PAUSE);
        }
    }

    /// A mistake that a person must mend: asked again at the slowest pace from the start.
    pub fn refused(&mut self, now: Elapsed, stopping: bool, jitter: f64) {
        self.failures = self.failures.saturating_add(1);
        self.fresh = true;
        self.not_before = now + spread(self.cap(stopping), jitter);
    }

    pub fn failed(&mut self, now: Elapsed, retry_after: Option<Duration>, stopping: bool, jitter: f64) {
        let cap = self.cap(stopping);
        let backoff = FIRST.saturating_mul(1 << self.failures.min(10)).min(cap);
        self.failures = self.failures.saturating_add(1);
        self.fresh = true;
        self.not_before = now + spread(backoff, jitter).max(retry_after.unwrap_or_default().min(cap));
    }

    fn cap(&self, stopping: bool) -> Duration {
        if stopping { CAP_STOPPING } else { self.heartbeat.clamp(CAP_LEAST, CAP) }
    }
}

/// Half of it to all of it.
fn spread(pause: Duration, jitter: f64) -> Duration {
    pause.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
}
