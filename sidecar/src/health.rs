//! What to believe about the app, given one probe after another.
//!
//! Quick to drop, slow to trust: `fall` failures in a row make a healthy app unhealthy, `rise` passes bring it back.
//! The first pass of all is trusted at once, since a starting app that answers is what everybody waits for. Failures
//! within the start period do not count before that first pass; after the period they do, and such an app needs
//! `rise` passes like any other that was sick. Until the first belief there is none, and nothing is registered.
//! A probe that could not be made because of ourselves says nothing about the app, so it changes nothing.

use std::time::Duration;

pub use sds_types::Health as Belief;

use crate::probe::Probe;

/// The thresholds.
#[derive(Debug, Clone, Copy)]
pub struct Thresholds {
    /// Passes in a row that make an unhealthy app healthy.
    pub rise: u32,
    /// Failures in a row that make a healthy app unhealthy.
    pub fall: u32,
    /// How long after the start failures do not count, unless the app has passed.
    pub start_period: Duration,
}

/// Rise and fall over the probes of one instance.
#[derive(Debug)]
pub struct Health {
    thresholds: Thresholds,
    belief: Option<Belief>,
    ever_passed: bool,
    /// Probes in a row that contradict the belief.
    against: u32,
}

impl Health {
    /// Nothing is believed yet.
    pub fn new(thresholds: Thresholds) -> Self {
        Self { thresholds, belief: None, ever_passed: false, against: 0 }
    }

    /// What the lifecycle may act on: `None` until the app was healthy once.
    pub fn belief(&self) -> Option<Belief> {
        self.belief.filter(|_| self.ever_passed)
    }

    /// Takes one probe's result, `now` since the start; tells whether the belief changed.
    pub fn observe(&mut self, now: Duration, probe: &Probe) -> bool {
        let (seen, needed) = match (probe, self.belief) {
            (Probe::Unknown(_), _) => return false,
            (Probe::Pass, None) => (Belief::Healthy, 1),
            (Probe::Pass, Some(_)) => (Belief::Healthy, self.thresholds.rise),
            (Probe::Fail(_), None) if now < self.thresholds.start_period => return false,
            (Probe::Fail(_), _) => (Belief::Unhealthy, self.thresholds.fall),
        };
        if self.belief == Some(seen) {
            self.against = 0;
            return false;
        }
        self.against += 1;
        if self.against < needed {
            return false;
        }
        self.against = 0;
        self.belief = Some(seen);
        self.ever_passed |= seen == Belief::Healthy;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One letter per probe, one second apart: `+` pass, `-` fail, `?` unknown gives `H`, `U` for a change, else `.`.
    fn trace(start_period: u64, probes: &str) -> String {
        let start_period = Duration::from_secs(start_period);
        let mut health = Health::new(Thresholds { rise: 2, fall: 3, start_period });
        let step = |(second, probe): (usize, char)| {
            let probe = match probe {
                '+' => Probe::Pass,
                '-' => Probe::Fail("refused".into()),
                _ => Probe::Unknown("no descriptors".into()),
            };
            match (health.observe(Duration::from_secs(second as u64), &probe), health.belief) {
                (false, _) => '.',
                (true, Some(Belief::Healthy)) => 'H',
                (true, _) => 'U',
            }
        };
        probes.chars().enumerate().map(step).collect()
    }

    #[test]
    fn rise_and_fall() {
        for (probes, changes) in [
            ("++-----++", "H...U...H"),
            ("+--+--+--+", "H........."),
            ("+---+-+-++", "H..U.....H"),
            ("+---+---++", "H..U.....H"),
            ("+--?-", "H...U"),
            ("+---+?+", "H..U..H"),
            ("???+", "...H"),
            ("", ""),
        ] {
            assert_eq!(trace(60, probes), changes, "{probes}");
        }
    }

    #[test]
    fn the_start_period_forgives_only_an_app_that_has_not_passed() {
        assert_eq!(trace(6, "-----+"), ".....H");
        assert_eq!(trace(6, "+---"), "H..U");
        assert_eq!(trace(3, "------+.+"), ".....U.?H".replace('?', "."));
        assert_eq!(trace(0, "--+"), "..H", "not believed unhealthy yet, so still the first pass");
    }

    #[test]
    fn an_app_that_never_passed_is_nobodys_business() {
        let mut health = Health::new(Thresholds { rise: 2, fall: 1, start_period: Duration::ZERO });
        assert!(health.observe(Duration::ZERO, &Probe::Fail("refused".into())));
        assert_eq!(health.belief(), None);
    }
}
