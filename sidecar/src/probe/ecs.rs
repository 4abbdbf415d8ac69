//! The check of a container's own health, as the task's metadata tells it.
//!
//! ECS runs the task definition's `healthCheck` and reports what came of it. While it reports nothing (no `healthCheck`,
//! still starting, the container not listed yet, no metadata) nobody knows, and unknown is neither well nor sick.

use super::Probe;
use crate::{identity::metadata::Task, web::shown};

/// What `task` says of `container`.
pub fn probe(container: &str, task: Option<&Task>) -> Probe {
    let unknown = |reason: &str| Probe::Unknown(reason.to_owned());
    let Some(task) = task else { return unknown("the task's metadata is not known") };
    let mut listed = task.containers.iter().flatten();
    let Some(found) = listed.find(|listed| listed.name.as_deref() == Some(container)) else {
        return unknown("the task's metadata lists no container of this name");
    };
    if found.known_status.as_deref() == Some("STOPPED") {
        return Probe::Fail("the container has stopped".into());
    }
    match found.health.as_ref().and_then(|health| health.status.as_deref()) {
        Some("HEALTHY") => Probe::Pass,
        Some("UNHEALTHY") => Probe::Fail("ECS reports UNHEALTHY".into()),
        None => unknown("ECS reports no health: the container has no healthCheck or is still starting"),
        Some(other) => unknown(&format!("ECS reports {}", shown(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_ecs() {
        for (containers, expected) in [
            (r#"[{"Name":"app","Health":{"status":"HEALTHY"}}]"#, "Pass"),
            (r#"[{"Name":"db","Health":{"status":"UNHEALTHY"}},{"Name":"app","Health":{"status":"HEALTHY"}}]"#, "Pass"),
            (r#"[{"Name":"app","Health":{"status":"UNHEALTHY"}}]"#, r#"Fail("ECS reports UNHEALTHY")"#),
            (
                r#"[{"Name":"app","KnownStatus":"STOPPED","Health":{"status":"HEALTHY"}}]"#,
                r#"Fail("the container has stopped")"#,
            ),
            (r#"[{"Name":"app","Health":{"status":"UNKNOWN"}}]"#, r#"Unknown("ECS reports UNKNOWN")"#),
            (r#"[{"Name":"app","Health":{"status":"a\nb"}}]"#, r#"Unknown("ECS reports a b")"#),
            (r#"[{"Name":"app","Health":{}}]"#, r#"Unknown("ECS reports no health"#),
            (r#"[{"Name":"app","KnownStatus":"RUNNING"}]"#, r#"Unknown("ECS reports no health"#),
            (r#"[{"Name":"App","Health":{"status":"HEALTHY"}}]"#, r#"Unknown("the task's metadata lists no"#),
            (r#"[{"Health":{"status":"HEALTHY"}}]"#, r#"Unknown("the task's metadata lists no"#),
            ("[]", r#"Unknown("the task's metadata lists no"#),
            ("null", r#"Unknown("the task's metadata lists no"#),
        ] {
            let task: Task = serde_json::from_str(&format!(r#"{{"Containers":{containers}}}"#)).unwrap();
            let probe = format!("{:?}", probe("app", Some(&task)));
            assert!(probe.starts_with(expected), "{containers}: {probe}");
        }
        assert_eq!(probe("app", None), Probe::Unknown("the task's metadata is not known".into()));
    }
}
