//! New streams are let in at a bounded pace, for instance when all come back after a restart: each costs a first answer for all
//! that it wants, and who was let in before must not wait behind ten thousand of those.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// From one to the next: some thousands a second, which leaves most of a processor to pushes and polls.
const PACE: Duration = Duration::from_micros(200);
/// As many more are let in at once when none came for a while.
const BURST: u32 = 500;

/// The door; clones share it.
#[derive(Debug, Clone)]
pub struct Admission(Arc<Mutex<Instant>>);

impl Default for Admission {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Admission {
    /// When the stream that comes now is to have its turn.
    pub fn turn(&self) -> Instant {
        let now = Instant::now();
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *next = (*next).max(now) + PACE;
        (*next - PACE * (BURST + 1)).max(now)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_few_come_at_once_and_a_crowd_at_a_pace() {
        let (door, start) = (Admission::default(), Instant::now());
        let crowd = |n: u32| (0..n).map(|_| door.turn() - start).collect::<Vec<_>>();
        let waits = crowd(10_000);
        assert!(waits[..BURST as usize].iter().all(Duration::is_zero));
        assert!(waits.is_sorted() && waits[9_999] > Duration::from_millis(1800), "{:?}", waits[9_999]);
        assert!(waits[9_999] < Duration::from_secs(2), "{:?}", waits[9_999]);
        advance(Duration::from_secs(10)).await;
        assert_eq!(crowd(BURST), vec![Duration::from_secs(10); BURST as usize]);
    }
}
