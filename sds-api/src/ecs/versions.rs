//! How far each task has come by ECS's own count, as its events told. They come twice and in any order (AWS's documentation of
//! EventBridge); the version of a task rises with each change, so what is not above the last one is old.
//!
//! Bounded: those told of first are forgotten first, and the sweep puts right what an old event then says.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

/// The most tasks that are remembered.
const MOST: usize = 20_000;

/// The versions.
#[derive(Debug, Default)]
pub struct Versions {
    last: HashMap<Arc<str>, i64>,
    order: VecDeque<Arc<str>>,
}

impl Versions {
    /// Whether this is later than all that was told of the task.
    pub fn is_news(&self, task: &str, version: i64) -> bool {
        self.last.get(task).is_none_or(|last| *last < version)
    }

    /// What was told was carried out.
    pub fn told(&mut self, task: &str, version: i64) {
        if let Some(last) = self.last.get_mut(task) {
            *last = version.max(*last);
            return;
        }
        if self.order.len() >= MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.last.remove(&oldest);
        }
        let task: Arc<str> = task.into();
        self.order.push_back(task.clone());
        self.last.insert(task, version);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_higher_version_is_news() {
        let mut versions = Versions::default();
        assert!(versions.is_news("a", 3));
        versions.told("a", 3);
        assert_eq!([2, 3, 4].map(|version| versions.is_news("a", version)), [false, false, true]);
        versions.told("a", 2);
        assert!(!versions.is_news("a", 3));
    }

    #[test]
    fn they_do_not_grow() {
        let mut versions = Versions::default();
        (0..MOST + 5).for_each(|n| versions.told(&n.to_string(), 1));
        assert_eq!((versions.last.len(), versions.order.len()), (MOST, MOST));
        assert!(versions.is_news("0", 1) && !versions.is_news("5", 1));
    }
}
