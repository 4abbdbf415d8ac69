//! The wall clock, read here and nowhere else: to number the starts of sidecars on one ip:port, and for people who read
//! a metric.
//!
//! A wrong clock costs one more request, since the registry tells the number to beat, and never a live instance. All
//! that waits or measures uses the monotonic clock instead.

/// Milliseconds since 1970, at least 1.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
pub fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX).max(1)
}
