//! What a service's snapshot means to a client, after every rule. Renderers only spell it.
//!
//! - EDS shows every instance in service with its health, grouped by locality. A locality's weight is the sum of
//!   its healthy endpoints' weights, or of all of them if none is healthy: gRPC picks localities by weight and
//!   ignores one without. An unset weight is 1.
//! - v1 has no health, so its list decides: the healthy; if none, all unhealthy when they are two or more (many that
//!   fail at once are more likely a bad check than a dead service); else all draining. A single unhealthy instance
//!   leaves: that is what its owner asked for.

use std::collections::BTreeMap;

use sds_types::Locality;

use crate::{
    instance::Status,
    registry::{Instance, Service},
};

/// Endpoints that share a place.
#[derive(Debug)]
pub struct LocalityView<'a> {
    /// The place; exactly one entry each.
    pub locality: &'a Locality,
    /// Above 0.
    pub weight: u32,
    /// By ip and port.
    pub endpoints: Vec<&'a Instance>,
}

/// A service for EDS, localities by region and zone.
pub fn eds(service: &Service) -> Vec<LocalityView<'_>> {
    let mut places: BTreeMap<&Locality, Vec<&Instance>> = BTreeMap::new();
    for instance in &service.instances {
        places.entry(&instance.content.locality).or_default().push(instance);
    }
    let views = places.into_iter().map(|(locality, endpoints)| {
        let healthy = endpoints.iter().filter(|i| i.status == Status::Healthy).map(|i| weight(i)).sum();
        let weight = if healthy > 0 { healthy } else { endpoints.iter().map(|i| weight(i)).sum() };
        LocalityView { locality, weight, endpoints }
    });
    views.collect()
}

/// An instance's weight as EDS states it.
pub fn weight(instance: &Instance) -> u32 {
    instance.content.weight.map_or(1, |weight| weight.get().into())
}

/// A service for v1.
#[derive(Debug)]
pub struct HostList<'a> {
    /// By zone, ip, port.
    pub hosts: Vec<&'a Instance>,
    /// The status of all of them.
    pub status: Status,
    /// Whether these are not the healthy ones.
    pub fail_open: bool,
}

/// The v1 list; without `fail_open` it holds the healthy only.
pub fn v1(service: &Service, fail_open: bool) -> HostList<'_> {
    let having = |status| service.instances.iter().filter(move |i| i.status == status).collect::<Vec<_>>();
    let healthy = having(Status::Healthy);
    if !healthy.is_empty() || !fail_open {
        return HostList { hosts: healthy, status: Status::Healthy, fail_open: false };
    }
    let unhealthy = having(Status::Unhealthy);
    let (status, hosts) = match unhealthy.len() {
        2.. => (Status::Unhealthy, unhealthy),
        _ => (Status::Draining, having(Status::Draining)),
    };
    HostList { fail_open: !hosts.is_empty(), status, hosts }
}

#[cfg(test)]
mod tests;
