//! ECS's word on instances, as far as it is belief and no row: a task that runs is not thrown out by the silence of a network.
//!
//! The word counts only for an instance that is late: it was said after its last sign of life, and the next one ends it. It
//! stands until ECS says otherwise, so an ECS that is away changes nothing. It makes nobody healthy: an instance that lives by
//! it alone is unhealthy in the answers, unless the loss guard holds it anyway. What ECS says of an end is written to the
//! store instead, and comes here as a row.

use super::Fold;
use crate::{
    clock::Timestamp,
    instance::{Key, Row},
    replica::ReplicaId,
};

/// Whose registrations are wanted.
#[derive(Debug, Clone)]
pub enum Whose {
    /// All that name a task.
    All,
    /// Those among them that are late or silent.
    Late,
    /// This task's.
    Task(String),
}

/// A registration that names its task.
#[derive(Debug, Clone)]
pub struct Entry {
    /// As it stands.
    pub row: Row,
    /// Late or silent, in this replica's eyes.
    pub late: bool,
    /// In the answers.
    pub served: bool,
    /// ECS has said, since it is late, that its task runs.
    pub runs: bool,
}

impl Entry {
    /// The task that it names.
    pub fn task(&self) -> &str {
        self.row.registration().map_or("", |standing| standing.content.task_arn.as_str())
    }
}

/// Registrations, and the other replicas that live.
#[derive(Debug, Default)]
pub struct Roll {
    /// The registrations.
    pub entries: Vec<Entry>,
    /// The others.
    pub others: Vec<ReplicaId>,
}

impl Fold {
    /// The registrations that name their task and have not ended.
    pub fn roll(&self, whose: &Whose, wall: Timestamp) -> Roll {
        let mut entries = Vec::new();
        for known in self.services.values().flat_map(|rows| rows.values()) {
            let Some(standing) = known.row.registration() else { continue };
            let task = &standing.content.task_arn;
            // What is owed is not in the store as it stands here.
            if task.is_empty() || known.owed || matches!(whose, Whose::Task(wanted) if task.as_str() != wanted) {
                continue;
            }
            let late = !known.served || self.is_late(known, wall);
            if late || !matches!(whose, Whose::Late) {
                entries.push(Entry { row: known.row.clone(), late, served: known.served, runs: known.runs });
            }
        }
        Roll { entries, others: self.hearers.live(self.clock.now()).cloned().collect() }
    }

    /// ECS says of these incarnations that their tasks run, or no more. One that left for silence is back, as unhealthy.
    pub fn ecs_says(&mut self, of: &[(Key, u64)], runs: bool, wall: Timestamp) {
        for (key, incarnation) in of {
            let Some(known) = self.known(key).filter(|known| known.row.at.incarnation == *incarnation) else {
                continue;
            };
            if known.row.registration().is_none() || known.served && !self.is_late(known, wall) {
                continue;
            }
            let Some(known) = self.known_mut(key) else { continue };
            known.runs = runs;
            if runs && !known.served {
                known.served = true;
                known.kept = true;
                self.changed.insert(key.service.clone());
            }
        }
    }
}
