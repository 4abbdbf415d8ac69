//! What ECS's word on a task means for a registration of it. Pure.
//!
//! The states are those of a task's life (AWS's developer guide): on its way down it is DEACTIVATING, STOPPING,
//! DEPROVISIONING, STOPPED and, for an hour, still described. From DEPROVISIONING on none of its containers runs.

use super::task::Task;
use crate::{instance::Status, registry::Entry};

/// ECS's word on a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It runs, and is to run.
    Runs,
    /// It is on its way down, or ECS wants it so.
    Stops,
    /// It has ended, or there is no such task.
    Stopped,
    /// It has not begun, or is in a state that is not known here.
    Nothing,
}

impl Word {
    /// Of a task in this state, which ECS wants in that one.
    pub fn of(last: &str, desired: &str) -> Self {
        match (last, desired) {
            ("DEPROVISIONING" | "STOPPED" | "DELETED", _) => Self::Stopped,
            ("DEACTIVATING" | "STOPPING", _) | (_, "STOPPED") => Self::Stops,
            ("ACTIVATING" | "RUNNING", _) => Self::Runs,
            _ => Self::Nothing,
        }
    }
}

impl Task {
    /// What that means.
    pub fn word(&self) -> Word {
        Word::of(&self.last_status, &self.desired_status)
    }
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// It is not to be thrown out by silence.
    Keep,
    /// It is again.
    Release,
    /// It drains.
    Drain,
    /// It leaves for good.
    Remove,
}

/// What a word means for a registration, if anything.
pub fn deed(entry: &Entry, word: Word) -> Option<Deed> {
    let status = entry.row.registration()?.status;
    match word {
        Word::Runs => (entry.late && !entry.runs).then_some(Deed::Keep),
        Word::Stops if status != Status::Draining => Some(Deed::Drain),
        Word::Stops => entry.runs.then_some(Deed::Release),
        Word::Stopped => Some(Deed::Remove),
        Word::Nothing => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sds_types::Sequence;

    use super::*;
    use crate::instance::{Gone, Key, Origin, Registration, Row, Standing};

    #[test]
    fn each_state_of_a_task_has_its_word() {
        use Word::{Nothing, Runs, Stopped, Stops};
        for (last, desired, word) in [
            ("PROVISIONING", "RUNNING", Nothing),
            ("PENDING", "RUNNING", Nothing),
            ("ACTIVATING", "RUNNING", Runs),
            ("RUNNING", "RUNNING", Runs),
            ("RUNNING", "STOPPED", Stops),
            ("PENDING", "STOPPED", Stops),
            ("DEACTIVATING", "STOPPED", Stops),
            ("DEACTIVATING", "RUNNING", Stops),
            ("STOPPING", "STOPPED", Stops),
            ("DEPROVISIONING", "STOPPED", Stopped),
            ("STOPPED", "STOPPED", Stopped),
            ("STOPPED", "RUNNING", Stopped),
            ("DELETED", "STOPPED", Stopped),
            ("DREAMING", "RUNNING", Nothing),
            ("", "", Nothing),
        ] {
            assert_eq!(Word::of(last, desired), word, "{last} {desired}");
        }
    }

    fn entry(standing: Standing, late: bool, runs: bool) -> Entry {
        let key = Key { service: "web".parse().unwrap(), endpoint: "10.0.0.1:80".parse().unwrap() };
        let at = Sequence { incarnation: 1, seq: 1 };
        Entry { row: Row { key, at, rev: 1, standing, operator: None }, late, served: true, runs }
    }

    fn standing(status: Status) -> Standing {
        let content = Arc::default();
        Standing::In(Registration { status, content, origin: Origin::Native, lost: false, expire_time: 0 })
    }

    #[test]
    fn a_word_does_only_what_is_not_so_already() {
        let of = |status, late, runs| {
            [Word::Runs, Word::Stops, Word::Stopped, Word::Nothing]
                .map(|word| deed(&entry(standing(status), late, runs), word))
        };
        let (drain, remove) = (Some(Deed::Drain), Some(Deed::Remove));
        assert_eq!(of(Status::Healthy, false, false), [None, drain, remove, None]);
        assert_eq!(of(Status::Healthy, true, false), [Some(Deed::Keep), drain, remove, None]);
        assert_eq!(of(Status::Healthy, true, true), [None, drain, remove, None]);
        assert_eq!(of(Status::Draining, false, false), [None, None, remove, None]);
        assert_eq!(of(Status::Draining, true, true), [None, Some(Deed::Release), remove, None]);
        assert_eq!(deed(&entry(Standing::Gone(Gone::Stopped), true, false), Word::Stopped), None);
    }
}
