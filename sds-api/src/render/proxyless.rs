//! Spells what a gRPC client asks for before it asks for endpoints: a listener that leads to a cluster, and the cluster that
//! takes its endpoints from the same stream (gRFC A27).

use bytes::Bytes;
use envoy_types::pb::{
    envoy::{
        config::{
            cluster::v3::{
                Cluster,
                cluster::{ClusterDiscoveryType, DiscoveryType, EdsClusterConfig, LbPolicy},
            },
            core::v3::{
                AggregatedConfigSource, ApiVersion, ConfigSource, Http1ProtocolOptions, Http2ProtocolOptions,
                config_source::ConfigSourceSpecifier,
            },
            listener::v3::{ApiListener, Listener},
            route::v3::{
                Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost, route::Action,
                route_action::ClusterSpecifier, route_match::PathSpecifier,
            },
        },
        extensions::{
            filters::{
                http::router::v3::Router,
                network::http_connection_manager::v3::{
                    HttpConnectionManager, HttpFilter, http_connection_manager::RouteSpecifier, http_filter::ConfigType,
                },
            },
            upstreams::http::v3::{
                HttpProtocolOptions,
                http_protocol_options::{UpstreamProtocolOptions, UseDownstreamHttpConfig},
            },
        },
    },
    google::protobuf::{Any, Duration},
};
use prost::Message;
use sds_types::ServiceName;

/// The type of clusters.
pub const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
/// The type of listeners.
pub const LISTENER: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";

/// The type of what a listener does with HTTP.
pub const CONNECTION_MANAGER: &str =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";

const PROTOCOLS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
const PROTOCOL_OPTIONS: &str = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// As the request came: a gRPC call goes on over HTTP/2, all else over HTTP/1.1.
fn protocols() -> HttpProtocolOptions {
    HttpProtocolOptions {
        upstream_protocol_options: Some(UpstreamProtocolOptions::UseDownstreamProtocolConfig(
            UseDownstreamHttpConfig {
                http_protocol_options: Some(Http1ProtocolOptions::default()),
                http2_protocol_options: Some(Http2ProtocolOptions::default()),
                ..UseDownstreamHttpConfig::default()
            },
        )),
        ..HttpProtocolOptions::default()
    }
}

/// Whether a service can have this name.
pub fn is_name(name: &str) -> bool {
    name.parse::<ServiceName>().is_ok()
}

/// The listener of a service: all calls go to its cluster.
pub fn listener(name: &str) -> Bytes {
    let routes = RouteConfiguration {
        name: name.to_owned(),
        virtual_hosts: vec![host(name, "*", None)],
        ..RouteConfiguration::default()
    };
    let manager = HttpConnectionManager {
        route_specifier: Some(RouteSpecifier::RouteConfig(routes)),
        http_filters: vec![router()],
        ..HttpConnectionManager::default()
    };
    let listener = Listener {
        name: name.to_owned(),
        api_listener: Some(ApiListener { api_listener: Some(any(CONNECTION_MANAGER, &manager)) }),
        ..Listener::default()
    };
    resource(LISTENER, &listener)
}

/// The cluster of a service.
pub fn cluster(name: &str) -> Bytes {
    let source = ConfigSource {
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
        ..ConfigSource::default()
    };
    let cluster = Cluster {
        name: name.to_owned(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
        eds_cluster_config: Some(EdsClusterConfig { eds_config: Some(source), service_name: name.to_owned() }),
        lb_policy: LbPolicy::RoundRobin.into(),
        typed_extension_protocol_options: [(PROTOCOLS.to_owned(), any(PROTOCOL_OPTIONS, &protocols()))].into(),
        ..Cluster::default()
    };
    resource(CLUSTER, &cluster)
}

/// A host with this domain, all of which goes to a service; `timeout` for whole answers, 0 is none.
pub fn host(service: &str, domain: &str, timeout: Option<Duration>) -> VirtualHost {
    let route = Route {
        r#match: Some(RouteMatch {
            path_specifier: Some(PathSpecifier::Prefix("/".to_owned())),
            ..RouteMatch::default()
        }),
        action: Some(Action::Route(RouteAction {
            cluster_specifier: Some(ClusterSpecifier::Cluster(service.to_owned())),
            timeout,
            ..RouteAction::default()
        })),
        ..Route::default()
    };
    VirtualHost {
        name: service.to_owned(),
        domains: vec![domain.to_owned()],
        routes: vec![route],
        ..VirtualHost::default()
    }
}

/// The filter that every connection manager ends with.
pub fn router() -> HttpFilter {
    HttpFilter {
        name: "router".to_owned(),
        config_type: Some(ConfigType::TypedConfig(any(ROUTER, &Router::default()))),
        ..HttpFilter::default()
    }
}

/// A message as a whole `google.protobuf.Any`, encoded.
pub fn resource(type_url: &str, message: &impl Message) -> Bytes {
    any(type_url, message).encode_to_vec().into()
}

/// A message that is embedded in another.
pub fn any(type_url: &str, message: &impl Message) -> Any {
    Any { type_url: type_url.to_owned(), value: message.encode_to_vec() }
}
