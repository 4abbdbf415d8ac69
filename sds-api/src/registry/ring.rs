//! This replica's announcements: the rows that it changed, numbered, in the header that the other replicas poll.
//!
//! The ring is short, because it is written with every header and read by everybody: the newest [`SIZE`] keys of the last
//! heartbeat. So no more than [`COMMIT`] keys go into one header: a reader that looks three times in as many commits misses
//! none. One that missed some sees it by the numbers, and reads the whole table.

use std::{collections::VecDeque, time::Duration};

use crate::instance::Key;

/// How many announcements a header holds.
pub const SIZE: usize = 256;
/// How many are new in one header.
pub const COMMIT: usize = 80;
/// The announcements, oldest first.
#[derive(Debug, Default)]
pub struct Ring {
    /// The newest number.
    n: u64,
    entries: VecDeque<(u64, Key, Duration)>,
}

impl Ring {
    /// Announces a change at `now` on any monotonic clock; its number.
    pub fn push(&mut self, key: Key, now: Duration) -> u64 {
        self.n += 1;
        self.entries.push_back((self.n, key, now));
        if self.entries.len() > SIZE {
            self.entries.pop_front();
        }
        self.n
    }

    /// Forgets what is older than `keep`, so that every reader had the time to read it, but nothing above `committed`.
    pub fn trim(&mut self, committed: u64, keep: Duration, now: Duration) {
        while self.entries.front().is_some_and(|(n, _, at)| *n <= committed && now.saturating_sub(*at) > keep) {
            self.entries.pop_front();
        }
    }

    /// The newest number, 0 before the first.
    pub fn newest(&self) -> u64 {
        self.n
    }

    /// What a header tells.
    pub fn entries(&self) -> Vec<(u64, Key)> {
        self.entries.iter().map(|(n, key, _)| (*n, key.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u64) -> Key {
        let port = 1 + n % 60_000;
        Key { service: "web".parse().unwrap(), endpoint: format!("10.0.0.1:{port}").parse().unwrap() }
    }

    #[test]
    fn it_keeps_the_newest_and_what_no_header_has_told_yet() {
        let mut ring = Ring::default();
        for n in 0..300 {
            ring.push(key(n), Duration::from_secs(n));
        }
        let entries = ring.entries();
        assert_eq!((entries.len(), entries.first().unwrap().0, ring.newest()), (SIZE, 45, 300));
        ring.trim(298, Duration::from_secs(10), Duration::from_secs(3600));
        assert_eq!(ring.entries().iter().map(|(n, _)| *n).collect::<Vec<_>>(), [299, 300]);
    }

    #[test]
    fn three_commits_fit() {
        const { assert!(3 * COMMIT <= SIZE) }
    }
}
