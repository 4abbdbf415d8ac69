//! What to believe about the app, given one probe after another.
//!
//! Quick to drop, slow to trust: `fall` failures in a row make a healthy app unhealthy, `rise` passes bring it back.
//! The first pass of all is trusted at once, since a starting app that answers is what everybody waits for. Failures
//! within the start period do not count before that first pass; after the period they do, and such an app needs
//! `rise` passes like any other that was sick. Until the first belief there is none, and nothing is registered.
//! A container that takes the place of another is a starting app again. A probe that could not be made because of
//! ourselves says nothing about the app, so it changes nothing.
//!
//! Every change reaches every Envoy, so an app that flaps is trusted more slowly the more it does: healthy again at
//! most once in 10 s, and after more than 3 changes in 5 min by ever more passes. A drop is never delayed.

use std::{collections::VecDeque, time::Duration};

pub use sds_types::Health as Belief;

use crate::probe::Probe;

/// Between two changes to healthy.
const TRUST_PAUSE: Duration = Duration::from_secs(10);
/// How long a change counts as a flap, and how many of them are nothing to worry about.
const FLAP_WINDOW: Duration = Duration::from_secs(300);
const FLAPS: usize = 3;
/// What flapping makes of `rise` at most.
const RISE_MOST: u32 = 10;

/// The thresholds.
#[derive(Debug, Clone, Copy)]
pub struct Thresholds {
    /// Passes in a row that make an unhealthy app healthy.
    pub rise: u32,
    /// Failures in a row that make a healthy app unhealthy.
    pub fall: u32,
    /// How long after its start an app's failures do not count, unless it has passed.
    pub start_period: Duration,
}

/// Rise and fall over the probes of one instance.
#[derive(Debug)]
pub struct Health {
    thresholds: Thresholds,
    /// When the app's start began.
    began: Duration,
    belief: Option<Belief>,
    ever_passed: bool,
    /// Probes in a row that contradict the belief.
    against: u32,
    /// When the belief changed lately.
    changes: VecDeque<Duration>,
    trusted: Option<Duration>,
}

impl Health {
    /// Nothing is believed yet.
    pub fn new(thresholds: Thresholds) -> Self {
        Self {
            thresholds,
            began: Duration::ZERO,
            belief: None,
            ever_passed: false,
            against: 0,
            changes: VecDeque::new(),
            trusted: None,
        }
    }

    /// Another container is the app now, of which nothing is believed yet; flaps are remembered.
    pub fn replaced(&mut self, now: Duration) {
        (self.began, self.belief, self.ever_passed, self.against) = (now, None, false, 0);
    }

    /// What the lifecycle may act on: `None` until the app was healthy once.
    pub fn belief(&self) -> Option<Belief> {
        self.belief.filter(|_| self.ever_passed)
    }

    /// Whether the belief is in question, so that the next probe should come sooner.
    pub fn wavers(&self) -> bool {
        self.belief.is_none() || self.against > 0
    }

    /// Takes one probe's result, `now` since the start; tells whether the belief changed.
    pub fn observe(&mut self, now: Duration, probe: &Probe) -> bool {
        let (seen, needed) = match (probe, self.belief) {
            (Probe::Unknown(_), _) => return false,
            (Probe::Pass, None) => (Belief::Healthy, 1),
            (Probe::Pass, Some(_)) => (Belief::Healthy, self.rise(now)),
            (Probe::Fail(_), None) if now < self.began + self.thresholds.start_period => return false,
            (Probe::Fail(_), _) => (Belief::Unhealthy, self.thresholds.fall),
        };
        if self.belief == Some(seen) {
            self.against = 0;
            return false;
        }
        self.against = self.against.saturating_add(1);
        let too_soon = self.trusted.is_some_and(|at| now < at + TRUST_PAUSE);
        if self.against < needed || (seen == Belief::Healthy && too_soon) {
            return false;
        }
        self.change(now, seen);
        true
    }

    /// ECS says that the app's container has stopped: no probe need fail any more. Tells whether the belief changed.
    pub fn died(&mut self, now: Duration) -> bool {
        let alive = self.belief == Some(Belief::Healthy);
        if alive {
            self.change(now, Belief::Unhealthy);
        }
        alive
    }

    fn change(&mut self, now: Duration, belief: Belief) {
        self.against = 0;
        self.belief = Some(belief);
        self.changes.push_back(now);
        if belief == Belief::Healthy {
            self.ever_passed = true;
            self.trusted = Some(now);
        }
    }

    /// `rise`, doubled for each change too many.
    fn rise(&mut self, now: Duration) -> u32 {
        while self.changes.front().is_some_and(|at| now.saturating_sub(*at) >= FLAP_WINDOW) {
            self.changes.pop_front();
        }
        let doublings = self.changes.len().saturating_sub(FLAPS).min(16);
        let rise = self.thresholds.rise;
        rise.saturating_mul(1 << doublings).min(RISE_MOST.max(rise))
    }
}

#[cfg(test)]
mod tests;
