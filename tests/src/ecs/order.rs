//! In which order the containers of a task start and stop, as the ECS agent has it: a start waits for what `dependsOn`
//! asks for; a stop goes the other way, so that nobody is told to end while another that depends on it still runs.
//!
//! The stop order is what a drain rests on: a sidecar that depends on the app is told first, and the app only after it.

use super::definition::{Condition, Container};

/// How far a container has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Not started yet.
    Pending,
    /// Started; whether its health check has passed.
    Running {
        /// Always false without a health check.
        healthy: bool,
    },
    /// Ended, and not started again.
    Ended(i32),
}

/// What may be done with a pending container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// It may start now.
    Now,
    /// Something must happen first.
    Later,
    /// That can no longer happen.
    Never,
}

/// Whether a container may start, `stage` telling how far the others are.
pub fn start(container: &Container, stage: impl Fn(&str) -> Option<Stage>) -> Start {
    let asks = container.depends_on.iter().map(|on| match (on.condition, stage(&on.container_name)) {
        (_, None) => Start::Never,
        (_, Some(Stage::Pending)) => Start::Later,
        (Condition::Start, _) => Start::Now,
        (Condition::Healthy, Some(Stage::Running { healthy: true })) => Start::Now,
        (Condition::Complete, Some(Stage::Ended(_))) | (Condition::Success, Some(Stage::Ended(0))) => Start::Now,
        (Condition::Healthy | Condition::Success, Some(Stage::Ended(_))) => Start::Never,
        (_, Some(Stage::Running { .. })) => Start::Later,
    });
    asks.fold(Start::Now, |worst, ask| match (worst, ask) {
        (Start::Never, _) | (_, Start::Never) => Start::Never,
        (Start::Later, _) | (_, Start::Later) => Start::Later,
        _ => Start::Now,
    })
}

/// Whether a container may be told to stop: nobody that still runs depends on it.
pub fn may_stop<'a>(name: &str, mut running: impl Iterator<Item = &'a Container>) -> bool {
    !running.any(|other| other.depends_on.iter().any(|on| on.container_name == name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecs::definition::Dependency;

    #[test]
    fn starts_wait_for_their_conditions() {
        let (pending, ended, failed) = (Stage::Pending, Stage::Ended(0), Stage::Ended(1));
        let (started, well) = (Stage::Running { healthy: false }, Stage::Running { healthy: true });
        for (condition, expected) in [
            (Condition::Start, "LNNNN"),
            (Condition::Healthy, "LLNXX"),
            (Condition::Complete, "LLLNN"),
            (Condition::Success, "LLLNX"),
        ] {
            let mut container: Container = serde_json::from_str(r#"{"name": "b", "image": "b"}"#).unwrap();
            container.depends_on = vec![Dependency { container_name: "a".to_owned(), condition }];
            let letters =
                [pending, started, well, ended, failed].map(|stage| match start(&container, |_| Some(stage)) {
                    Start::Now => 'N',
                    Start::Later => 'L',
                    Start::Never => 'X',
                });
            assert_eq!(letters.iter().collect::<String>(), expected, "{condition:?}");
            assert_eq!(start(&container, |_| None), Start::Never);
        }
    }
}
