//! The wall clock, read here and nowhere else: to number the starts of sidecars on one ip:port, and for people who read
//! a metric.
//!
//! A wrong clock costs one more request, since the registry tells the number to beat, and never a live instance. All
//! that waits or measures uses the monotonic clock instead.

/// `2026-11-29T12:00:00` of seconds since 1970.
pub fn date_time(seconds: u64) -> String {
    let ((year, month, day), (hour, minute, second)) = parts(seconds);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// `20261129T120000Z` of seconds since 1970, as AWS's signatures have it.
pub fn compact(seconds: u64) -> String {
    let ((year, month, day), (hour, minute, second)) = parts(seconds);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// Date and time of the Gregorian calendar, in UTC. Years begin in March here, so that the leap day is the last one.
fn parts(seconds: u64) -> ((u64, u64, u64), (u64, u64, u64)) {
    const ERA: u64 = 146_097;
    let days = seconds / 86_400 + 719_468;
    let (era, of_era) = (days / ERA, days % ERA);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    ((era * 400 + year + next, month, day), (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60))
}

/// Milliseconds since 1970, at least 1.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
pub fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_399, "2000-02-28T23:59:59"),
            (951_782_400, "2000-02-29T00:00:00"),
            (1_440_938_160, "2015-08-30T12:36:00"),
            (1_709_251_199, "2024-02-29T23:59:59"),
            (1_709_251_200, "2024-03-01T00:00:00"),
            (1_735_689_599, "2024-12-31T23:59:59"),
            (4_107_542_400, "2100-03-01T00:00:00"),
        ] {
            assert_eq!(date_time(seconds), expected);
            assert_eq!(compact(seconds), format!("{}Z", expected.replace(['-', ':'], "")));
        }
    }
}
