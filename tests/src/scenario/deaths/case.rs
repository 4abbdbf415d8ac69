//! What can happen to a task or between it and the registry, in words; the promise of each is the play's to know.

use std::{fmt, time::Duration};

/// Who is hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The app alone.
    App,
    /// The sidecar alone.
    Sidecar,
    /// The whole task.
    Both,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// `kill -9`.
    Killed(Who),
    /// SIGSTOP; the kernel goes on accepting for it.
    Frozen(Who),
    /// The app says 503.
    Sick,
    /// The app accepts, reads and never answers.
    Deaf,
    /// The connection to the registry that stands swallows everything for ever; new ones do not.
    LostConnection,
    /// One of the registry's two addresses swallows everything for ever, also what is new.
    LostAddress,
    /// Everything between sidecar and registry is swallowed for half a lease, then flows on.
    LostMoment,
}

/// All of them.
pub const CASES: [Case; 11] = [
    Case::Killed(Who::App),
    Case::Killed(Who::Sidecar),
    Case::Killed(Who::Both),
    Case::Frozen(Who::App),
    Case::Frozen(Who::Sidecar),
    Case::Frozen(Who::Both),
    Case::Sick,
    Case::Deaf,
    Case::LostConnection,
    Case::LostAddress,
    Case::LostMoment,
];

/// How one went.
#[derive(Debug, Clone)]
pub struct Seen {
    /// What happened.
    pub case: Case,
    /// What came of it in the answers.
    pub became: &'static str,
    /// How long that took; if it stayed healthy, the longest time in which nothing was heard of it.
    pub took: Duration,
    /// What is promised.
    pub bound: Duration,
    /// From the end of the trouble to healthy again, where there is an end.
    pub back: Option<Duration>,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = |who: &Who| match who {
            Who::App => "app",
            Who::Sidecar => "sidecar",
            Who::Both => "app and sidecar",
        };
        match self {
            Self::Killed(whom) => write!(f, "{} killed", who(whom)),
            Self::Frozen(whom) => write!(f, "{} frozen", who(whom)),
            Self::Sick => f.write_str("app says 503"),
            Self::Deaf => f.write_str("app accepts, never answers"),
            Self::LostConnection => f.write_str("standing connection to the registry lost"),
            Self::LostAddress => f.write_str("one of the registry's two addresses lost"),
            Self::LostMoment => f.write_str("registry out of hearing for half a lease"),
        }
    }
}
