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
/// No more is said in ten seconds: what is counted need not be read line by line.
const AT_ONCE: usize = 100;
const BREATH: Duration = Duration::from_secs(10);
/// The most things that are remembered; then all are forgotten.
const MOST: usize = 10_000;

#[derive(Debug, Default)]
struct Said {
    at: HashMap<u64, Instant>,
    /// Since when, and how often something was said since.
    breath: Option<(Instant, usize)>,
}

/// Remembers by hash, never the thing itself.
#[derive(Debug, Default)]
pub struct Quiet {
    hasher: RandomState,
    said: Mutex<Said>,
}

impl Quiet {
    /// Whether this is to be said, being new or long ago.
    pub fn is_news(&self, what: impl std::hash::Hash, now: Instant) -> bool {
        let hash = self.hasher.hash_one(what);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.at.get(&hash).is_some_and(|at| now.duration_since(*at) < AGAIN) {
            return false;
        }
        let (since, count) = said.breath.filter(|(since, _)| now.duration_since(*since) < BREATH).unwrap_or((now, 0));
        if count >= AT_ONCE {
            return false;
        }
        said.breath = Some((since, count + 1));
        if said.at.len() >= MOST {
            said.at.clear();
        }
        said.at.insert(hash, now);
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
        let mut later = now + AGAIN;
        let mut told = (0..2 * MOST).filter(|n| quiet.is_news(n, later)).count();
        assert!(told < AT_ONCE, "{told} lines at once");
        for n in 0..2 * MOST {
            later += BREATH / 50;
            told += usize::from(quiet.is_news(n, later));
        }
        assert!(told > MOST && quiet.said.lock().unwrap().at.len() <= MOST);
    }
}
