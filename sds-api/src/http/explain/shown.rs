//! An explanation as JSON for programs, and as a page for a terminal: first how it stands, then each answer and why, then
//! all that this was made of.

use sds_types::{Locality, Sequence, Tags, Weight};
use serde::Serialize;

use super::super::{
    events::{self, EventShown},
    operator::{self, OverrideShown},
    table,
};
use crate::{
    clock::{Timestamp, spell},
    instance::{Content, Override, Registration},
    registry::{
        Event, Facts, LastHeard, Looked,
        explain::{Answered, Explained},
    },
};

/// The explanation of one ip:port.
#[derive(Serialize)]
pub struct Shown<'a> {
    service: &'a str,
    endpoint: &'a str,
    /// Both, safe to print.
    #[serde(skip)]
    name: &'a str,
    state: &'static str,
    because: String,
    answers: Answers,
    #[serde(skip_serializing_if = "Option::is_none")]
    quarantine: Option<&'a str>,
    #[serde(flatten)]
    known: Option<KnownShown<'a>>,
    events: Vec<EventShown<'a>>,
}

#[derive(Serialize)]
struct Answers {
    v1: AnsweredShown,
    eds: AnsweredShown,
    native: AnsweredShown,
}

#[derive(Serialize)]
struct AnsweredShown {
    listed: bool,
    /// As EDS says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    health_status: Option<&'static str>,
    because: String,
}

#[derive(Serialize)]
struct KnownShown<'a> {
    registrant: Registrant<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    says: Option<Says<'a>>,
    #[serde(rename = "override", skip_serializing_if = "Option::is_none")]
    operator: Option<Operator<'a>>,
    heard: Option<HeardShown<'a>>,
    lease_ms: u128,
    late: bool,
    held: bool,
    store: &'static str,
    #[serde(skip)]
    facts: &'a Facts,
}

#[derive(Serialize)]
struct Registrant<'a> {
    origin: &'a str,
    #[serde(flatten)]
    at: Sequence,
    rev: u64,
    tenant: String,
    /// For a row that lives by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
}

#[derive(Serialize)]
struct Says<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<Weight>,
    canary: bool,
    revision: &'a str,
    locality: &'a Locality,
    instance_id: &'a str,
    task_arn: &'a str,
    service_repo_name: &'a str,
    tags: &'a Tags,
}

#[derive(Serialize)]
struct Operator<'a> {
    /// Whether it counts: its time is not over, and it was meant for who stands there.
    counts: bool,
    #[serde(flatten)]
    said: OverrideShown<'a>,
    #[serde(skip)]
    words: String,
}

#[derive(Serialize)]
struct HeardShown<'a> {
    age_ms: u128,
    at: String,
    /// A replica's id, or `this replica`.
    by: &'a str,
}

impl<'a> Shown<'a> {
    /// What is shown of what was found.
    pub fn of(
        service: &'a str,
        endpoint: &'a str,
        looked: &'a Looked,
        explained: Option<&Explained>,
        events: &'a [Event],
        wall: Timestamp,
    ) -> Self {
        let quarantine = looked.quarantine.as_deref();
        let left_out = format!("its row in the table is left out: {}", quarantine.unwrap_or_default());
        let (state, because) = match (explained, quarantine) {
            (Some(explained), None) => (explained.state.as_str(), explained.because.clone()),
            (Some(explained), Some(_)) => (explained.state.as_str(), format!("{}; {left_out}", explained.because)),
            (None, _) => ("quarantined", left_out.clone()),
        };
        let answered = |answer: fn(&Explained) -> &Answered| match explained.map(answer) {
            Some(answer) => {
                AnsweredShown { listed: answer.listed, health_status: None, because: answer.because.clone() }
            }
            None => AnsweredShown { listed: false, health_status: None, because: left_out.clone() },
        };
        let health_status = explained.and_then(|explained| explained.status).map(crate::render::eds_json::health);
        Self {
            service,
            endpoint,
            name: &looked.name,
            state,
            because,
            answers: Answers {
                v1: answered(|explained| &explained.v1),
                eds: AnsweredShown { health_status, ..answered(|explained| &explained.eds) },
                native: answered(|explained| &explained.native),
            },
            quarantine,
            known: looked.facts.as_ref().map(|facts| KnownShown::of(facts, wall)),
            events: events.iter().map(EventShown::of).collect(),
        }
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let answers = [("v1", &self.answers.v1), ("EDS", &self.answers.eds), ("native", &self.answers.native)];
        let answers = answers.map(|(name, answer)| {
            let listed = answer.health_status.unwrap_or(if answer.listed { "yes" } else { "no" });
            [name.to_owned(), listed.to_owned(), answer.because.clone()]
        });
        let mut text = format!("{}: {}\n{}\n\n", self.name, self.state, self.because);
        text += &table::text(["ANSWER", "LISTED", "BECAUSE"], answers.into_iter());
        if let Some(known) = &self.known {
            text.push('\n');
            text += &table::aligned(known.lines().into_iter());
        }
        if !self.events.is_empty() {
            text.push('\n');
            text += &events::text(&self.events);
        }
        text
    }
}

