//! What happened to a task, in its order: what tests read as a trace.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use rustix::process::Signal;
use tokio::time::Instant;

/// What happened to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Its process was started.
    Started,
    /// Its health check passed.
    Healthy,
    /// Its health check failed too often.
    Unhealthy,
    /// ECS sent a signal.
    Signalled(Signal),
    /// Its process ended, with this code or 128 and the signal's number.
    Exited(i32),
}

/// One event.
#[derive(Debug, Clone)]
pub struct Event {
    /// When.
    pub at: Instant,
    /// Which container.
    pub container: String,
    /// What.
    pub what: What,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.container)?;
        match self.what {
            What::Started => f.write_str("started"),
            What::Healthy => f.write_str("healthy"),
            What::Unhealthy => f.write_str("unhealthy"),
            What::Signalled(Signal::TERM) => f.write_str("SIGTERM"),
            What::Signalled(Signal::KILL) => f.write_str("SIGKILL"),
            What::Signalled(Signal::STOP) => f.write_str("SIGSTOP"),
            What::Signalled(signal) => write!(f, "{signal:?}"),
            What::Exited(code) => write!(f, "exited {code}"),
        }
    }
}

/// The events of a task so far; clones share them.
#[derive(Debug, Clone, Default)]
pub struct History(Arc<Mutex<Vec<Event>>>);

impl History {
    pub(super) fn note(&self, container: &str, what: What) {
        let event = Event { at: Instant::now(), container: container.to_owned(), what };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    /// All of them.
    pub fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All of them as one line: `app started, sds-sidecar started, ...`.
    pub fn trace(&self) -> String {
        self.events().iter().map(Event::to_string).collect::<Vec<_>>().join(", ")
    }

    /// When this happened first to this container.
    pub fn when(&self, container: &str, what: &What) -> Option<Instant> {
        self.events().iter().find(|event| event.container == container && event.what == *what).map(|event| event.at)
    }
}
