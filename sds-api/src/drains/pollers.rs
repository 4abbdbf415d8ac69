//! Who polls, and which version of each service it was answered last. A stream says what it holds; a poller only comes again.
//!
//! - A poller is the `x-forwarded-for` of its request, where an Envoy names itself, else the peer's address. Those that
//!   nothing tells apart count as one.
//! - One that stays away for three of its own pauses has stopped, or asks another replica now; after [`LONGEST`] in any case.
//! - A poll costs one look into a table, and no allocation but its first.

use std::{
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::ledger::Reads;
use crate::registry::Version;

/// A poller that was silent for so long is gone, whatever its pause was.
const LONGEST: Duration = Duration::from_secs(120);
/// One that was silent for less is not.
const SHORTEST: Duration = Duration::from_secs(5);
/// Between two such looks at a full shard.
const CLEARED: Duration = Duration::from_secs(1);
const SHARDS: usize = 64;
/// In each shard.
const POLLS: usize = 4096;
/// So much of a poller's name is kept.
const WORDS: usize = 64;

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Poller<'a> {
    /// Whom its request says that it is for.
    pub forwarded: Option<&'a [u8]>,
    /// The peer.
    pub ip: Option<IpAddr>,
    /// When it asked.
    pub at: Instant,
}

/// What one poller was answered last of one service.
#[derive(Debug)]
pub struct Poll {
    /// Of what it asked for.
    service: Box<str>,
    /// For people.
    pub who: Box<str>,
    /// How it takes in a drain.
    pub reads: Reads,
    /// What it was answered.
    pub version: Version,
    last: Instant,
    /// Microseconds between its polls; 0 after the first.
    pause: u32,
}

impl Poll {
    fn has_stopped(&self, now: Instant) -> bool {
        let patience = match self.pause {
            0 => LONGEST,
            pause => (3 * Duration::from_micros(pause.into())).clamp(SHORTEST, LONGEST),
        };
        now.saturating_duration_since(self.last) > patience
    }
}

/// All of them; clones share them.
#[derive(Debug, Clone)]
pub struct Pollers(Arc<Table>);

#[derive(Debug)]
struct Table {
    start: Instant,
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
    /// Milliseconds since the start, plus one, at which a poller found no room.
    crowded: AtomicU64,
}

/// The keys are hashes already, which nobody outside can choose.
#[derive(Debug, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0 << 8 | u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[derive(Debug, Default)]
struct Shard {
    polls: HashMap<u64, Poll, BuildHasherDefault<AsIs>>,
    /// When those that have stopped were last taken out to make room.
    cleared: Option<Instant>,
}

impl Shard {
    /// Whether there is room for another one. A crowd must not have it looked for each time.
    fn has_room(&mut self, now: Instant) -> bool {
        if self.polls.len() >= POLLS && self.cleared.is_none_or(|at| now - at >= CLEARED) {
            self.cleared = Some(now);
            self.clear(now);
        }
        self.polls.len() < POLLS
    }

    fn clear(&mut self, now: Instant) {
        self.polls.retain(|_, poll| !poll.has_stopped(now));
    }
}

impl Default for Pollers {
    fn default() -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        let (start, hasher, crowded) = (Instant::now(), RandomState::new(), AtomicU64::new(0));
        Self(Arc::new(Table { start, hasher, shards, crowded }))
    }
}

impl Pollers {
    /// A poller is answered with this version of a service.
    pub fn answered(&self, who: Poller<'_>, reads: Reads, service: &str, version: Version) {
        let (table, now) = (&*self.0, who.at);
        let place = who.place(table.hasher.build_hasher(), reads, service);
        let shard = usize::try_from(place % SHARDS as u64).unwrap_or(0);
        let mut shard = lock(&table.shards[shard]);
        if let Some(poll) = shard.polls.get_mut(&place) {
            let pause = now.saturating_duration_since(poll.last).as_micros();
            let pause = u32::try_from(pause).unwrap_or(u32::MAX).max(1);
            // A pause that was once longer is forgotten slowly: two polls at once say little.
            poll.pause = pause.max(poll.pause - poll.pause / 4);
            (poll.last, poll.version) = (now, version);
            return;
        }
        if !shard.has_room(now) {
            return table.crowded.store(millis(now - table.start) + 1, Relaxed);
        }
        let (service, who) = (service.into(), who.name().into());
        shard.polls.insert(place, Poll { service, who, reads, version, last: now, pause: 0 });
    }

