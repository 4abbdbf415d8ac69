//! The configuration of the Envoy under test: one listener, one EDS cluster over REST, no retries and, unless a test wants
//! them, no health checks of its own, so that whatever the registry does badly reaches the client.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};

/// Whether Envoy asks the hosts of the cluster itself, too. One that does keeps a host which is gone from the answer for
/// as long as it passes, unless it is told otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthChecks {
    /// It believes the registry alone.
    Off,
    /// It asks for `/health`.
    On,
    /// The same, with `ignore_health_on_host_removal`.
    IgnoredOnRemoval,
}

/// A bootstrap whose ports are free ones.
pub fn json(api: SocketAddr, service: &str, refresh: Duration, checks: HealthChecks) -> Value {
    let refresh = format!("{}s", refresh.as_secs_f64());
    let mut config = json!({
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
    });
    if checks != HealthChecks::Off {
        let cluster = &mut config["static_resources"]["clusters"][0];
        cluster["health_checks"] = json!([{
            "timeout": "0.5s",
            "interval": "0.5s",
            "no_traffic_interval": "0.5s",
            "unhealthy_threshold": 2,
            "healthy_threshold": 1,
            "http_health_check": {"path": "/health"},
        }]);
        cluster["ignore_health_on_host_removal"] = json!(checks == HealthChecks::IgnoredOnRemoval);
    }
    config
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
