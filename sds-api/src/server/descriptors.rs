//! How many connections the process may hold: the usual soft limit of 1,024 open files is raised as far as it may be,
//! and what the store, the log and the runtime need is kept free, so that a crowd of idle clients cannot lock out the
//! registry's own calls.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are no client's.
const OWN: u64 = 128;

/// Raises the soft limit for `wanted` connections of each of so many listeners; returns how many each may have.
pub fn allow(each: usize, listeners: usize) -> usize {
    let (listeners, wanted) = (listeners.max(1), each.saturating_mul(listeners.max(1)));
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let needed = wanted as u64 + OWN;
    let raised = maximum.map_or(needed, |maximum| maximum.min(needed));
    let current = current.unwrap_or(u64::MAX);
    let limit = if current < raised && setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum }).is_ok() {
        raised
    } else {
        current
    };
    let connections = limit.saturating_sub(OWN).max(16).min(wanted as u64);
    if connections < wanted as u64 {
        tracing::warn!(connections, wanted, "the limit of open files allows fewer connections");
    }
    usize::try_from(connections).map_or(each, |all| (all / listeners).max(1))
}
