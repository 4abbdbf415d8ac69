//! What ECS's word needs of HTTP: `POST /v1/ecs/events` for EventBridge's "ECS Task State Change", and the list of tasks that
//! run without being registered, `GET /v1/services?unregistered`.
//!
//! An event is a hint that comes sooner than the sweep, which finds out the same by itself: one that is lost does no harm, and
//! one that could not be carried out is answered 503, so that it is sent again. The shape is read from AWS's documentation;
//! no event of AWS's own has come here yet. EventBridge reaches a private address over HTTPS and a VPC Lattice resource only.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Request, header};
use sds_types::Invalid;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    Shared,
    body::{self, Fields},
    query::Query,
    table,
};
use crate::{
    auth::Shown,
    clock::{self, Timestamp},
    ecs::{Change, Task, Told, Watch},
    error::ApiError,
};

/// EventBridge's own limit of an event.
const LIMIT: usize = 256 * 1024;

/// Of a task (ECS's manual, "Task lifecycle"); of one that is none nothing is remembered.
const STATES: [&str; 9] = [
    "PROVISIONING",
    "PENDING",
    "ACTIVATING",
    "RUNNING",
    "DEACTIVATING",
    "STOPPING",
    "DEPROVISIONING",
    "STOPPED",
    "DELETED",
];

/// `POST /v1/ecs/events`.
pub async fn events(State(app): Shared, request: Request<Body>) -> Result<Response, ApiError> {
    let by = app.auth.events(&Shown::by(request.headers()))?;
    let watch = asked(app.watch.as_ref())?;
    let change = parse(&body::read(request, LIMIT).await?)?;
    let (outcome, changed) = match watch.told(&change, by).await? {
        Told::Changed(changed) => ("taken", changed),
        Told::Old => ("old", 0),
        Told::Foreign => ("foreign", 0),
    };
    let body = json!({"outcome": outcome, "changed": changed}).to_string();
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

fn asked(watch: Option<&Watch>) -> Result<&Watch, ApiError> {
    watch.ok_or_else(|| ApiError::NotFound("ECS is not asked here, SDS_ECS_CLUSTERS is empty".into()))
}

fn parse(body: &[u8]) -> Result<Change, ApiError> {
    let mut event = Fields::parse(body)?;
    let wrong = |field, reason| Invalid::new("InvalidEvent", field, reason);
    if event.text("detail-type")?.as_deref() != Some("ECS Task State Change") {
        return Err(wrong("detail-type", "only 'ECS Task State Change' is taken").into());
    }
    let detail = event.take("detail").unwrap_or_default();
    let text = |field: &'static str| match detail.get(field) {
        Some(Value::String(text)) => Ok(text.clone()),
        _ => Err(wrong(field, "detail lacks it, or it is no string")),
    };
    let state = |field| {
        let state = text(field)?;
        if STATES.contains(&state.as_str()) { Ok(state) } else { Err(wrong(field, "that is no state of a task")) }
    };
    Ok(Change {
        task: text("taskArn")?,
        last: state("lastStatus")?,
        desired: state("desiredStatus")?,
        version: detail
            .get("version")
            .and_then(Value::as_i64)
            .ok_or_else(|| wrong("version", "detail lacks it, or it is no integer"))?,
    })
}

/// Whether the list of all services is to be that of the tasks without one.
pub fn wants_unregistered(query: Option<&str>) -> bool {
    query.unwrap_or("").split('&').any(|pair| pair == "unregistered" || pair.starts_with("unregistered="))
}

/// `GET /v1/services?unregistered`.
pub async fn unregistered(
    watch: Option<&Watch>,
    query: Option<&str>,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let look = asked(watch)?.unregistered().await?;
    let wall = Timestamp::now();
    let tasks = look.tasks.iter().map(|task| Listed::of(task, wall)).collect();
    let list = List { tasks, at: look.at.iso_seconds() };
    Ok(table::either(headers, &Query::of(query), &list, || list.text(), None))
}

#[derive(Serialize)]
struct List<'a> {
    /// When ECS was asked.
    at: String,
    tasks: Vec<Listed<'a>>,
}

impl List<'_> {
    fn text(&self) -> String {
        let rows = self.tasks.iter().map(|task| {
            [
                task.task_arn.into(),
                task.group.into(),
                task.family.into(),
                task.running.clone(),
                task.addresses.join(","),
            ]
        });
        table::text(["TASK", "GROUP", "FAMILY", "RUNS SINCE", "ADDRESSES"], rows)
    }
}

#[derive(Serialize)]
struct Listed<'a> {
    task_arn: &'a str,
    group: &'a str,
    family: &'a str,
    availability_zone: &'a str,
    started: Option<String>,
    addresses: Vec<String>,
    #[serde(skip)]
    running: String,
}

impl<'a> Listed<'a> {
    fn of(task: &'a Arc<Task>, wall: Timestamp) -> Self {
        let started = task.started.map(Timestamp::of_seconds);
        Self {
            task_arn: &task.arn,
            group: &task.group,
            family: task.family(),
            availability_zone: &task.availability_zone,
            started: started.map(Timestamp::iso_seconds),
            addresses: task.addresses.iter().map(ToString::to_string).collect(),
            running: started.map_or_else(String::new, |started| clock::spell(wall.since(started))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_says_all_that_counts_or_is_refused() {
        let detail =
            json!({"taskArn": "t", "lastStatus": "STOPPED", "desiredStatus": "STOPPED", "version": 7, "x": {}});
        let event = |kind: &str, detail: &Value| json!({"detail-type": kind, "detail": detail, "source": "aws.ecs"});
        let body = |event: Value| event.to_string().into_bytes();
        let kind = "ECS Task State Change";
        let change = Change { task: "t".into(), last: "STOPPED".into(), desired: "STOPPED".into(), version: 7 };
        assert_eq!(parse(&body(event(kind, &detail))).unwrap(), change);
        assert!(parse(&body(event("ECS Service Action", &detail))).is_err());
        for field in ["taskArn", "lastStatus", "desiredStatus", "version"] {
            for value in [Value::Null, json!([]), json!(1.5)] {
                let mut bad = detail.clone();
                bad[field] = value;
                assert!(parse(&body(event(kind, &bad))).is_err(), "{bad}");
            }
        }
        for bad in ["", "[]", "null", "{}", "{\"detail\": 7}", "\u{feff}{}"] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_list_is_asked_for_by_a_word() {
        let wants = |query| wants_unregistered(Some(query));
        assert!(wants("unregistered") && wants("format=text&unregistered") && wants("unregistered=true"));
        assert!(!wants("") && !wants("limit=7") && !wants("unregistered_not"));
    }
}
