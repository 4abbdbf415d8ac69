//! What there is of each type of resources.
//!
//! - Endpoints of whatever name is asked for: a name that nobody serves has none.
//! - A cluster and a listener for every name that a service can have, so that a client which knows the registry alone
//!   (`xds:///web`) finds its way. They say nothing of who serves. Who wants all clusters gets those of the services that
//!   have rows, also of departed instances: a service that is away for a moment keeps its cluster.
//! - With a gateway, its listener, for who wants all of them, and its routes: a host for each of these services.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc};

use bytes::Bytes;

use crate::{
    registry::{Snapshot, Version},
    render::{eds_proto, gateway, proxyless},
};

/// A type of resources, in the order in which they are told: what is pointed at comes before what points there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `Cluster`
    Clusters,
    /// `ClusterLoadAssignment`
    Endpoints,
    /// `Listener`
    Listeners,
    /// `RouteConfiguration`
    Routes,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Clusters, Self::Endpoints, Self::Listeners, Self::Routes];

    /// The type with this URL.
    pub fn of(type_url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.type_url() == type_url)
    }

    /// Its URL.
    pub const fn type_url(self) -> &'static str {
        match self {
            Self::Clusters => proxyless::CLUSTER,
            Self::Endpoints => eds_proto::TYPE_URL,
            Self::Listeners => proxyless::LISTENER,
            Self::Routes => gateway::ROUTES,
        }
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clusters => "clusters",
            Self::Endpoints => "endpoints",
            Self::Listeners => "listeners",
            Self::Routes => "routes",
        }
    }

    /// Whether all can be asked for; in state of the world, what a response leaves out of those is gone.
    pub fn has_wildcard(self) -> bool {
        matches!(self, Self::Clusters | Self::Listeners)
    }
}

/// What there is.
#[derive(Debug, Clone, Copy)]
pub struct Catalog<'a> {
    /// Of services.
    pub snapshot: &'a Snapshot,
    /// Where the gateway listens, if there is one.
    pub gateway: Option<SocketAddr>,
}

/// Of what is the same for all names but for the name. The number rises with each change of its spelling, else a delta client
/// that holds the former one would keep it.
fn spelled(what: &str) -> Version {
    const SPELLING: u32 = 1;
    Version::of(&format!("{what} {SPELLING}"), &[])
}

impl Catalog<'_> {
    /// What is told to who wants all.
    pub fn all(self, kind: Kind) -> BTreeSet<Arc<str>> {
        match kind {
            Kind::Clusters => self.snapshot.known.iter().map(|name| name.as_str().into()).collect(),
            Kind::Listeners => self.gateway.iter().map(|_| gateway::NAME.into()).collect(),
            Kind::Endpoints | Kind::Routes => BTreeSet::new(),
        }
    }

    /// The version of what a name stands for, if it stands for anything.
    pub fn version(self, kind: Kind, name: &str) -> Option<Version> {
        match kind {
            Kind::Endpoints => {
                let service = self.snapshot.services.get(name);
                Some(service.map_or_else(|| Version::of(name, &[]), |service| service.version))
            }
            Kind::Clusters => proxyless::is_name(name).then(|| spelled("cluster")),
            Kind::Listeners => match self.gateway {
                Some(at) if name == gateway::NAME => Some(spelled(&at.to_string())),
                _ => proxyless::is_name(name).then(|| spelled("listener")),
            },
            Kind::Routes => self.is_gateway(name).then(|| {
                let known = self.snapshot.known.iter().map(|name| (name.as_str(), spelled("host")));
                Version::of_all(&mut known.collect::<Vec<_>>())
            }),
        }
    }

    /// What it stands for, as a whole `google.protobuf.Any`.
    pub fn resource(self, kind: Kind, name: &str) -> Bytes {
        match (kind, self.gateway) {
            (Kind::Clusters, _) => proxyless::cluster(name),
            (Kind::Listeners, Some(at)) if name == gateway::NAME => gateway::listener(at),
            (Kind::Listeners, _) => proxyless::listener(name),
            (Kind::Routes, _) => gateway::routes(self.snapshot.known.iter()),
            (Kind::Endpoints, _) => match self.snapshot.services.get(name) {
                Some(service) => service.answers.eds_proto(|| eds_proto::render(service)).clone(),
                None => eds_proto::empty(name),
            },
        }
    }

    fn is_gateway(self, name: &str) -> bool {
        self.gateway.is_some() && name == gateway::NAME
    }
}
