//! The types of resources that are served, and what there is of each: endpoints of whatever name is asked for, and a listener
//! and a cluster for every name that a service can have, so that a client which knows the registry alone (`xds:///web`)
//! finds its way. Those two say nothing of who serves; that is for the endpoints, which may be none.

use bytes::Bytes;

use crate::{
    registry::{Snapshot, Version},
    render::{eds_proto, proxyless},
};

/// A type of resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `ClusterLoadAssignment`
    Endpoints,
    /// `Cluster`
    Clusters,
    /// `Listener`
    Listeners,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Endpoints, Self::Clusters, Self::Listeners];

    /// The type with this URL.
    pub fn of(type_url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.type_url() == type_url)
    }

    /// Its URL.
    pub fn type_url(self) -> &'static str {
        match self {
            Self::Endpoints => eds_proto::TYPE_URL,
            Self::Clusters => proxyless::CLUSTER,
            Self::Listeners => proxyless::LISTENER,
        }
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Endpoints => "endpoints",
            Self::Clusters => "clusters",
            Self::Listeners => "listeners",
        }
    }

    /// Whether, in state of the world, what a response leaves out is gone.
    pub fn is_told_whole(self) -> bool {
        self != Self::Endpoints
    }

    /// The version of what a name stands for, if it can stand for anything.
    pub fn version(self, snapshot: Option<&Snapshot>, name: &str) -> Option<Version> {
        if self != Self::Endpoints {
            return proxyless::is_name(name).then(|| Version::of(name, &[]));
        }
        let service = snapshot.and_then(|snapshot| snapshot.services.get(name));
        Some(service.map_or_else(|| Version::of(name, &[]), |service| service.version))
    }

    /// What it stands for, as a whole `google.protobuf.Any`.
    pub fn resource(self, snapshot: &Snapshot, name: &str) -> Bytes {
        match self {
            Self::Clusters => proxyless::cluster(name),
            Self::Listeners => proxyless::listener(name),
            Self::Endpoints => match snapshot.services.get(name) {
                Some(service) => service.answers.eds_proto(|| eds_proto::render(service)).clone(),
                None => eds_proto::empty(name),
            },
        }
    }
}
