//! The configuration of the Envoy under test: one listener, an EDS cluster over REST for each service, no retries and, unless
//! a test wants them, no health checks of its own, so that whatever the registry does badly reaches the client.
//!
//! Of several replicas of the registry those are polled that say that they are ready, as an operator would have it.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};

use super::Setup;

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

/// A bootstrap whose ports are free ones. The listener leads to the first service.
pub fn json(setup: &Setup) -> Value {
    let services = setup.services.iter();
    let mut clusters: Vec<_> = services.map(|service| eds(service, setup.refresh, setup.checks)).collect();
    clusters.push(registry(&setup.replicas));
    let first = setup.services.first().map_or("", String::as_str);
    json!({
        "node": {"id": "e2e", "cluster": "e2e"},
        "admin": {"address": socket("127.0.0.1", 0)},
        "static_resources": {
            "listeners": [{
                "name": "in",
                "address": socket("127.0.0.1", 0),
                "filter_chains": [{"filters": [{
                    "name": "envoy.filters.network.http_connection_manager",
                    "typed_config": connection_manager(first),
                }]}],
            }],
            "clusters": clusters,
        },
    })
}

fn eds(service: &str, refresh: Duration, checks: HealthChecks) -> Value {
    let refresh = format!("{}s", refresh.as_secs_f64());
    let mut cluster = json!({
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
    });
    if checks != HealthChecks::Off {
        cluster["health_checks"] = health_check("/health");
        cluster["ignore_health_on_host_removal"] = json!(checks == HealthChecks::IgnoredOnRemoval);
    }
    cluster
}

fn registry(replicas: &[SocketAddr]) -> Value {
    let endpoints: Vec<_> = replicas
        .iter()
        .map(|replica| json!({"endpoint": {"address": socket(&replica.ip().to_string(), replica.port())}}))
        .collect();
    let mut cluster = json!({
        "name": "sds",
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": "sds", "endpoints": [{"lb_endpoints": endpoints}]},
    });
    if replicas.len() > 1 {
        cluster["health_checks"] = health_check("/readyz");
    }
    cluster
}

fn health_check(path: &str) -> Value {
    json!([{
        "timeout": "0.5s",
        "interval": "0.5s",
        "no_traffic_interval": "0.5s",
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        "http_health_check": {"path": path},
    }])
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
