//! When an instance counts as silent, by this replica's own clock alone.
//!
//! The lease clock is monotonic and advances only with rounds of the reader that heard everything: a replica that was
//! stopped, starved or cut off from the store does not find everybody dead when it is back. No wall clock takes part, so a
//! wrong one can neither kill a live instance nor keep a dead one.

use std::time::Duration;

use crate::instance::Origin;

/// How long a registration lives without a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leases {
    /// For sidecars.
    pub native: Duration,
    /// For clients of the ancestors, which renew at their own pace.
    pub legacy: Duration,
    /// How long the loss guard may hold an instance that is silent.
    pub hold: Duration,
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

    /// From when on silence is suspicious: half a heartbeat overdue, and two flushes on its way. Before the first of many
    /// that fell silent together is due, all of them are late.
    pub fn late(&self, origin: Origin) -> Duration {
        (self.of(origin) / 2 + 2 * self.flush()).min(self.of(origin))
    }

    /// How often a replica tells the others whom it heard.
    pub fn flush(&self) -> Duration {
        self.native / 15
    }

    /// How often a replica looks at the others' headers; also what the loop's pulse shows that it turns by.
    pub fn poll(&self) -> Duration {
        (self.native / 90).clamp(Duration::from_millis(20), Duration::from_millis(333))
    }

    /// The longest that one stop of a replica is forgiven to those that it heard: a load balancer's time to leave it.
    pub fn stall(&self) -> Duration {
        self.native / 2
    }
}

/// Time in which silence counts.
#[derive(Debug, Clone, Copy)]
pub struct LeaseClock {
    at: Duration,
    step: Duration,
}

impl LeaseClock {
    /// A clock for these leases. It does not start at zero, so that what happened before its start has a time too.
    pub fn new(leases: Leases) -> Self {
        const START: Duration = Duration::from_secs(30 * 86_400);
        Self { at: START, step: leases.flush().max(Duration::from_millis(200)) }
    }

    /// Adds what passed since the last round, at most one step: a longer gap was a pause of ours.
    pub fn advance(&mut self, elapsed: Duration) -> Duration {
        let step = elapsed.min(self.step);
        self.at += step;
        step
    }

    /// The clock's time.
    pub fn now(&self) -> Duration {
        self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASES: Leases =
        Leases { native: Duration::from_secs(30), legacy: Duration::from_secs(120), hold: Duration::from_secs(3600) };

    #[test]
    fn a_pause_counts_as_one_step() {
        let mut clock = LeaseClock::new(LEASES);
        let start = clock.now();
        clock.advance(Duration::from_millis(333));
        clock.advance(Duration::from_secs(3600));
        assert_eq!(clock.now() - start, Duration::from_millis(2333));
    }

    #[test]
    fn the_loop_turns_several_times_a_second_whatever_the_lease() {
        let leases = Leases { native: Duration::from_secs(3600), ..LEASES };
        assert!(leases.poll() < Duration::from_millis(500));
    }

    #[test]
    fn the_dialect_decides_the_lease() {
        assert_eq!((LEASES.of(Origin::Native), LEASES.of(Origin::Lyft)), (LEASES.native, LEASES.legacy));
    }

    #[test]
    fn all_are_late_before_the_first_is_due() {
        for origin in [Origin::Native, Origin::Cookpad] {
            let lease = LEASES.of(origin);
            let freshest = lease - lease / 3;
            assert!(freshest > LEASES.late(origin), "{origin:?}");
        }
    }
}
