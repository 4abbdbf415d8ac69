//! When an instance counts as silent, by this replica's own clock alone.
//!
//! The lease clock is monotonic and advances only while the sync loop turns: a replica that was stopped, or starved,
//! for longer than a step does not find everybody dead when it wakes. No wall clock takes part, so a wrong one can
//! neither kill a live instance nor keep a dead one.

use std::time::Duration;

use crate::instance::Origin;

/// How long a registration lives without a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leases {
    /// For sidecars.
    pub native: Duration,
    /// For clients of the ancestors, which renew at their own pace.
    pub legacy: Duration,
}

impl Leases {
    /// The lease of a registration.
    pub fn of(&self, origin: Origin) -> Duration {
        match origin {
            Origin::Native => self.native,
            Origin::Cookpad | Origin::Lyft | Origin::Kumonos => self.legacy,
        }
    }

    /// How often a sidecar is asked to renew: twice may be lost.
    pub fn heartbeat(&self) -> Duration {
        self.native / 3
    }

    /// How often silence is looked for: fine enough for a lease that is kept to a hundredth, and often enough for the
    /// loop's pulse to show that it turns.
    pub fn sweep(&self) -> Duration {
        (self.native / 90).clamp(Duration::from_millis(10), Duration::from_millis(333))
    }
}

/// Time in which silence counts.
#[derive(Debug, Clone, Copy)]
pub struct LeaseClock {
    at: Duration,
    step: Duration,
}

impl LeaseClock {
    /// A clock for these leases; it starts at zero.
    pub fn new(leases: Leases) -> Self {
        Self { at: Duration::ZERO, step: (leases.native / 15).max(Duration::from_millis(200)) }
    }

    /// Adds what passed since the last turn of the loop, at most one step: a longer gap was a pause of ours.
    pub fn advance(&mut self, elapsed: Duration) {
        self.at += elapsed.min(self.step);
    }

    /// The clock's time.
    pub fn now(&self) -> Duration {
        self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASES: Leases = Leases { native: Duration::from_secs(30), legacy: Duration::from_secs(120) };

    #[test]
    fn a_pause_counts_as_one_step() {
        let mut clock = LeaseClock::new(LEASES);
        clock.advance(Duration::from_millis(333));
        clock.advance(Duration::from_secs(3600));
        assert_eq!(clock.now(), Duration::from_millis(2333));
    }

    #[test]
    fn the_loop_turns_several_times_a_second_whatever_the_lease() {
        let leases = Leases { native: Duration::from_secs(3600), ..LEASES };
        assert!(leases.sweep() < Duration::from_millis(500));
    }

    #[test]
    fn the_dialect_decides_the_lease() {
        assert_eq!((LEASES.of(Origin::Native), LEASES.of(Origin::Cookpad)), (LEASES.native, LEASES.legacy));
    }
}
