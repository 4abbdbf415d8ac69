//! Whether who asks may do what they ask for. Pure: the policy and the facts go in, a yes or the reason comes out.
//!
//! The claimed address must be the sender's own, unless the token may speak on behalf of others. A task's address was told
//! by ECS when it proved its role, and its lease token is bound to it.

use std::net::IpAddr;

use super::policy::{Mode, Policy, TaskFacts, TokenGrant};
use crate::http::Peer;

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed<'a> {
    /// Register, renew, drain or deregister an instance of a service at this address.
    Register {
        /// The service.
        service: &'a str,
        /// The address.
        ip: IpAddr,
    },
    /// Set a weight or an override of a service's instances.
    Operate {
        /// The service.
        service: &'a str,
    },
    /// Fetch all that is known, as siblings do.
    Snapshot,
    /// Deliver what ECS says.
    Events,
}

/// Why not. The words are for the client: no secret, nothing that it did not send.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Nothing was shown.
    #[error("this needs an Authorization header: {0}")]
    Missing(&'static str),
    /// What was shown proves nothing.
    #[error("the Authorization header proves nothing: {0}")]
    Unproven(&'static str),
    /// Whoever it is may not do this.
    #[error("{who} may not do this: {why}")]
    Forbidden {
        /// Who, by name.
        who: String,
        /// What is missing.
        why: String,
    },
    /// Whether it is true cannot be found out now.
    #[error("who asks cannot be verified now, try again: {0}")]
    Away(&'static str),
}

impl Deed<'_> {
    /// For counting.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Register { .. } => "register",
            Self::Operate { .. } => "operate",
            Self::Snapshot => "snapshot",
            Self::Events => "events",
        }
    }
}

impl Denied {
    /// For counting.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Missing(_) => "missing",
            Self::Unproven(_) => "unproven",
            Self::Forbidden { .. } => "forbidden",
            Self::Away(_) => "away",
        }
    }
}

fn forbidden<T>(who: impl Into<String>, why: impl Into<String>) -> Result<T, Denied> {
    Err(Denied::Forbidden { who: who.into(), why: why.into() })
}

/// Whether the holder of a static token may do it.
pub fn token_may(policy: &Policy, token: &TokenGrant, deed: Deed<'_>, peer: Option<Peer>) -> Result<(), Denied> {
    let no = |why: String| forbidden(format!("token {}", token.name), why);
    match deed {
        Deed::Register { service, .. } if policy.guards(service).mode == Mode::Aws => {
            no(format!("{service} asks for the role of an ECS task"))
        }
        Deed::Register { service, .. } if !token.may_register(service) => no(format!("it does not register {service}")),
        Deed::Register { ip, .. } if !token.reaches(ip) => no(format!("{ip} is outside its networks")),
        Deed::Register { ip, .. } if !token.on_behalf => match is_own(ip, peer) {
            Ok(()) => Ok(()),
            Err(why) => no(why),
        },
        Deed::Operate { service } if !token.may_operate(service) => no(format!("it does not operate {service}")),
        Deed::Snapshot if !token.snapshot => no("it does not fetch snapshots".into()),
        Deed::Events if !token.events => no("it does not deliver events".into()),
        _ => Ok(()),
    }
}

/// Whether a task of which AWS says this may do it.
pub fn task_may(policy: &Policy, task: TaskFacts<'_>, deed: Deed<'_>) -> Result<(), Denied> {
    let no = |why: String| forbidden(format!("a task of {}", task.role), why);
    match deed {
        Deed::Register { service, ip } if policy.task_may(task, service, ip) => Ok(()),
        Deed::Register { service, ip } => {
            let place = format!("in {}, family {}, group {}", task.cluster, task.family, task.group);
            no(format!("the policy does not let it register {service} at {ip} ({place})"))
        }
        _ => no("tasks only register".into()),
    }
}

/// Whether the address is the sender's.
pub fn is_own(ip: IpAddr, peer: Option<Peer>) -> Result<(), String> {
    match peer {
        Some(peer) if peer.hidden => {
            Err("the request comes through a proxy that does not name its sender (PROXY protocol v2)".into())
        }
        Some(peer) if peer.addr.ip().to_canonical() == ip.to_canonical() => Ok(()),
        Some(peer) => {
            let own = peer.addr.ip().to_canonical();
            Err(format!(
                "it registers its own address, {own}, and not {ip} (behind a proxy: SDS_TRUSTED_PROXIES, or on_behalf)"
            ))
        }
        None => Err("the sender is unknown".into()),
    }
}

/// Whether the sender is on this machine.
pub fn is_local(peer: Option<Peer>) -> bool {
    peer.is_some_and(|peer| !peer.hidden && peer.addr.ip().to_canonical().is_loopback())
}

#[cfg(test)]
mod tests;
