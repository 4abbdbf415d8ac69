//! Spells a service for REST EDS, v2 and v3: proto3 JSON of `ClusterLoadAssignment` in a `DiscoveryResponse`. The two
//! differ in their type URLs only.
//!
//! Every locality has a weight above 0 and every endpoint a weight and a health: Envoy does without, gRPC's own client
//! does not, and one spelling serves both.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::{
    instance::Status,
    registry::{Instance, Service, Version},
    view,
};

/// Which generation of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// `envoy.api.v2`, until Envoy 1.17.
    V2,
    /// `envoy.config.endpoint.v3`.
    V3,
}

impl Api {
    /// The resource's type.
    pub fn type_url(self) -> &'static str {
        match self {
            Self::V2 => "type.googleapis.com/envoy.api.v2.ClusterLoadAssignment",
            Self::V3 => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
        }
    }
}

/// What is kept of a service.
#[derive(Debug)]
pub struct Answer {
    /// Its `ClusterLoadAssignment`.
    pub resource: Bytes,
    /// The whole response for a request that asks for it alone, as Envoy's polls do.
    pub response: Bytes,
}

/// The answer for a service.
pub fn render(service: &Service, api: Api) -> Answer {
    let resource = assignment(service.name.as_str(), view::eds(service), api);
    let response = response(api, service.version, &[&resource]);
    Answer { resource, response }
}

/// The assignment for a name that nobody serves. Leaving the name out would keep a cluster of an Envoy warming, or
/// its old hosts alive.
pub fn empty(name: &str, api: Api) -> Bytes {
    assignment(name, Vec::new(), api)
}

/// A response of these resources.
pub fn response(api: Api, version: Version, resources: &[&[u8]]) -> Bytes {
    let size = resources.iter().map(|resource| resource.len() + 1).sum::<usize>();
    let mut out = Vec::with_capacity(size + 160);
    out.extend_from_slice(format!("{{\"version_info\":\"{version}\",\"resources\":[").as_bytes());
    for (nth, resource) in resources.iter().enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        out.extend_from_slice(resource);
    }
    out.extend_from_slice(format!("],\"type_url\":\"{}\"}}", api.type_url()).as_bytes());
    out.into()
}

fn assignment(name: &str, localities: Vec<view::LocalityView<'_>>, api: Api) -> Bytes {
    let endpoints = localities.iter().map(|place| LocalityLbEndpoints {
        locality: Locality { region: place.locality.region.as_str(), zone: place.locality.zone.as_str() },
        load_balancing_weight: place.weight,
        lb_endpoints: place.endpoints.iter().map(|instance| lb_endpoint(instance)).collect(),
    });
    super::json(&ClusterLoadAssignment { kind: api.type_url(), cluster_name: name, endpoints: endpoints.collect() })
}

fn lb_endpoint(instance: &Instance) -> LbEndpoint<'_> {
    let content = &instance.content;
    let mut lb = BTreeMap::from([("canary", Value::Bool(content.canary))]);
    lb.extend(content.tags.iter().map(|(name, value)| (name, Value::from(value))));
    for (name, label) in [("revision", content.revision.as_str()), ("instance_id", content.instance_id.as_str())] {
        if !label.is_empty() {
            lb.insert(name, label.into());
        }
    }
    LbEndpoint {
        endpoint: Endpoint {
            address: Address {
                socket_address: SocketAddress {
                    address: instance.endpoint.ip().to_string(),
                    port_value: instance.endpoint.port(),
                },
            },
        },
        health_status: health(instance.status),
        metadata: Metadata { filter_metadata: FilterMetadata { lb } },
        load_balancing_weight: view::weight(instance),
    }
}

/// A status as Envoy's `HealthStatus` spells it.
pub fn health(status: Status) -> &'static str {
    match status {
        Status::Healthy => "HEALTHY",
        Status::Unhealthy => "UNHEALTHY",
        Status::Draining => "DRAINING",
    }
}

#[derive(Serialize)]
struct ClusterLoadAssignment<'a> {
    #[serde(rename = "@type")]
    kind: &'a str,
    cluster_name: &'a str,
    endpoints: Vec<LocalityLbEndpoints<'a>>,
}

#[derive(Serialize)]
struct LocalityLbEndpoints<'a> {
    locality: Locality<'a>,
    load_balancing_weight: u32,
    lb_endpoints: Vec<LbEndpoint<'a>>,
}

#[derive(Serialize)]
struct Locality<'a> {
    region: &'a str,
    zone: &'a str,
}

#[derive(Serialize)]
struct LbEndpoint<'a> {
    endpoint: Endpoint,
    health_status: &'a str,
    metadata: Metadata<'a>,
    load_balancing_weight: u32,
}

#[derive(Serialize)]
struct Endpoint {
    address: Address,
}

#[derive(Serialize)]
struct Address {
    socket_address: SocketAddress,
}

#[derive(Serialize)]
struct SocketAddress {
    address: String,
    port_value: u16,
}

#[derive(Serialize)]
struct Metadata<'a> {
    filter_metadata: FilterMetadata<'a>,
}

#[derive(Serialize)]
struct FilterMetadata<'a> {
    #[serde(rename = "envoy.lb")]
    lb: BTreeMap<&'a str, Value>,
}
