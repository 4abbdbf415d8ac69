//! What was said already: a legacy client that would be refused says so with every heartbeat, and a log that repeats it for
//! a whole fleet is read by nobody.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// The same thing is said so often.
const AGAIN: Duration = Duration::from_secs(600);
/// The most things that are remembered; then all are forgotten.
const MOST: usize = 10_000;

/// Remembers by hash, never the thing itself.
#[derive(Debug, Default)]
pub struct Quiet {
    hasher: RandomState,
    said: Mutex<HashMap<u64, Instant>>,
}

impl Quiet {
    /// Whether this is to be said, being new or long ago.
    pub fn is_news(&self, what: impl std::hash::Hash, now: Instant) -> bool {
        let hash = self.hasher.hash_one(what);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.get(&hash).is_some_and(|at| now.duration_since(*at) < AGAIN) {
            return false;
        }
        if said.len() >= MOST {
            said.clear();
        }
        said.insert(hash, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_in_ten_minutes_and_bounded() {
        let (quiet, now) = (Quiet::default(), Instant::now());
        assert!(quiet.is_news("a", now) && quiet.is_news("b", now));
        assert!(!quiet.is_news("a", now + AGAIN / 2) && quiet.is_news("a", now + AGAIN));
        for n in 0..2 * MOST {
            quiet.is_news(n, now);
        }
        assert!(quiet.said.lock().unwrap().len() <= MOST);
    }
}
