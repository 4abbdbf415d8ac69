//! How far the start has come: from when on writes are judged and reads are answered.

use std::time::Duration;

/// How far the start has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing is known yet: nothing is answered.
    Reading,
    /// Writes are taken, reads not before this time on the monotonic clock. An empty table without our mark was wiped, and
    /// gets one heartbeat in which the sidecars appear again: answering "empty" meanwhile would take every host from
    /// every Envoy.
    Waiting(Duration),
    /// All is answered.
    Serving,
}

impl Phase {
    /// The table was read for the first time.
    #[must_use]
    pub fn read(self, wiped: bool, heartbeat: Duration, now: Duration) -> Self {
        match self {
            Self::Reading => Self::Waiting(if wiped { now + heartbeat } else { now }),
            later => later,
        }
    }

    /// A snapshot was found while nothing better was known.
    #[must_use]
    pub fn kept(self, now: Duration) -> Self {
        if self == Self::Serving { self } else { Self::Waiting(now) }
    }

    /// Whether reads are answered from now on, and were not before.
    pub fn opens(&mut self, now: Duration) -> bool {
        let opens = matches!(self, Self::Waiting(until) if now >= *until);
        if opens {
            *self = Self::Serving;
        }
        opens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_wiped_table_waits_for_a_heartbeat_and_a_snapshot_ends_the_wait() {
        let mut phase = Phase::Reading.read(false, 10 * SECOND, SECOND);
        assert!(phase.opens(SECOND) && !phase.opens(SECOND));
        let mut phase = Phase::Reading.read(true, 10 * SECOND, SECOND);
        assert!(!phase.opens(10 * SECOND) && phase.kept(2 * SECOND).opens(2 * SECOND) && phase.opens(11 * SECOND));
    }
}
