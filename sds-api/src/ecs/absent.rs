//! Tasks of which ECS has said that there is none. Once may be its own lag, for it tells of a new task only after a moment; a
//! second time, some time later, is believed.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use tokio::time::Instant;

/// When each was missing first.
#[derive(Debug)]
pub struct Absent {
    apart: Duration,
    first: HashMap<String, Instant>,
}

impl Absent {
    /// Two answers count as two when they lie so far apart.
    pub fn new(apart: Duration) -> Self {
        Self { apart, first: HashMap::new() }
    }

    /// There is no such task; whether that is to be believed now.
    pub fn missing(&mut self, task: &str, now: Instant) -> bool {
        match self.first.get(task) {
            Some(first) => now.saturating_duration_since(*first) >= self.apart,
            None => {
                self.first.insert(task.to_owned(), now);
                false
            }
        }
    }

    /// There is.
    pub fn found(&mut self, task: &str) {
        self.first.remove(task);
    }

    /// Only these are registered still.
    pub fn keep(&mut self, registered: &HashSet<&str>) {
        self.first.retain(|task, _| registered.contains(task.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_a_second_time_some_time_later_is_believed() {
        let (now, apart) = (Instant::now(), Duration::from_secs(5));
        let mut absent = Absent::new(apart);
        let mut at = |task, seconds| absent.missing(task, now + Duration::from_secs(seconds));
        assert_eq!([at("a", 0), at("a", 4), at("a", 5), at("b", 5)], [false, false, true, false]);
        absent.found("a");
        assert!(!absent.missing("a", now + Duration::from_secs(60)));
        absent.keep(&HashSet::from(["b"]));
        assert_eq!(absent.first.len(), 1);
    }
}
