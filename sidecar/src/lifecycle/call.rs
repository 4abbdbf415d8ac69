//! One call of the registry and how it ended: the words between the lifecycle, which decides, and the client, which
//! speaks HTTP.

use std::time::Duration;

use sds_types::{Health, Registered, Sequence};

/// What to tell the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// Register, change the health or renew: one PUT for all.
    Register(Health),
    /// Mark DRAINING, or renew it.
    Drain,
    /// Remove the instance.
    Deregister(Why),
}

/// Why an instance is removed, as the registry keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// It leaves this address.
    Goodbye,
    /// It has been unhealthy for too long.
    Unhealthy,
}

/// One call to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// What to say.
    pub call: Call,
    /// Its place in the order of all writes to this ip:port.
    pub sequence: Sequence,
    /// Whether the last connection is not to be trusted: take another one, of another address.
    pub fresh: bool,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The registry has it; what it told, if it told anything.
    Done(Option<Registered>),
    /// Another write stands at this ip:port.
    Superseded(Sequence),
    /// Refused for good: a mistake in the configuration, here or there. Not stored.
    Refused(String),
    /// Did not work this time.
    Failed {
        /// What happened, for people.
        reason: String,
        /// Whether the registry may have stored it all the same.
        doubt: bool,
        /// What the registry asked for.
        retry_after: Option<Duration>,
    },
}
