//! Durations as people write them in an environment variable.

use std::time::Duration;

/// The longest that any option may be: more is a slip of the unit.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Reads `5s`, `500ms`, `2m`, `1h`, or bare seconds, also fractions: `0.5`. At most a day.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    match any_span(text)? {
        span if span <= LONGEST => Ok(span),
        _ => Err(format!("'{}' is longer than a day", text.escape_debug())),
    }
}

/// The same of any length, with days: `7d`.
pub fn any_span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{}' is not a duration, write 5s, 500ms, 2m, 1h or bare seconds", text.escape_debug());
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..).unwrap_or("") {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return Err(wrong()),
    };
    let plain = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let number: f64 = digits.parse().ok().filter(|_| plain).ok_or_else(wrong)?;
    // More than a Duration holds is longer than any limit.
    Ok(Duration::try_from_secs_f64(number * unit).unwrap_or(Duration::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_bare_seconds() {
        let millis = |text| parse_span(text).ok().map(|span| span.as_millis());
        assert_eq!(
            ["5", "5s", "500ms", "2m", "1h", "24h", "0.5", "0"].map(millis),
            [Some(5000), Some(5000), Some(500), Some(120_000), Some(3_600_000), Some(86_400_000), Some(500), Some(0)]
        );
        for bad in ["", "s", "5x", "-1", "+1", "1e3", "inf", "NaN", "5 s", "1w", "2d", "25h", "9999999999999999999999h"]
        {
            assert!(parse_span(bad).is_err(), "{bad}");
        }
    }
}
