//! The two variants of the protocol: how a request of each is heard, and how what is due is spelled.

use bytes::Bytes;
use prost::Message;

use super::{
    kind::Kind,
    subscription::{Heard, Push, Subscription, TooMany},
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
        subscription: &mut Subscription,
        request: &Self::Request,
        current: impl Fn(&str) -> Option<Version>,
    ) -> Result<Heard, TooMany>;

    /// What is due now.
    fn push(kind: Kind, subscription: &mut Subscription, current: impl Fn(&str) -> Option<Version>) -> Option<Push>;

    /// Spells what is due; `resource` has each name's.
    fn spell(kind: Kind, push: Push, resource: impl Fn(&str) -> Bytes) -> Self::Response;
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
        subscription: &mut Subscription,
        request: &DiscoveryRequest,
        _: impl Fn(&str) -> Option<Version>,
    ) -> Result<Heard, TooMany> {
        subscription.hear(&request.resource_names, &request.response_nonce, request.error_detail.is_some())
    }

    fn push(kind: Kind, subscription: &mut Subscription, current: impl Fn(&str) -> Option<Version>) -> Option<Push> {
        subscription.push(kind.is_told_whole(), current)
    }

    fn spell(kind: Kind, push: Push, resource: impl Fn(&str) -> Bytes) -> DiscoveryResponse {
        let there = push.resources.iter().filter(|(_, version)| version.is_some());
        DiscoveryResponse {
            version_info: push.version.to_string(),
            resources: there.map(|(name, _)| resource(name)).collect(),
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
        subscription: &mut Subscription,
        request: &DeltaDiscoveryRequest,
        current: impl Fn(&str) -> Option<Version>,
    ) -> Result<Heard, TooMany> {
        let names = (request.resource_names_subscribe.as_slice(), request.resource_names_unsubscribe.as_slice());
        let (held, refused) = (&request.initial_resource_versions, request.error_detail.is_some());
        subscription.hear_delta(names, held, &request.response_nonce, refused, current)
    }

    fn push(_: Kind, subscription: &mut Subscription, current: impl Fn(&str) -> Option<Version>) -> Option<Push> {
        subscription.push(false, current)
    }

    fn spell(kind: Kind, push: Push, resource: impl Fn(&str) -> Bytes) -> DeltaDiscoveryResponse {
        let one = |(name, version): &(std::sync::Arc<str>, Option<Version>)| {
            let version = (*version)?.to_string();
            Some(Resource { version, resource: resource(name), name: name.to_string() })
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
