//! How often ECS is called: one token bucket for all calls of this replica, so that it leaves the account's own limits to
//! those who deploy. What somebody waits for goes before what a loop asks, and the last token is kept for it.

use std::time::Duration;

use tokio::time::Instant;

/// What a quiet bucket saves up: the calls of so many seconds.
const BURST: f64 = 2.0;

/// The bucket.
#[derive(Debug)]
pub struct Bucket {
    rate: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// So many calls a second, at least one; full.
    pub fn new(rate: u32, now: Instant) -> Self {
        let rate = f64::from(rate.max(1));
        Self { rate, tokens: rate * BURST, at: now }
    }

    /// Takes a token, if there is one; `urgent` may take the last.
    pub fn take(&mut self, urgent: bool, now: Instant) -> bool {
        self.fill(now);
        let taken = self.tokens >= least(urgent);
        if taken {
            self.tokens -= 1.0;
        }
        taken
    }

    /// When a token can be taken.
    pub fn ready(&mut self, urgent: bool, now: Instant) -> Instant {
        self.fill(now);
        let lacking = (least(urgent) - self.tokens).max(0.0);
        // A timer of whole milliseconds must not wake a moment too early, over and over.
        now + Duration::from_secs_f64(lacking / self.rate) + Duration::from_micros(u64::from(lacking > 0.0))
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.rate).min(self.rate * BURST);
        self.at = self.at.max(now);
    }
}

fn least(urgent: bool) -> f64 {
    if urgent { 1.0 } else { 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calls_come_in_a_burst_and_then_at_their_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(3, start);
        assert_eq!((0..9).filter(|_| bucket.take(true, start)).count(), 6);
        let next = bucket.ready(true, start);
        assert!((next - start).abs_diff(Duration::from_millis(333)) < Duration::from_millis(2));
        assert!(!bucket.take(true, next - Duration::from_millis(5)) && bucket.take(true, next));
        let later = start + Duration::from_secs(3600);
        assert_eq!((0..9).filter(|_| bucket.take(true, later)).count(), 6, "it saves up no more than that");
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_token_is_for_who_waits() {
        let now = Instant::now();
        let mut bucket = Bucket::new(1, now);
        assert!(bucket.take(false, now) && !bucket.take(false, now));
        assert!(bucket.take(true, now) && !bucket.take(true, now));
        assert!(bucket.ready(false, now) > bucket.ready(true, now));
    }
}
