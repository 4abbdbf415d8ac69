//! Whether the machine itself stood still: a thread that wants to run every 20 ms and notes when it did not.
//!
//! Our promises are in seconds, and a virtual machine that is paused for two of them breaks each. A failure is believed
//! at once on a calm machine; on one that stalled it is tried again, once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::time::{Instant, sleep};

/// A gap of this length is enough to spoil a measurement.
pub const STALL: Duration = Duration::from_millis(500);

/// Watches from its creation until it is dropped.
#[derive(Debug)]
pub struct Calm {
    longest: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Calm {
    /// Starts to watch.
    pub fn watch() -> Self {
        let (longest, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (seen, end) = (longest.clone(), over.clone());
        thread::spawn(move || {
            // A runtime of its own: a busy test must not look like a machine that stands still.
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else { return };
            runtime.block_on(async {
                let mut last = Instant::now();
                while !end.load(Ordering::Relaxed) {
                    sleep(Duration::from_millis(20)).await;
                    let gap = u64::try_from(last.elapsed().as_millis()).unwrap_or(u64::MAX);
                    seen.fetch_max(gap, Ordering::Relaxed);
                    last = Instant::now();
                }
            });
        });
        Self { longest, over }
    }

    /// The longest time in which nothing ran.
    pub fn longest(&self) -> Duration {
        Duration::from_millis(self.longest.load(Ordering::Relaxed))
    }
}

impl Drop for Calm {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}
