//! What ECS said of a task a moment ago, when it was a no: there is no such task, or it has stopped. Whoever asks again within
//! seconds is told the same without a call, so a client that knocks on and on costs nothing. A yes is not kept: whoever may
//! register is asked about once anyhow.
//!
//! Bounded: the oldest answers go first.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::task::Task;

/// How long a no stands.
const STANDS: Duration = Duration::from_secs(5);
/// The most that are remembered.
const MOST: usize = 10_000;

/// A task that has ended, or nothing where there is none.
type No = Option<Arc<Task>>;

/// The answers.
#[derive(Debug, Default)]
pub struct Recent {
    said: HashMap<Arc<str>, (Instant, No)>,
    order: VecDeque<(Instant, Arc<str>)>,
}

impl Recent {
    /// The last no, if it stands.
    pub fn no(&self, arn: &str, now: Instant) -> Option<No> {
        let (at, no) = self.said.get(arn)?;
        (now.saturating_duration_since(*at) < STANDS).then(|| no.clone())
    }

    /// Remembers an answer, if it is a no.
    pub fn answered(&mut self, arn: &str, answer: &No, now: Instant) {
        if answer.as_ref().is_some_and(|task| task.last_status != "STOPPED") {
            return;
        }
        let over = |at: Instant| now.saturating_duration_since(at) >= STANDS;
        while let Some((at, old)) = self.order.front().filter(|(at, _)| over(*at) || self.order.len() >= MOST) {
            if self.said.get(old).is_some_and(|(said, _)| said == at) {
                self.said.remove(old);
            }
            self.order.pop_front();
        }
        let arn: Arc<str> = arn.into();
        self.order.push_back((now, arn.clone()));
        self.said.insert(arn, (now, answer.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_no_stands_for_seconds_and_a_yes_not_at_all() {
        let now = Instant::now();
        let mut recent = Recent::default();
        let task = |status: &str| Some(Arc::new(Task { last_status: status.into(), ..Task::default() }));
        recent.answered("gone", &None, now);
        recent.answered("ended", &task("STOPPED"), now);
        recent.answered("runs", &task("RUNNING"), now);
        let known = |at| ["gone", "ended", "runs"].map(|arn| recent.no(arn, at).is_some());
        assert_eq!(known(now + Duration::from_millis(4999)), [true, true, false]);
        assert_eq!(known(now + STANDS), [false; 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn it_does_not_grow() {
        let now = Instant::now();
        let mut recent = Recent::default();
        (0..MOST + 10).for_each(|n| recent.answered(&n.to_string(), &None, now));
        assert_eq!((recent.said.len(), recent.order.len()), (MOST, MOST));
        assert!(recent.no("9", now).is_none() && recent.no("10", now).is_some());
        recent.answered("10", &None, now);
        recent.answered("x", &None, now + STANDS);
        assert_eq!((recent.said.len(), recent.order.len()), (1, 1));
    }
}
