//! When a registrant calls again, by how its last call ended: the sidecar's rules, so that the registry meets the same
//! load and the same patience. No I/O here.

use std::time::Duration;

use sds_types::{ErrorBody, Registered};
use tokio::time::Instant;

use crate::wire::Message;

const FIRST: Duration = Duration::from_millis(500);
const CAP: Duration = Duration::from_secs(10);
const CAP_LEAST: Duration = Duration::from_secs(1);
const CONFLICTS: usize = 3;
const CONFLICT_PAUSE: Duration = Duration::from_secs(300);
const UNVOUCHED_AT_ONCE: u32 = 4;
const UNVOUCHED_PAUSE: Duration = Duration::from_secs(2);

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// Any 2xx; what was told, if anything was.
    Held(Option<Registered>),
    /// Another incarnation stands there.
    Superseded(u64),
    /// Not now; what the server wishes.
    Failed(Option<Duration>),
    /// Never.
    Refused,
}

impl End {
    pub fn of(answer: &Message) -> Self {
        let retry_after = answer.header("retry-after").parse().ok().map(Duration::from_secs);
        let current = serde_json::from_slice::<ErrorBody>(answer.body()).ok().and_then(|error| error.current);
        match (answer.status(), current) {
            (200..=299, _) => Self::Held(serde_json::from_slice(answer.body()).ok()),
            (409, Some(current)) => Self::Superseded(current.incarnation),
            (401 | 408 | 409 | 425 | 429 | 500..=599, _) => Self::Failed(retry_after),
            _ => Self::Refused,
        }
    }
}

/// What a registrant remembers of its calls.
#[derive(Debug, Default)]
pub(super) struct Pace {
    told: Option<Registered>,
    failures: u32,
    unvouched: u32,
    conflicts: Vec<Instant>,
    /// Whether the connection is not to be trusted any more.
    pub fresh: bool,
}

impl Pace {
    /// When to call again after a call that was `sent` then and ended so, now. `random` is from 0 to 1.
    pub fn after(&mut self, sent: Instant, now: Instant, end: &End, random: f64) -> Instant {
        self.fresh = false;
        match end {
            End::Held(told) => self.held(sent, now, told.as_ref(), random),
            End::Superseded(_) => self.superseded(now),
            End::Failed(_) | End::Refused => {
                let cap = self.heartbeat().clamp(CAP_LEAST, CAP);
                let backoff = FIRST.saturating_mul(1 << self.failures.min(10)).min(cap);
                let (backoff, wished) = match end {
                    End::Failed(wished) => (backoff, wished.unwrap_or_default().min(cap)),
                    _ => (cap, Duration::ZERO),
                };
                self.failures += 1;
                self.fresh = true;
                now + backoff.mul_f64(0.5 + 0.5 * random).max(wished)
            }
        }
    }

    fn held(&mut self, sent: Instant, now: Instant, told: Option<&Registered>, random: f64) -> Instant {
        self.failures = 0;
        self.told = told.cloned().or(self.told.take());
        if told.is_some_and(|told| !told.vouched) {
            self.unvouched += 1;
            self.fresh = true;
            let pause = self.heartbeat().min(UNVOUCHED_PAUSE);
            return if self.unvouched <= UNVOUCHED_AT_ONCE { now } else { now + pause };
        }
        self.unvouched = 0;
        sent + self.heartbeat().mul_f64(1.0 - 0.1 * random)
    }

    fn superseded(&mut self, now: Instant) -> Instant {
        let lease = Duration::from_millis(self.told.as_ref().map_or(30_000, |told| told.lease_ms));
        self.conflicts.retain(|at| now.saturating_duration_since(*at) < lease * 10);
        self.conflicts.push(now);
        if self.conflicts.len() < CONFLICTS {
            return now;
        }
        self.conflicts.clear();
        now + CONFLICT_PAUSE
    }

    fn heartbeat(&self) -> Duration {
        Duration::from_millis(self.told.as_ref().map_or(10_000, |told| told.heartbeat_ms.clamp(100, 60_000)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(vouched: bool) -> End {
        End::Held(Some(Registered {
            lease_ms: 3000,
            heartbeat_ms: 1000,
            version: "v".into(),
            vouched,
            ..Registered::default()
        }))
    }

    /// Milliseconds from now to the next call after each of these, and `!` where a new connection is wanted.
    fn trace(pace: &mut Pace, ends: &[End]) -> Vec<String> {
        let now = Instant::now();
        let pauses = ends.iter().map(|end| {
            let pause = (pace.after(now, now, end, 1.0) - now).as_millis();
            format!("{pause}{}", if pace.fresh { "!" } else { "" })
        });
        pauses.collect()
    }

    #[test]
    fn heartbeats_follow_what_was_told() {
        let mut pace = Pace::default();
        assert_eq!(trace(&mut pace, &[End::Held(None), told(true), End::Held(None)]), ["9000", "900", "900"]);
    }

    #[test]
    fn an_unvouched_heartbeat_is_repeated_elsewhere() {
        let unvouched = [told(false), told(false), told(false), told(false), told(false), told(true), told(false)];
        assert_eq!(trace(&mut Pace::default(), &unvouched), ["0!", "0!", "0!", "0!", "1000!", "900", "0!"]);
    }

    #[test]
    fn failures_back_off_to_a_heartbeat() {
        let failed = End::Failed(None);
        let mut pace = Pace::default();
        assert_eq!(trace(&mut pace, &[failed.clone(), failed.clone(), End::Refused]), ["500!", "1000!", "10000!"]);
        let wish = End::Failed(Some(Duration::from_secs(60)));
        assert_eq!(trace(&mut pace, &[told(true), failed, wish]), ["900", "500!", "1000!"]);
    }

    #[test]
    fn a_ghost_is_overtaken_and_a_second_owner_is_left_alone() {
        let superseded = [End::Superseded(7), End::Superseded(8), told(true), End::Superseded(9)];
        assert_eq!(trace(&mut Pace::default(), &superseded), ["0", "0", "900", "300000"]);
    }

    #[test]
    fn answers() {
        let answer = |status: &str, body: &str| {
            let text = format!("HTTP/1.1 {status}\r\nretry-after: 3\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            End::of(&Message::new(text.into_bytes()).unwrap())
        };
        let superseded = r#"{"id":"Superseded","reason":"r","current":{"incarnation":5,"seq":2}}"#;
        let held = r#"{"lease_ms":3000,"heartbeat_ms":1000,"version":"v","vouched":false}"#;
        assert_eq!(answer("200 OK", held), told(false));
        assert_eq!(answer("202 Accepted", r#"{"persisted":false}"#), End::Held(None));
        assert_eq!(answer("204 No Content", ""), End::Held(None));
        assert_eq!(answer("409 Conflict", superseded), End::Superseded(5));
        assert_eq!(answer("503 x", ""), End::Failed(Some(Duration::from_secs(3))));
        assert_eq!(answer("400 x", ""), End::Refused);
    }
}
