//! The ways in which the metadata endpoint lets its readers down.

use std::{fmt, future::pending, sync::Arc};

use axum::{
    http::StatusCode,
    response::{Html, IntoResponse, Response},
};
use serde_json::Value;

/// One way.
#[derive(Clone)]
pub enum Fault {
    /// Only a status: 429 beyond 40 requests a second, 500 when the agent is in trouble.
    Status(u16),
    /// 200 with a page.
    Html,
    /// 200 with 10 MB of JSON.
    Huge,
    /// Accepts and never answers.
    Silence,
    /// The document of a task so young that hardly a key is there.
    Early,
    /// The document, changed.
    Edited(Arc<dyn Fn(&mut Value) + Send + Sync>),
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Status(_) => "Status",
            Self::Html => "Html",
            Self::Huge => "Huge",
            Self::Silence => "Silence",
            Self::Early => "Early",
            Self::Edited(_) => "Edited",
        })
    }
}

impl Fault {
    /// The document after this change.
    pub fn edited(edit: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        Self::Edited(Arc::new(edit))
    }

    /// The document without one of its containers.
    pub fn without(container: &str) -> Self {
        let name = container.to_owned();
        Self::edited(move |task| {
            if let Some(rows) = task["Containers"].as_array_mut() {
                rows.retain(|row| row["Name"] != name.as_str());
            }
        })
    }

    /// The document in which a key of one container says this; `null` removes it.
    pub fn says(container: &str, key: &'static str, value: Value) -> Self {
        let name = container.to_owned();
        Self::edited(move |task| {
            let rows = task["Containers"].as_array_mut().into_iter().flatten();
            for row in rows.filter(|row| row["Name"] == name.as_str()).filter_map(Value::as_object_mut) {
                match &value {
                    Value::Null => drop(row.remove(key)),
                    value => drop(row.insert(key.to_owned(), value.clone())),
                }
            }
        })
    }

    /// Changes the document, or gives an answer instead of it.
    pub(super) async fn apply(&self, task: &mut Value) -> Option<Response> {
        match self {
            Self::Status(code) => Some(StatusCode::from_u16(*code).unwrap_or_default().into_response()),
            Self::Html => Some(Html("<html><body>Service Unavailable</body></html>").into_response()),
            Self::Huge => Some(format!("{{\"Family\": \"{}\"}}", "x".repeat(10 << 20)).into_response()),
            Self::Silence => pending().await,
            Self::Early => {
                early(task);
                None
            }
            Self::Edited(edit) => {
                edit(task);
                None
            }
        }
    }
}

fn early(task: &mut Value) {
    let drop_keys = |value: &mut Value, keys: &[&str]| {
        if let Some(object) = value.as_object_mut() {
            object.retain(|key, _| !keys.contains(&key.as_str()));
        }
    };
    drop_keys(task, &["AvailabilityZone", "PullStartedAt", "PullStoppedAt", "LaunchType", "ServiceName", "Limits"]);
    for row in task["Containers"].as_array_mut().into_iter().flatten() {
        drop_keys(row, &["Networks", "Ports", "Health", "KnownStatus", "CreatedAt", "StartedAt", "Labels"]);
    }
}
