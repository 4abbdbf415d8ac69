//! Why an instance is or is not in each answer, in words: a pure function of what the answers themselves are made of, the
//! fold's facts and the service as it is served. Nothing is remembered for it, so it cannot tell of another world than the
//! one that Envoys are shown; who is in the v1 list is asked of the very rule that makes the list.

use super::{
    fold::Facts,
    snapshot::{Instance, Service},
};
use crate::{
    clock::{Timestamp, spell},
    instance::{Gone, Standing, Status},
    view,
};

/// How an instance stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// In the answers.
    InService,
    /// In the answers by the loss guard alone.
    Held,
    /// In the answers by ECS's word alone.
    Kept,
    /// Left for silence.
    Silent,
    /// Left by a word.
    Gone,
}

impl State {
    /// For people and programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InService => "in service",
            Self::Held => "held",
            Self::Kept => "kept",
            Self::Silent => "silent",
            Self::Gone => "gone",
        }
    }
}

/// One answer's view of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Whether it is there.
    pub listed: bool,
    /// Why.
    pub because: String,
}

/// Why an instance is where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// How it stands.
    pub state: State,
    /// Why so.
    pub because: String,
    /// What the answers say it is, an operator's word laid over it; nothing if it is in none.
    pub status: Option<Status>,
    /// `GET /v1/registration/{service}`.
    pub v1: Answered,
    /// EDS, v2 and v3 alike.
    pub eds: Answered,
    /// The native list.
    pub native: Answered,
}

/// Explains an instance of `service`, which is as it is served now.
pub fn explain(facts: &Facts, service: Option<&Service>, fail_open: bool, wall: Timestamp) -> Explained {
    let (state, because) = standing(facts, wall);
    let endpoint = facts.row.key.endpoint;
    let found = service.and_then(|service| Some((service, service.instances.iter().find(|i| i.endpoint == endpoint)?)));
    let Some((service, instance)) = found else {
        let out = Answered { listed: false, because: because.clone() };
        return Explained { state, because, status: None, v1: out.clone(), eds: out.clone(), native: out };
    };
    let listed = |because: String| Answered { listed: true, because };
    Explained {
        state,
        because,
        status: Some(instance.status),
        v1: v1(facts, service, instance, fail_open),
        eds: listed(format!("{}: {}", instance.status.as_str(), says(facts, instance))),
        native: listed("every instance in service is".into()),
    }
}

fn standing(facts: &Facts, wall: Timestamp) -> (State, String) {
    let registration = match &facts.row.standing {
        Standing::In(registration) => registration,
        Standing::Gone(gone) => return (State::Gone, format!("{}{}", left(*gone), owing(facts))),
    };
    let lease = spell(facts.lease);
    let (state, because) = match (&facts.heard, facts.served) {
        (Some(heard), true) if facts.kept => {
            (State::Kept, format!("silent for {}, ECS says running: unhealthy until it is heard", spell(heard.age)))
        }
        (None, true) if facts.kept => {
            (State::Kept, "nobody has heard it, ECS says running: unhealthy until it is heard".into())
        }
        _ if facts.row.is_foreign() => of_another_registry(facts, registration.expire_time, wall),
        (Some(heard), true) if facts.held => {
            (State::Held, format!("silent for {} together with many others, held {HELD}", spell(heard.age)))
        }
        (Some(heard), true) => {
            let overdue = if facts.late { ", overdue" } else { "" };
            (State::InService, format!("heard {} ago{overdue}, its lease is {lease}", spell(heard.age)))
        }
        (Some(heard), false) => {
            (State::Silent, format!("silent: last heard {} ago, its lease is {lease}", spell(heard.age)))
        }
        (None, true) => (State::InService, "served, though nobody has heard it yet".into()),
        (None, false) if registration.lost => {
            (State::Silent, "silent: a replica marked it so, and nobody has heard it since this one started".into())
        }
        (None, false) => (State::Silent, "silent: found by a repair read, and nobody has heard it yet".into()),
    };
    (state, because + owing(facts))
}

const HELD: &str = "until it is heard, leaves by a word, or SDS_HOLD_MAX is over";

/// Nobody's heartbeats come here: it lives by its row's own time.
fn of_another_registry(facts: &Facts, expire_time: u64, wall: Timestamp) -> (State, String) {
    let expires = Timestamp::of_seconds(expire_time);
    let (state, said) = match (facts.held, facts.served) {
        (true, _) => (State::Held, format!("not renewed in time, nor were many others: held {HELD}")),
        (false, true) => (State::InService, format!("its expire_time is {} ahead", spell(expires.since(wall)))),
        (false, false) => (State::Silent, format!("its expire_time passed {} ago", spell(wall.since(expires)))),
    };
    (state, format!("another registry's row: {said}"))
}

fn left(gone: Gone) -> &'static str {
    match gone {
        Gone::Deregistered => "deregistered: its owner left",
        Gone::Unhealthy => "deregistered: its owner left because the app stayed unfit",
        Gone::Stopped => "deregistered: ECS says that the task stopped",
    }
}

fn owing(facts: &Facts) -> &'static str {
    if facts.owed { "; the store is yet to be told" } else { "" }
}

/// Who says what the answers say of its status.
fn says(facts: &Facts, instance: &Instance) -> String {
    let own = facts.row.registration().map(|registration| registration.status);
    match &instance.operator {
        _ if facts.kept && own != Some(instance.status) => "silent, ECS says running".into(),
        Some(operator) if own != Some(instance.status) => format!("an operator says so, {}", operator.reason),
        Some(operator) if operator.status.is_some() && own == Some(Status::Draining) => {
            "its registrant leaves, which beats an operator's word".into()
        }
        _ => "its registrant says so".into(),
    }
}

fn v1(facts: &Facts, service: &Service, instance: &Instance, fail_open: bool) -> Answered {
    let list = view::v1(service, fail_open);
    let status = if facts.kept { "silent, ECS says running" } else { instance.status.as_str() };
    let hosts = list.hosts.len();
    if list.hosts.iter().any(|host| host.endpoint == instance.endpoint) {
        let because = match list.status {
            Status::Healthy => "healthy".into(),
            Status::Unhealthy => format!("fail-open: nobody is healthy, so all {hosts} unhealthy ones are listed"),
            Status::Draining => "fail-open: nobody else is left, so the draining are listed".into(),
        };
        return Answered { listed: true, because };
    }
    let because = match (list.status, hosts) {
        (Status::Healthy, 0) => format!("{status}, and SDS_FAIL_OPEN=false lists the healthy alone"),
        (Status::Healthy, 1) => format!("{status}, and 1 healthy is there"),
        (Status::Healthy, _) => format!("{status}, and {hosts} healthy are there"),
        (Status::Unhealthy, _) => format!("{status}, and fail-open lists the {hosts} unhealthy ones before it"),
        (Status::Draining, _) => "a single unhealthy instance leaves the list, also when nobody is healthy".into(),
    };
    Answered { listed: false, because }
}

#[cfg(test)]
mod tests;
