//! Spells a service as an encoded `ClusterLoadAssignment`, wrapped as a resource, for discovery streams.

use bytes::Bytes;
use envoy_types::pb::{
    envoy::config::{
        core::v3::{Address, HealthStatus, Locality, Metadata, SocketAddress, address, socket_address::PortSpecifier},
        endpoint::v3::{ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier},
    },
    google::protobuf::{Any, Struct, UInt32Value, Value, value::Kind},
};
use prost::Message;

use crate::{
    instance::Status,
    registry::{Instance, Service},
    view,
};

/// The type of these resources.
pub const TYPE_URL: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";

/// The assignment of a service, as a whole `google.protobuf.Any`.
pub fn render(service: &Service) -> Bytes {
    assignment(service.name.as_str(), view::eds(service))
}

/// The assignment for a name that nobody serves: without it a cluster would keep warming, or keep its old hosts.
pub fn empty(name: &str) -> Bytes {
    assignment(name, Vec::new())
}

fn assignment(name: &str, localities: Vec<view::LocalityView<'_>>) -> Bytes {
    let endpoints = localities.iter().map(|place| LocalityLbEndpoints {
        locality: Some(Locality {
            region: place.locality.region.as_str().to_owned(),
            zone: place.locality.zone.as_str().to_owned(),
            ..Locality::default()
        }),
        load_balancing_weight: Some(UInt32Value { value: place.weight }),
        lb_endpoints: place.endpoints.iter().map(|instance| lb_endpoint(instance)).collect(),
        ..LocalityLbEndpoints::default()
    });
    let assignment = ClusterLoadAssignment {
        cluster_name: name.to_owned(),
        endpoints: endpoints.collect(),
        ..ClusterLoadAssignment::default()
    };
    Any { type_url: TYPE_URL.to_owned(), value: assignment.encode_to_vec() }.encode_to_vec().into()
}

fn lb_endpoint(instance: &Instance) -> LbEndpoint {
    let address = address::Address::SocketAddress(SocketAddress {
        address: instance.endpoint.ip().to_string(),
        port_specifier: Some(PortSpecifier::PortValue(instance.endpoint.port().into())),
        ..SocketAddress::default()
    });
    let endpoint = Endpoint { address: Some(Address { address: Some(address) }), ..Endpoint::default() };
    let health = match instance.status {
        Status::Healthy => HealthStatus::Healthy,
        Status::Unhealthy => HealthStatus::Unhealthy,
        Status::Draining => HealthStatus::Draining,
    };
    LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(endpoint)),
        health_status: health.into(),
        metadata: Some(Metadata {
            filter_metadata: [("envoy.lb".to_owned(), metadata(instance))].into(),
            ..Metadata::default()
        }),
        load_balancing_weight: Some(UInt32Value { value: view::weight(instance) }),
    }
}

/// For subset routing.
fn metadata(instance: &Instance) -> Struct {
    let content = &instance.content;
    let text = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
    let mut fields: std::collections::HashMap<_, _> =
        content.tags.iter().map(|(name, value)| (name.to_owned(), text(value))).collect();
    fields.insert("canary".to_owned(), Value { kind: Some(Kind::BoolValue(content.canary)) });
    for (name, label) in [("revision", content.revision.as_str()), ("instance_id", content.instance_id.as_str())] {
        if !label.is_empty() {
            fields.insert(name.to_owned(), text(label));
        }
    }
    Struct { fields }
}
