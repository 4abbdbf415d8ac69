//! Writers of one key take turns, so that many who say the same at once find the first one's word instead of racing it in
//! the store.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Mutex as Line, OwnedMutexGuard};

use crate::instance::Key;

type Lines = Arc<Mutex<HashMap<Key, Arc<Line<()>>>>>;

/// The keys that are being written; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Turns(Lines);

/// One's turn; it ends when this is dropped.
#[derive(Debug)]
pub struct Turn {
    key: Key,
    lines: Lines,
    place: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits for one's turn, in the order in which they came.
    pub async fn of(&self, key: &Key) -> Turn {
        let line = lock(&self.0).entry(key.clone()).or_default().clone();
        // Made before the wait, so that who gives up waiting leaves no line behind.
        let mut turn = Turn { key: key.clone(), lines: self.0.clone(), place: None };
        turn.place = Some(line.lock_owned().await);
        turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut lines = lock(&self.lines);
        drop(self.place.take());
        // Everybody else who waits holds the line too, and none can join while the lines are locked.
        if lines.get(&self.key).is_some_and(|line| Arc::strong_count(line) == 1) {
            lines.remove(&self.key);
        }
    }
}

fn lock(lines: &Lines) -> MutexGuard<'_, HashMap<Key, Arc<Line<()>>>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use tokio::time::timeout;

    fn key(port: u16) -> Key {
        Key { service: "web".parse().unwrap(), endpoint: format!("10.0.0.1:{port}").parse().unwrap() }
    }

    #[tokio::test(start_paused = true)]
    async fn one_after_the_other_and_no_line_stays() {
        let turns = Turns::default();
        let soon = async |port: u16| timeout(Duration::from_millis(1), turns.of(&key(port))).await;
        let first = soon(1).await.unwrap();
        let other = soon(2).await.unwrap();
        assert!(soon(1).await.is_err(), "it is somebody else's turn");
        drop(first);
        drop((soon(1).await.unwrap(), other));
        assert!(lock(&turns.0).is_empty());
    }
}
