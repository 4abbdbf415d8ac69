//! The wall clock, read in this one place. It stamps what people read and what DynamoDB's garbage collection
//! needs; no decision about an instance depends on it, so a wrong clock harms nobody.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

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

    /// Reads what people write, as in `2026-11-23T12:00:00Z` (RFC 3339); nothing before 1970.
    pub fn parse(text: &str) -> Option<Self> {
        let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        (at - OffsetDateTime::UNIX_EPOCH).try_into().ok().map(Self)
    }

    /// As people and programs read it: `2026-11-23T12:00:00.042Z`.
    pub fn iso(self) -> String {
        let at = self.date_time();
        let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
        let (hour, minute, second, millis) = (at.hour(), at.minute(), at.second(), at.millisecond());
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }

    /// The same to the second: `2026-11-23T12:00:00Z`.
    pub fn iso_seconds(self) -> String {
        let at = self.date_time();
        let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
        format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", at.hour(), at.minute(), at.second())
    }

    fn date_time(self) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH.saturating_add(self.0.try_into().unwrap_or(time::Duration::MAX))
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

/// A span for people: `3.2s`, `4m05s`, `26h10m`.
pub fn spell(span: Duration) -> String {
    match span.as_secs() {
        0..100 => format!("{:.1}s", span.as_secs_f64()),
        seconds @ 100..6000 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        seconds => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
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
        let at = self.date_time();
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

    #[test]
    fn spans_are_spelled_for_people() {
        let spelled = |millis| spell(Duration::from_millis(millis));
        assert_eq!([0, 3_240, 245_000, 94_200_000].map(spelled), ["0.0s", "3.2s", "4m05s", "26h10m"]);
    }

    #[test]
    fn reads_and_writes_what_people_do() {
        let at = Timestamp(Duration::from_millis(1_500_000_000_042));
        assert_eq!(at.iso(), "2017-07-14T02:40:00.042Z");
        for same in ["2017-07-14T02:40:00.042Z", "2017-07-14T04:40:00.042+02:00"] {
            assert_eq!(Timestamp::parse(same), Some(at));
        }
        for bad in ["", "soon", "2017-07-14", "2017-07-14 02:40", "1960-01-01T00:00:00Z", "2017-13-14T02:40:00Z"] {
            assert_eq!(Timestamp::parse(bad), None, "{bad}");
        }
    }
}
