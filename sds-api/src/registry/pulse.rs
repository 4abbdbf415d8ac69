//! Whether the loop turns: what `/livez` answers from, and what keeps a request from acting on a belief that nobody
//! keeps up to date.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// The moment of the loop's last turn.
#[derive(Debug)]
pub struct Pulse {
    origin: Instant,
    last: AtomicU64,
    open: AtomicBool,
}

impl Default for Pulse {
    fn default() -> Self {
        Self { origin: Instant::now(), last: AtomicU64::new(0), open: AtomicBool::new(false) }
    }
}

impl Pulse {
    /// The loop turned.
    pub fn beat(&self) {
        let millis = self.origin.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
        self.last.store(millis, Ordering::Relaxed);
    }

    /// The first read is complete: writes can be judged from now on.
    pub fn open(&self) {
        self.open.store(true, Ordering::Relaxed);
    }

    /// Whether writes can be judged.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// How long ago the loop turned last.
    pub fn age(&self) -> Duration {
        self.origin.elapsed().saturating_sub(Duration::from_millis(self.last.load(Ordering::Relaxed)))
    }
}
