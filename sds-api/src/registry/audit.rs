//! Who wrote what: each change that a request made in the table is one line of the log and one event, with who asked for it,
//! from where, and what stood there before and after. A heartbeat changes nothing, and is none.

use std::{borrow::Cow, net::IpAddr};

use super::Registry;
use crate::{
    clock::Timestamp,
    instance::{Row, Standing},
};

/// Who asks for a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// By name, as a policy has it; "anybody" where nobody is asked.
    pub who: Cow<'static, str>,
    /// The sender's address, if it is known.
    pub from: Option<IpAddr>,
}

/// A change that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Who asked for it.
    pub by: By,
    /// What stood there.
    pub before: String,
    /// What stands there now.
    pub after: String,
}

impl By {
    /// Somebody who is known by name.
    pub fn named(who: impl Into<Cow<'static, str>>, from: Option<IpAddr>) -> Self {
        Self { who: who.into(), from }
    }

    /// Who is on the registry's own machine.
    pub fn somebody_here(from: Option<IpAddr>) -> Self {
        Self::named("somebody on this machine", from)
    }

    /// Whoever it is.
    pub fn anybody(from: Option<IpAddr>) -> Self {
        Self::named(ANYBODY, from)
    }

    /// Whoever it is, whom the policy would refuse if it were not only observed.
    pub fn observed(from: Option<IpAddr>) -> Self {
        Self::named(OBSERVED, from)
    }

    /// Whether it is known who.
    pub fn is_known(&self) -> bool {
        ![ANYBODY, OBSERVED].contains(&&*self.who)
    }
}

const ANYBODY: &str = "anybody";
const OBSERVED: &str = "anybody, whom the policy would refuse";

impl Registry {
    /// Whether it is known in whose name.
    pub fn is_known(&self) -> bool {
        self.by.as_ref().is_some_and(By::is_known)
    }

    /// The registry in the name of who asks.
    pub fn by(&self, by: By) -> Self {
        Self { by: Some(by), ..self.clone() }
    }
}

/// Writes it to the log.
pub fn log(row: &Row, change: &Written) {
    let Written { by, before, after } = change;
    let from = by.from.map(tracing::field::display);
    let incarnation = row.at.incarnation;
    tracing::info!(instance = %row.key, who = %by.who, from, incarnation, before, after, "written");
}

/// A row in a few words.
pub fn words(row: Option<&Row>, now: Timestamp) -> String {
    let Some(row) = row else { return "nothing".into() };
    let mut words = match &row.standing {
        Standing::Gone(_) => vec!["deregistered".to_owned()],
        Standing::In(standing) => {
            let content = &standing.content;
            let mut words = vec![standing.status.as_str().to_owned()];
            words.extend(content.weight.map(|weight| format!("weight {weight}")));
            words.extend(content.canary.then(|| "canary".to_owned()));
            let revision = content.revision.as_str();
            words.extend((!revision.is_empty()).then(|| format!("revision {revision}")));
            words
        }
    };
    if let Some(operator) = row.active_override(now.seconds()) {
        let said = [
            operator.status.map(|status| status.as_str().to_owned()),
            operator.weight.map(|weight| format!("weight {weight}")),
            operator.canary.map(|canary| format!("canary {canary}")),
        ];
        words.extend(said.into_iter().flatten().map(|word| format!("override {word}")));
    }
    words.join(", ")
}