impl<'a> KnownShown<'a> {
    fn of(facts: &'a Facts, wall: Timestamp) -> Self {
        let row = &facts.row;
        let registration = row.registration();
        let expires = |standing: &Registration| Timestamp::of_seconds(standing.expire_time).iso_seconds();
        let counts = row.active_override(wall.seconds()).is_some();
        Self {
            registrant: Registrant {
                origin: registration.map_or("", |registration| registration.origin.as_str()),
                at: row.at,
                rev: row.rev,
                tenant: row.tenant(),
                expires: registration.filter(|_| row.is_foreign()).map(expires),
            },
            says: registration.map(|registration| Says::of(registration, &registration.content)),
            operator: row.operator.as_deref().map(|said| Operator::of(said, counts)),
            heard: facts.heard.as_ref().map(HeardShown::of),
            lease_ms: facts.lease.as_millis(),
            late: facts.late,
            held: facts.held,
            store: match (facts.owed, facts.dirty) {
                (true, _) => "is yet to be told what is known here",
                (false, true) => "was seen without this, or with an older one: the next heartbeat writes it again",
                (false, false) => "has it",
            },
            facts,
        }
    }

    fn lines(&self) -> Vec<[String; 2]> {
        let Registrant { origin, at, rev, tenant, expires } = &self.registrant;
        let place = match expires {
            Some(expires) => format!("another registry, expires at {expires}"),
            None => format!("{origin} incarnation {}, seq {}, rev {rev}, tenant {tenant}", at.incarnation, at.seq),
        };
        let mut lines = vec![["registrant".to_owned(), place.trim_start().to_owned()]];
        if let Some(says) = &self.says {
            lines.push(["says".to_owned(), says.words()]);
        }
        if let Some(operator) = &self.operator {
            let counts = if operator.counts { "" } else { " (counts no more)" };
            lines.push(["override".to_owned(), format!("{}{counts}", operator.words)]);
        }
        let lease = spell(self.facts.lease);
        let late = if self.late { ", late" } else { "" };
        let heard = match (&self.heard, &self.facts.heard) {
            (Some(shown), Some(heard)) => {
                format!("{} ago at {} by {}, lease {lease}{late}", spell(heard.age), shown.at, shown.by)
            }
            _ => format!("never, lease {lease}"),
        };
        lines.push(["heard".to_owned(), heard]);
        lines.push(["store".to_owned(), self.store.to_owned()]);
        lines
    }
}

impl<'a> Says<'a> {
    fn of(registration: &Registration, content: &'a Content) -> Self {
        Self {
            status: registration.status.as_str(),
            weight: content.weight,
            canary: content.canary,
            revision: content.revision.as_str(),
            locality: &content.locality,
            instance_id: content.instance_id.as_str(),
            task_arn: content.task_arn.as_str(),
            service_repo_name: content.service_repo_name.as_str(),
            tags: &content.tags,
        }
    }

    fn words(&self) -> String {
        let named = |name: &str, value: &str| (!value.is_empty()).then(|| format!("{name} {value}"));
        let parts = [
            Some(self.status.to_owned()),
            self.weight.map(|weight| format!("weight {weight}")),
            self.canary.then(|| "canary".to_owned()),
            named("zone", self.locality.zone.as_str()),
            named("revision", self.revision),
            named("instance", self.instance_id),
            named("task", self.task_arn),
        ];
        let tags = self.tags.iter().map(|(name, value)| format!("{name}={value}"));
        parts.into_iter().flatten().chain(tags).collect::<Vec<_>>().join(", ")
    }
}

impl<'a> Operator<'a> {
    fn of(said: &'a Override, counts: bool) -> Self {
        Self { counts, said: OverrideShown::of(said), words: operator::words(said) }
    }
}

impl<'a> HeardShown<'a> {
    fn of(heard: &'a LastHeard) -> Self {
        Self {
            age_ms: heard.age.as_millis(),
            at: heard.at.iso(),
            by: heard.by.as_ref().map_or("this replica", |id| id.as_str()),
        }
    }
}
