//! The configuration of the Envoy under test: one listener, one EDS cluster over REST, no retries and no health checks
//! of its own, so that whatever the registry does badly reaches the client.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};

/// A bootstrap whose ports are free ones.
pub fn json(api: SocketAddr, service: &str, refresh: Duration) -> Value {
    let refresh = format!("{}s", refresh.as_secs_f64());
    json!({
        "node": {"id": "e2e", "cluster": "e2e"},
        "admin": {"address": socket("127.0.0.1", 0)},
        "static_resources": {
            "listeners": [{
                "name": "in",
                "address": socket("127.0.0.1", 0),
                "filter_chains": [{"filters": [{
                    "name": "envoy.filters.network.http_connection_manager",
                    "typed_config": connection_manager(service),
                }]}],
            }],
            "clusters": [
                {
                    "name": service,
                    "type": "EDS",
                    "connect_timeout": "1s",
                    "eds_cluster_config": {"service_name": service, "eds_config": {
                        "resource_api_version": "V3",
                        "api_config_source": {
                            "api_type": "REST",
                            "transport_api_version": "V3",
                            "cluster_names": ["sds"],
                            "refresh_delay": refresh,
                            "request_timeout": "1s",
                        },
                    }},
                },
                {
                    "name": "sds",
                    "type": "STATIC",
                    "connect_timeout": "1s",
                    "load_assignment": {"cluster_name": "sds", "endpoints": [{"lb_endpoints": [
                        {"endpoint": {"address": socket(&api.ip().to_string(), api.port())}},
                    ]}]},
                },
            ],
        },
    })
}

fn connection_manager(service: &str) -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "route_config": {"virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": service, "timeout": "5s"}}],
        }]},
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
        }],
    })
}

fn socket(address: &str, port: u16) -> Value {
    json!({"socket_address": {"address": address, "port_value": port}})
}
