//! Rows that this replica may have changed without knowing: their write's outcome is unknown. The others look at them because
//! they were announced; the next complete round looks at them here.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::instance::Key;

/// The keys, each with the number of its last doubt; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Doubts(Arc<Mutex<(u64, BTreeMap<Key, u64>)>>);

/// Doubts as they were at one time.
#[derive(Debug, Default)]
pub struct Doubted(BTreeMap<Key, u64>);

impl Doubts {
    /// A write of this key has an unknown outcome.
    pub fn add(&self, key: Key) {
        let mut doubts = self.lock();
        doubts.0 += 1;
        let number = doubts.0;
        doubts.1.insert(key, number);
    }

    /// What is in doubt now.
    pub fn all(&self) -> Doubted {
        Doubted(self.lock().1.clone())
    }

    /// These were looked at; one that came into doubt again since then stays.
    pub fn settle(&self, looked: &Doubted) {
        self.lock().1.retain(|key, number| looked.0.get(key) != Some(number));
    }

    fn lock(&self) -> MutexGuard<'_, (u64, BTreeMap<Key, u64>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Doubted {
    /// Their keys.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.0.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubt_that_came_during_a_look_outlives_it() {
        let key =
            |port: u16| Key { service: "web".parse().unwrap(), endpoint: format!("10.0.0.1:{port}").parse().unwrap() };
        let doubts = Doubts::default();
        doubts.add(key(1));
        doubts.add(key(2));
        let looked = doubts.all();
        doubts.add(key(2));
        doubts.settle(&looked);
        assert_eq!(doubts.all().keys().collect::<Vec<_>>(), [&key(2)]);
    }
}