    /// Shows each poller of a service, and forgets those that have stopped.
    pub fn of(&self, service: &str, mut each: impl FnMut(&Poll)) {
        let now = Instant::now();
        for shard in &self.0.shards {
            let mut shard = lock(shard);
            shard.clear(now);
            shard.polls.values().filter(|poll| &*poll.service == service).for_each(&mut each);
        }
    }

    /// Whether there may be pollers that were not noted.
    pub fn are_crowded(&self) -> bool {
        let crowded = self.0.crowded.load(Relaxed);
        crowded > 0 && millis(self.0.start.elapsed()) < crowded + millis(LONGEST)
    }
}

impl Poller<'_> {
    /// In few pieces, for each of them costs.
    fn place(self, mut hasher: impl Hasher, reads: Reads, service: &str) -> u64 {
        match (self.forwarded, self.ip) {
            (Some(forwarded), _) => hasher.write(forwarded),
            (None, Some(IpAddr::V4(ip))) => hasher.write(&ip.octets()),
            (None, Some(IpAddr::V6(ip))) => hasher.write(&ip.octets()),
            (None, None) => {}
        }
        // A header holds neither byte, so nothing runs into the service's name.
        hasher.write_u8((reads == Reads::List).into());
        hasher.write(service.as_bytes());
        hasher.finish()
    }

    fn name(self) -> String {
        let forwarded = self.forwarded.map(String::from_utf8_lossy);
        let name = forwarded.map(Into::into).or_else(|| self.ip.map(|ip| ip.to_canonical().to_string()));
        name.unwrap_or_default().chars().take(WORDS).collect()
    }
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn envoy(name: &str) -> Poller<'_> {
        Poller { forwarded: Some(name.as_bytes()), ip: None, at: Instant::now() }
    }

    fn version(n: u8) -> Version {
        Version::of(&n.to_string(), &[])
    }

    fn of(pollers: &Pollers, service: &str) -> Vec<(String, Version)> {
        let mut all = Vec::new();
        pollers.of(service, |poll| all.push((poll.who.to_string(), poll.version)));
        all.sort();
        all
    }

    #[tokio::test(start_paused = true)]
    async fn each_poller_has_what_it_was_answered_last() {
        let pollers = Pollers::default();
        for (who, service, n) in [("a", "web", 1), ("b", "web", 1), ("a", "shop", 1), ("a", "web", 2)] {
            pollers.answered(envoy(who), Reads::List, service, version(n));
        }
        assert_eq!(of(&pollers, "web"), [("a".to_owned(), version(2)), ("b".to_owned(), version(1))]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_poller_is_missed_for_three_of_its_pauses() {
        let gone_after = async |pauses: &[u64]| {
            let pollers = Pollers::default();
            pollers.answered(envoy("a"), Reads::Health, "web", version(1));
            for pause in pauses {
                advance(Duration::from_secs(*pause)).await;
                pollers.answered(envoy("a"), Reads::Health, "web", version(1));
            }
            let mut seconds = 0;
            while !of(&pollers, "web").is_empty() {
                advance(Duration::from_secs(1)).await;
                seconds += 1;
            }
            seconds
        };
        assert_eq!(gone_after(&[]).await, 121, "its pause is not known");
        assert_eq!(gone_after(&[10, 10]).await, 31);
        assert_eq!(gone_after(&[10, 0]).await, 23, "two at once");
        assert_eq!((gone_after(&[1]).await, gone_after(&[60]).await), (6, 121));
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_is_bounded_and_said() {
        let pollers = Pollers::default();
        let crowd = |pollers: &Pollers| {
            for nth in 0..SHARDS * POLLS * 2 {
                pollers.answered(envoy(&nth.to_string()), Reads::Health, "web", version(1));
            }
        };
        crowd(&pollers);
        assert!(of(&pollers, "web").len() <= SHARDS * POLLS && pollers.are_crowded());
        advance(LONGEST + Duration::from_millis(2)).await;
        assert!(!pollers.are_crowded());
        pollers.answered(envoy("a"), Reads::Health, "web", version(1));
        assert_eq!(of(&pollers, "web").len(), 1, "the others have stopped");
    }
}
