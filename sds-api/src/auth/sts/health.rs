//! Whether STS can be asked at all, as far as its answers tell: what a registry does while AWS is away hangs on it, so nobody may
//! be able to make it look away.
//!
//! Whoever sends proofs can send strange ones, which STS's front door answers with something else than STS would, and can hang up
//! before an answer. Neither is evidence. A connection that fails, an answer that says "not now" or is no answer, and
//! a silence of half a second are; any answer in STS's own words ends it.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use http::StatusCode;
use tokio::time::Instant;

use super::{Caller, Unproven};

/// A shorter silence, of a request that was given up, tells nothing.
const SILENCE: Duration = Duration::from_millis(500);

/// Since when no request was answered.
#[derive(Default)]
pub struct Health(Mutex<Option<Instant>>);

/// A request that is not answered yet; one that is dropped as it is was given up.
pub struct Pending<'a> {
    health: &'a Health,
    began: Instant,
    settled: bool,
}

impl Health {
    /// A request goes out.
    pub fn asks(&self) -> Pending<'_> {
        Pending { health: self, began: Instant::now(), settled: false }
    }

    /// Since when; `None` when the last evidence was an answer, or there is none.
    pub fn failing_since(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_well(&self) {
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            tracing::info!("STS answers again");
        }
    }

    fn is_away(&self, cause: &str) {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if since.is_none() {
            *since = Some(Instant::now());
            tracing::warn!(cause, "STS cannot be asked who tasks are: first registrations wait, all others go on");
        }
    }
}

impl Pending<'_> {
    /// It failed on its way.
    pub fn failed(mut self, cause: &str) {
        self.settled = true;
        self.health.is_away(cause);
    }

    /// It was answered, and this is what the answer means.
    pub fn answered(mut self, status: StatusCode, meaning: &Result<Caller, Unproven>) {
        self.settled = true;
        match meaning {
            Ok(_) | Err(Unproven::Refused(_)) => self.health.is_well(),
            Err(Unproven::Away) if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {}
            Err(Unproven::Away) => self.health.is_away(&format!("it answers {status}")),
        }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if !self.settled && self.began.elapsed() >= SILENCE {
            self.health.is_away("it does not answer");
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_evidence_counts() {
        let refused = Err(Unproven::Refused("no"));
        let fails = |health: &Health| health.failing_since().is_some();
        let health = Health::default();
        for (status, meaning, expected) in [
            (200, &refused, false),
            (431, &Err(Unproven::Away), false),
            (503, &Err(Unproven::Away), true),
            (431, &Err(Unproven::Away), true),
            (403, &refused, false),
            (200, &Err(Unproven::Away), true),
            (403, &refused, false),
            (429, &Err(Unproven::Away), true),
            (403, &refused, false),
        ] {
            health.asks().answered(StatusCode::from_u16(status).unwrap(), meaning);
            assert_eq!(fails(&health), expected, "{status} {meaning:?}");
        }
        let hung_up = health.asks();
        advance(SILENCE - Duration::from_millis(1)).await;
        drop(hung_up);
        assert!(!fails(&health));
        let silent = health.asks();
        advance(SILENCE).await;
        drop(silent);
        let since = health.failing_since();
        assert!(since.is_some());
        advance(SILENCE).await;
        health.asks().failed("x");
        assert_eq!(health.failing_since(), since, "since the first of them");
    }
}
