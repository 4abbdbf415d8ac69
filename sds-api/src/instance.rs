//! What the registry knows of one ip:port of one service: who stands there, in which state, and with what content.
//!
//! These are the words of the deciding code: no attribute of the store and no field of a wire body appears here.

use std::{fmt, sync::Arc};

use sds_types::{
    Endpoint, Health, InstanceId, Label, Locality, Revision, Sequence, ServiceName, Tags, TaskArn, Weight,
};

/// What an instance is called: the store's two keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The service that it serves.
    pub service: ServiceName,
    /// Where it listens.
    pub endpoint: Endpoint,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service, self.endpoint)
    }
}

/// What its registrant says of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Fit for traffic.
    Healthy,
    /// Registered, not fit.
    Unhealthy,
    /// About to leave: no new requests. Only a higher incarnation ends it.
    Draining,
}

impl Status {
    /// As the native API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Draining => "draining",
        }
    }
}

impl From<Health> for Status {
    fn from(health: Health) -> Self {
        match health {
            Health::Healthy => Self::Healthy,
            Health::Unhealthy => Self::Unhealthy,
        }
    }
}

/// Which dialect wrote a registration; it decides the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A sidecar of ours: has an incarnation.
    Native,
    /// cookpad/sds's JSON.
    Cookpad,
    /// lyft/discovery's form.
    Lyft,
    /// kumonos-sds's list of hosts.
    Kumonos,
}

impl Origin {
    /// As the table and the native API spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Cookpad => "cookpad",
            Self::Lyft => "lyft",
            Self::Kumonos => "kumonos",
        }
    }

    /// Reads the table's word; a dialect of a newer release is a legacy one, whatever its name.
    pub fn parse(text: &str) -> Self {
        match text {
            "native" => Self::Native,
            "lyft" => Self::Lyft,
            "kumonos" => Self::Kumonos,
            _ => Self::Cookpad,
        }
    }
}

/// Why a row is no longer in service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// Its owner left.
    Deregistered,
    /// Its owner left because the app stayed unfit.
    Unhealthy,
    /// ECS says that the task stopped.
    Stopped,
}

/// All of a registration but its place and its order: equal content means that nothing is to be written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Content {
    /// What runs.
    pub revision: Revision,
    /// Share of traffic.
    pub weight: Option<Weight>,
    /// For subset routing.
    pub canary: bool,
    /// Where it runs.
    pub locality: Locality,
    /// Host or task id.
    pub instance_id: InstanceId,
    /// The ECS task; routes nothing.
    pub task_arn: TaskArn,
    /// lyft/discovery's index of services by repository.
    pub service_repo_name: Label<256>,
    /// Other tags.
    pub tags: Tags,
}

impl Content {
    /// Whose content it is: the task's, else the instance's, else this incarnation's.
    pub fn tenant(&self, at: Sequence) -> String {
        let named = [self.task_arn.as_str(), self.instance_id.as_str()].into_iter().find(|word| !word.is_empty());
        named.map_or_else(|| at.incarnation.to_string(), str::to_owned)
    }
}

/// A row of the store that could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Whose.
    pub key: Key,
    /// The registrant's order.
    pub at: Sequence,
    /// The store's order of writes to this row within an incarnation.
    pub rev: u64,
    /// In service, or a tombstone.
    pub standing: Standing,
    /// What an operator laid over it.
    pub operator: Option<Arc<Override>>,
}

/// What an operator says of an instance; it wins over its registrant until it ends by itself or is taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// Unhealthy or draining; nobody is declared healthy.
    pub status: Option<Status>,
    /// Share of traffic.
    pub weight: Option<Weight>,
    /// For subset routing.
    pub canary: Option<bool>,
    /// Why.
    pub reason: Label<256>,
    /// Who said so.
    pub who: Label<64>,
    /// When it ends, in epoch seconds.
    pub until: u64,
    /// Of which tenant of the address it speaks: [`Row::tenant`]. It survives a sidecar's restart, not the address's reuse.
    pub tenant: String,
}

/// Where a row stands among all that ever stood there: incarnation, whether it ended, seq, rev.
pub type Order = (u64, bool, u64, u64);

/// Whether a row is in service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// In service.
    In(Registration),
    /// A tombstone: it keeps late writers out.
    Gone(Gone),
}

/// A row in service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// What its registrant says.
    pub status: Status,
    /// Shared with every snapshot that holds it.
    pub content: Arc<Content>,
    /// Who wrote it.
    pub origin: Origin,
    /// A replica saw it silent for a lease: one that starts does not serve it.
    pub lost: bool,
    /// When DynamoDB's garbage collection may take the row, in epoch seconds; no rule of ours reads it.
    pub expire_time: u64,
}

impl Row {
    /// The registration, unless this is a tombstone.
    pub fn registration(&self) -> Option<&Registration> {
        match &self.standing {
            Standing::In(registration) => Some(registration),
            Standing::Gone(_) => None,
        }
    }

    /// The same, to be changed.
    pub fn registration_mut(&mut self) -> Option<&mut Registration> {
        match &mut self.standing {
            Standing::In(registration) => Some(registration),
            Standing::Gone(_) => None,
        }
    }

    /// What an operator laid over it, if that counts now (in epoch seconds) and was meant for who stands there.
    pub fn active_override(&self, now: u64) -> Option<&Arc<Override>> {
        let operator = self.operator.as_ref()?;
        (operator.until > now && self.registration().is_some() && operator.tenant == self.tenant()).then_some(operator)
    }

    /// Who holds the address, as an override remembers it.
    pub fn tenant(&self) -> String {
        let registration = self.registration();
        registration.map_or_else(|| self.at.incarnation.to_string(), |standing| standing.content.tenant(self.at))
    }

    /// Whether a registry of the cookpad/sds kind wrote it: it has no incarnation, and lives by `expire_time` alone.
    pub fn is_foreign(&self) -> bool {
        self.at.incarnation == 0
    }

    /// The fold's order: the higher incarnation; within one its end, which is final; then the later write. The store's count
    /// comes last, because a table that somebody emptied counts anew, by the clock of whoever writes first.
    pub fn order(&self) -> Order {
        (self.at.incarnation, self.registration().is_none(), self.at.seq, self.rev)
    }
}
