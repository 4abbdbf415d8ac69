//! What requests must know of the loop without asking it: whether it turns, whether writes can be judged, how old the truth
//! is, and whether this replica can pass heartbeats on.

use std::{
    sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use tokio::time::Instant;

/// A loop that has not turned for so long is not to be judged by.
const LATE: Duration = Duration::from_secs(1);

/// Rounds that brought nothing for so long leave what is served behind the truth.
const STALE: Duration = Duration::from_secs(2);

/// Written by the loop alone.
#[derive(Debug)]
pub struct Pulse {
    origin: Instant,
    /// Milliseconds since the origin.
    last: AtomicU64,
    open: AtomicBool,
    woken: AtomicBool,
    vouches: AtomicBool,
    /// Milliseconds since the origin at which all that is served was known to be true; before it, for a kept snapshot.
    fresh: AtomicI64,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            origin: Instant::now(),
            last: AtomicU64::new(0),
            open: AtomicBool::new(false),
            woken: AtomicBool::new(false),
            vouches: AtomicBool::new(true),
            fresh: AtomicI64::new(0),
        }
    }
}

impl Pulse {
    /// The loop turned. After a gap it is not to be judged by before its next round: its process was stopped meanwhile, and
    /// the world went on.
    pub fn beat(&self) {
        if self.age() >= LATE {
            self.woken.store(true, Relaxed);
        }
        self.last.store(self.now(), Relaxed);
    }

    /// A round of the reader ended, well or not.
    pub fn round(&self) {
        self.woken.store(false, Relaxed);
    }

    /// What is served was true so long ago.
    pub fn kept(&self, age: Duration) {
        let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        self.fresh.store(i64::try_from(self.now()).unwrap_or(0).saturating_sub(age), Relaxed);
    }

    /// How long ago all that is served was known to be true.
    pub fn staleness(&self) -> Duration {
        let now = i64::try_from(self.now()).unwrap_or(i64::MAX);
        Duration::from_millis(now.saturating_sub(self.fresh.load(Relaxed)).try_into().unwrap_or(0))
    }

    /// Whether what is served may be out of date: several rounds brought nothing.
    pub fn is_stale(&self) -> bool {
        self.staleness() >= STALE
    }

    /// Whether the other replicas learn of heartbeats that come here.
    pub fn vouch(&self, can: bool) {
        self.vouches.store(can, Relaxed);
    }

    /// The same, asked.
    pub fn vouches(&self) -> bool {
        self.vouches.load(Relaxed)
    }

    /// Something is known: writes can be judged from now on.
    pub fn open(&self) {
        self.open.store(true, Relaxed);
    }

    /// Whether writes can be judged now.
    pub fn can_judge(&self) -> bool {
        self.open.load(Relaxed) && !self.woken.load(Relaxed) && self.age() < LATE
    }

    /// How long ago the loop turned last.
    pub fn age(&self) -> Duration {
        Duration::from_millis(self.now().saturating_sub(self.last.load(Relaxed)))
    }

    fn now(&self) -> u64 {
        self.origin.elapsed().as_millis().try_into().unwrap_or(u64::MAX)
    }
}
