//! Tasks that run with our sidecar and that nobody registered: a wrong health check, a network that does not let the sidecar
//! through, a policy that refuses it. Nothing follows from it but a list and a number; somebody has to look.
//!
//! It takes `ListTasks` for each hundred tasks of a cluster, so it is done a few times a minute at most, and by one at a time.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::{sync::Mutex, time::Instant};

use super::{Answer, EcsError, Task, queue::TASKS, watch::Watch, word::Word};
use crate::{
    clock::Timestamp,
    registry::{Entry, Whose, WriteError},
};

/// A task has so long to become registered.
const PATIENCE: Duration = Duration::from_secs(60);
/// Whoever asks sooner is shown the last list.
const STANDS: Duration = Duration::from_secs(10);
/// What our sidecar is called.
const SIDECAR: &str = "sds-sidecar";

/// The last look.
#[derive(Debug, Default)]
pub struct Looks(Mutex<Option<(Instant, Arc<Look>)>>);

/// What was found.
#[derive(Debug)]
pub struct Look {
    /// When.
    pub at: Timestamp,
    /// The tasks, by cluster and ARN.
    pub tasks: Vec<Arc<Task>>,
}

/// Why nothing was found out.
#[derive(Debug, thiserror::Error)]
pub enum Unseen {
    /// ECS did not say.
    #[error(transparent)]
    Ecs(#[from] EcsError),
    /// The registry is not ready.
    #[error(transparent)]
    Registry(#[from] WriteError),
}

impl Watch {
    /// Tasks that run with a sidecar and have no instance in service, as they were some seconds ago.
    pub async fn unregistered(&self) -> Result<Arc<Look>, Unseen> {
        let mut last = self.looks.0.lock().await;
        if let Some((at, look)) = last.as_ref()
            && at.elapsed() < STANDS
        {
            return Ok(look.clone());
        }
        let look = Arc::new(self.look().await?);
        self.metrics.unregistered.set(i64::try_from(look.tasks.len()).unwrap_or(i64::MAX));
        *last = Some((Instant::now(), look.clone()));
        Ok(look)
    }

    async fn look(&self) -> Result<Look, Unseen> {
        let mut found = Vec::new();
        for cluster in self.clusters.iter() {
            let listed = self.ecs.list(&cluster.said).await?;
            // After the list: what registers meanwhile is registered.
            let roll = self.registry.roll(Whose::All).await?;
            let registered: HashSet<&str> = roll.entries.iter().filter(|entry| entry.served).map(Entry::task).collect();
            let others: Vec<&str> = listed.iter().map(String::as_str).filter(|arn| !registered.contains(arn)).collect();
            for some in others.chunks(TASKS) {
                let answers = self.ecs.tasks(&cluster.said, some).await?;
                found.extend(answers.into_values().filter_map(|answer| match answer {
                    Answer::Task(task) if is_unregistered(&task, Timestamp::now()) => Some(task),
                    _ => None,
                }));
            }
        }
        found.sort_unstable_by(|a, b| a.arn.cmp(&b.arn));
        Ok(Look { at: Timestamp::now(), tasks: found })
    }
}

/// Whether a task that is not in service should be.
fn is_unregistered(task: &Task, wall: Timestamp) -> bool {
    let long = task.started.is_some_and(|started| wall.since(Timestamp::of_seconds(started)) >= PATIENCE);
    let ours = |image: &str| image.rsplit('/').next().and_then(|name| name.split([':', '@']).next()) == Some(SIDECAR);
    let has_sidecar = task.containers.iter().any(|container| container.name == SIDECAR || ours(&container.image));
    task.word() == Word::Runs && task.last_status == "RUNNING" && long && has_sidecar
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecs::Container;

    #[test]
    fn only_a_task_that_runs_for_a_while_with_a_sidecar_is_missed() {
        let wall = Timestamp::of_seconds(1_000_000);
        let task = |name: &str, image: &str, last: &str, desired: &str, age: u64| Task {
            containers: vec![Container { name: name.into(), image: image.into(), ..Container::default() }],
            last_status: last.into(),
            desired_status: desired.into(),
            started: Some(wall.seconds() - age),
            ..Task::default()
        };
        for (task, missed) in [
            (task("sds-sidecar", "x", "RUNNING", "RUNNING", 60), true),
            (task("side", "registry.test:5000/team/sds-sidecar:1.2", "RUNNING", "RUNNING", 61), true),
            (task("side", "sds-sidecar@sha256:00", "RUNNING", "RUNNING", 61), true),
            (task("side", "sds-sidecar-extra:1", "RUNNING", "RUNNING", 61), false),
            (task("app", "web:1", "RUNNING", "RUNNING", 600), false),
            (task("sds-sidecar", "x", "RUNNING", "RUNNING", 59), false),
            (task("sds-sidecar", "x", "RUNNING", "STOPPED", 600), false),
            (task("sds-sidecar", "x", "ACTIVATING", "RUNNING", 600), false),
            (Task { started: None, ..task("sds-sidecar", "x", "RUNNING", "RUNNING", 600) }, false),
        ] {
            assert_eq!(is_unregistered(&task, wall), missed, "{task:?}");
        }
    }
}
