//! The wall clock, read in this one place. It stamps what people read and what DynamoDB's garbage collection
//! needs; no decision about an instance depends on it, so a wrong clock harms nobody.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use time::OffsetDateTime;

/// A moment of the wall clock, to the microsecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(Duration);

impl Timestamp {
    /// 1970-01-01.
    #[cfg(test)]
    pub const EPOCH: Self = Self(Duration::ZERO);

    /// Now, by this machine's clock.
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    pub fn now() -> Self {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self(since_epoch.unwrap_or_default())
    }

    /// Whole seconds since the epoch.
    pub fn seconds(self) -> u64 {
        self.0.as_secs()
    }

    /// Whole milliseconds since the epoch.
    pub fn millis(self) -> u64 {
        self.0.as_millis().try_into().unwrap_or(u64::MAX)
    }

    fn micros(self) -> u64 {
        self.0.as_micros().try_into().unwrap_or(u64::MAX)
    }

    /// Whole seconds after the epoch.
    pub fn of_seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Whole milliseconds after the epoch.
    pub fn of_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// Earlier by `span`.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span))
    }

    /// The span since an earlier moment, nothing since a later one.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// Later by `span`.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

/// One moment on both clocks: the wall's for what people and other machines read, the monotonic one for spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// By this machine's clock, which may be wrong and may jump.
    pub wall: Timestamp,
    /// Since some moment before this process began to count.
    pub mono: Duration,
}

/// A timestamp that one thread moves while others read it.
#[derive(Debug)]
pub struct Stamp(AtomicU64);

impl Stamp {
    /// Starts at `at`.
    pub fn new(at: Timestamp) -> Self {
        Self(AtomicU64::new(at.micros()))
    }

    /// Moves to `at`.
    pub fn set(&self, at: Timestamp) {
        self.0.store(at.micros(), Ordering::Relaxed);
    }

    /// Where it stands.
    pub fn get(&self) -> Timestamp {
        Timestamp(Duration::from_micros(self.0.load(Ordering::Relaxed)))
    }
}

impl fmt::Display for Timestamp {
    /// `YYYY-MM-DD HH:MM:SS.ffffff+00:00`, as the ancestors' clients know it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = OffsetDateTime::UNIX_EPOCH.saturating_add(self.0.try_into().unwrap_or(time::Duration::MAX));
        let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
        let (hour, minute, second, micros) = (at.hour(), at.minute(), at.second(), at.microsecond());
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}+00:00")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_the_ancestors_wrote_it() {
        assert_eq!(
            Timestamp(Duration::from_micros(1_500_000_000_000_042)).to_string(),
            "2017-07-14 02:40:00.000042+00:00"
        );
    }
}
