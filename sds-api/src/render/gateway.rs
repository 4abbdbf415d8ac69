//! Spells a gateway for developers: one listener whose hosts are the names of the services, so that
//! `curl -H 'host: web' gateway` or a gRPC client with the authority `web` reaches any of them.

use std::net::SocketAddr;

use bytes::Bytes;
use envoy_types::pb::{
    envoy::{
        config::{
            core::v3::{
                Address, AggregatedConfigSource, ApiVersion, ConfigSource, SocketAddress, address,
                config_source::ConfigSourceSpecifier, socket_address::PortSpecifier,
            },
            listener::v3::{Filter, FilterChain, Listener, filter},
            route::v3::RouteConfiguration,
        },
        extensions::filters::network::http_connection_manager::v3::{
            HttpConnectionManager, Rds, http_connection_manager::RouteSpecifier,
        },
    },
    google::protobuf::Duration,
};
use sds_types::ServiceName;

use super::proxyless::{CONNECTION_MANAGER, LISTENER, any, host, resource, router};

/// The type of routes.
pub const ROUTES: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
/// What its listener and its routes are called.
pub const NAME: &str = "sds.gateway";

/// The listener, at this address of whoever runs it.
pub fn listener(at: SocketAddr) -> Bytes {
    let source = ConfigSource {
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
        ..ConfigSource::default()
    };
    let manager = HttpConnectionManager {
        stat_prefix: "gateway".to_owned(),
        route_specifier: Some(RouteSpecifier::Rds(Rds {
            config_source: Some(source),
            route_config_name: NAME.to_owned(),
        })),
        http_filters: vec![router()],
        ..HttpConnectionManager::default()
    };
    let filter = Filter {
        name: "http".to_owned(),
        config_type: Some(filter::ConfigType::TypedConfig(any(CONNECTION_MANAGER, &manager))),
    };
    let address = address::Address::SocketAddress(SocketAddress {
        address: at.ip().to_string(),
        port_specifier: Some(PortSpecifier::PortValue(at.port().into())),
        ..SocketAddress::default()
    });
    let listener = Listener {
        name: NAME.to_owned(),
        address: Some(Address { address: Some(address) }),
        filter_chains: vec![FilterChain { filters: vec![filter], ..FilterChain::default() }],
        ..Listener::default()
    };
    resource(LISTENER, &listener)
}

/// A host for each of these services.
pub fn routes<'a>(services: impl Iterator<Item = &'a ServiceName>) -> Bytes {
    // A call may take as long as its client waits for it.
    let no_limit = Some(Duration { seconds: 0, nanos: 0 });
    let routes = RouteConfiguration {
        name: NAME.to_owned(),
        virtual_hosts: services.map(|name| host(name.as_str(), name.as_str(), no_limit)).collect(),
        // `web:8080` is `web` too.
        ignore_port_in_host_matching: true,
        ..RouteConfiguration::default()
    };
    resource(ROUTES, &routes)
}
