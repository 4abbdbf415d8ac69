//! The two variants of the protocol: how a request of each is heard, and how what is due is spelled.

use prost::Message;

use super::{
    catalog::{Catalog, Kind},
    subscription::{Heard, Push, Subscription, TooMuch},
    wire::{
        DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Node, Refusal, Resource,
    },
};
use crate::registry::Version;

/// A variant of the protocol.
pub trait Variant: Send + 'static {
    /// What a client says.
    type Request: Message + Default + Said + 'static;
    /// What it is told.
    type Response: Message + Default + 'static;
    /// For counting.
    const NAME: &'static str;

    /// Takes a request in.
    fn hear(
        kind: Kind,
        subscription: &mut Subscription,
        request: &Self::Request,
        catalog: Catalog<'_>,
    ) -> Result<Heard, TooMuch>;

    /// What is due now.
    fn push(kind: Kind, subscription: &mut Subscription, catalog: Catalog<'_>) -> Option<Push>;

    /// Spells what is due.
    fn spell(kind: Kind, push: Push, catalog: Catalog<'_>) -> Self::Response;
}

/// What requests of both variants say.
pub trait Said {
    /// Who asks, if it is said again.
    fn node(&mut self) -> Option<Node>;
    /// Of which type.
    fn type_url(&self) -> &str;
    /// Why the latest response was refused, if it was.
    fn refusal(&self) -> Option<&Refusal>;
}

/// State of the world.
#[derive(Debug)]
pub struct Sotw;

/// Incremental.
#[derive(Debug)]
pub struct Delta;

impl Variant for Sotw {
    type Request = DiscoveryRequest;
    type Response = DiscoveryResponse;
    const NAME: &'static str = "sotw";

    fn hear(
        kind: Kind,
        subscription: &mut Subscription,
        request: &DiscoveryRequest,
        _: Catalog<'_>,
    ) -> Result<Heard, TooMuch> {
        let refused = request.error_detail.is_some();
        subscription.hear(&request.resource_names, &request.response_nonce, refused, kind.has_wildcard())
    }

    fn push(kind: Kind, subscription: &mut Subscription, catalog: Catalog<'_>) -> Option<Push> {
        subscription.push(kind.has_wildcard(), || catalog.all(kind), |name| catalog.version(kind, name))
    }

    fn spell(kind: Kind, push: Push, catalog: Catalog<'_>) -> DiscoveryResponse {
        let there = push.resources.iter().filter(|(_, version)| version.is_some());
        DiscoveryResponse {
            version_info: push.version.to_string(),
            resources: there.map(|(name, _)| catalog.resource(kind, name)).collect(),
            type_url: kind.type_url().to_owned(),
            nonce: push.nonce,
        }
    }
}

impl Variant for Delta {
    type Request = DeltaDiscoveryRequest;
    type Response = DeltaDiscoveryResponse;
    const NAME: &'static str = "delta";

    fn hear(
        kind: Kind,
        subscription: &mut Subscription,
        request: &DeltaDiscoveryRequest,
        catalog: Catalog<'_>,
    ) -> Result<Heard, TooMuch> {
        let names = (request.resource_names_subscribe.as_slice(), request.resource_names_unsubscribe.as_slice());
        let (held, refused) = (&request.initial_resource_versions, request.error_detail.is_some());
        let (nonce, current) = (&request.response_nonce, |name: &str| catalog.version(kind, name));
        subscription.hear_delta(names, held, nonce, refused, kind.has_wildcard(), current)
    }

    fn push(kind: Kind, subscription: &mut Subscription, catalog: Catalog<'_>) -> Option<Push> {
        subscription.push(false, || catalog.all(kind), |name| catalog.version(kind, name))
    }

    fn spell(kind: Kind, push: Push, catalog: Catalog<'_>) -> DeltaDiscoveryResponse {
        let one = |(name, version): &(std::sync::Arc<str>, Option<Version>)| {
            let version = (*version)?.to_string();
            Some(Resource { version, resource: catalog.resource(kind, name), name: name.to_string() })
        };
        let none = push.resources.iter().filter(|(_, version)| version.is_none());
        DeltaDiscoveryResponse {
            system_version_info: push.version.to_string(),
            resources: push.resources.iter().filter_map(one).collect(),
            type_url: kind.type_url().to_owned(),
            nonce: push.nonce,
            removed_resources: none.map(|(name, _)| name.to_string()).collect(),
        }
    }
}

impl Said for DiscoveryRequest {
    fn node(&mut self) -> Option<Node> {
        self.node.take()
    }

    fn type_url(&self) -> &str {
        &self.type_url
    }

    fn refusal(&self) -> Option<&Refusal> {
        self.error_detail.as_ref()
    }
}

impl Said for DeltaDiscoveryRequest {
    fn node(&mut self) -> Option<Node> {
        self.node.take()
    }

    fn type_url(&self) -> &str {
        &self.type_url
    }

    fn refusal(&self) -> Option<&Refusal> {
        self.error_detail.as_ref()
    }
}
