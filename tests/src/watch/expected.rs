//! The hosts of whom none may be missing in any answer; fewer as soon as the test sends one away.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::fleet::Fleet;

/// Hosts by service; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Expected(Arc<Mutex<BTreeMap<String, BTreeSet<String>>>>);

impl Expected {
    /// All of a fleet.
    pub fn fleet(fleet: &Fleet) -> Self {
        let expected = Self::default();
        fleet.all.iter().for_each(|one| expected.add(&one.spec.service, &one.spec.at));
        expected
    }

    /// One more.
    pub fn add(&self, service: &str, at: &str) {
        self.lock().entry(service.to_owned()).or_default().insert(at.to_owned());
    }

    /// This one may go, from before it is told to.
    pub fn release(&self, service: &str, at: &str) {
        if let Some(hosts) = self.lock().get_mut(service) {
            hosts.remove(at);
        }
    }

    /// The services.
    pub fn services(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// How many hosts of all services.
    pub fn hosts(&self) -> usize {
        self.lock().values().map(BTreeSet::len).sum()
    }

    /// Who is not there. Ask only once the answer is there: who was released before it may be missing in it.
    pub fn missing(&self, service: &str, has: impl Fn(&str) -> bool) -> Vec<String> {
        let hosts = self.lock();
        hosts.get(service).into_iter().flatten().filter(|at| !has(at)).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, BTreeSet<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_released_is_not_missed() {
        let expected = Expected::default();
        expected.add("web", "a");
        expected.add("web", "b");
        assert_eq!(expected.missing("web", |at| at == "a"), ["b"]);
        expected.release("web", "b");
        assert!(expected.missing("web", |at| at == "a").is_empty() && expected.missing("none", |_| false).is_empty());
        assert_eq!((expected.services(), expected.hosts()), (vec!["web".to_owned()], 1));
    }
}
