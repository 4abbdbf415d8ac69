//! The configuration of the Envoy under test: one listener, an EDS cluster for each service and, unless a test wants them,
//! no health checks of its own, no retries and no outlier detection, so that whatever the registry does badly reaches the
//! client.
//!
//! Of several replicas of the registry those are polled that say that they are ready, as an operator would have it.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};

use super::Setup;

/// How Envoy asks the registry for endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Polls, so often plus up to as much again, by Envoy's own jitter.
    Rest(Duration),
    /// A stream for each cluster, state of the world.
    Sotw,
    /// A stream for each cluster, incremental.
    Delta,
    /// One stream for all, state of the world.
    Ads,
    /// One stream for all, incremental.
    DeltaAds,
}

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

/// What Envoy does about a host that fails, without being told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Guards {
    /// It leaves a host alone that fails several times in a row.
    pub outliers: bool,
    /// It tries another host.
    pub retries: bool,
}

/// A bootstrap whose ports are free ones. The listener leads to the first service.
pub fn json(setup: &Setup, clusters: &Path) -> Value {
    let mut dynamic = json!({"cds_config": {"resource_api_version": "V3", "path_config_source": {"path": clusters}}});
    if let Some(source) = setup.mode.aggregated() {
        dynamic["ads_config"] = source;
    }
    let first = setup.services.first().map_or("", String::as_str);
    json!({
        "node": {"id": "e2e", "cluster": "e2e"},
        "admin": {"address": socket("127.0.0.1", 0)},
        "dynamic_resources": dynamic,
        "static_resources": {
            "listeners": [{
                "name": "in",
                "address": socket("127.0.0.1", 0),
                "filter_chains": [{"filters": [{
                    "name": "envoy.filters.network.http_connection_manager",
                    "typed_config": connection_manager(first, setup.guards),
                }]}],
            }],
            "clusters": [registry(setup)],
        },
    })
}

/// The same with TLS to the registry, whose certificate `authority` signs, for localhost.
pub fn secured(mut bootstrap: Value, mode: Mode, authority: &str) -> Value {
    let protocol = if matches!(mode, Mode::Rest(_)) { "http/1.1" } else { "h2" };
    bootstrap["static_resources"]["clusters"][0]["transport_socket"] = json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": "localhost",
            "common_tls_context": {
                "alpn_protocols": [protocol],
                "validation_context": {
                    "trusted_ca": {"inline_string": authority},
                    "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "localhost"}}],
                },
            },
        },
    });
    bootstrap
}

/// The clusters of these services, as the file that Envoy watches.
pub fn clusters(setup: &Setup, services: &[String]) -> Value {
    let version = services.join(" ");
    json!({"version_info": version, "resources": services.iter().map(|service| eds(service, setup)).collect::<Vec<_>>()})
}

impl Mode {
    /// Where a cluster's endpoints come from.
    fn source(self) -> Value {
        let source = match self {
            Self::Rest(refresh) => json!({
                "api_type": "REST",
                "transport_api_version": "V3",
                "cluster_names": ["sds"],
                "refresh_delay": format!("{}s", refresh.as_secs_f64()),
                "request_timeout": "1s",
            }),
            Self::Sotw => grpc("GRPC"),
            Self::Delta => grpc("DELTA_GRPC"),
            Self::Ads | Self::DeltaAds => return json!({"resource_api_version": "V3", "ads": {}}),
        };
        json!({"resource_api_version": "V3", "api_config_source": source})
    }

    /// Where one stream for everything comes from, if there is one.
    fn aggregated(self) -> Option<Value> {
        match self {
            Self::Ads => Some(grpc("GRPC")),
            Self::DeltaAds => Some(grpc("DELTA_GRPC")),
            Self::Rest(_) | Self::Sotw | Self::Delta => None,
        }
    }
}

fn grpc(kind: &str) -> Value {
    json!({
        "api_type": kind,
        "transport_api_version": "V3",
        "grpc_services": [{"envoy_grpc": {"cluster_name": "sds"}}],
        "set_node_on_first_message_only": true,
    })
}

fn eds(service: &str, setup: &Setup) -> Value {
    let mut cluster = json!({
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": service,
        "type": "EDS",
        "connect_timeout": "1s",
        "eds_cluster_config": {"service_name": service, "eds_config": setup.mode.source()},
    });
    if setup.checks != HealthChecks::Off {
        cluster["health_checks"] = health_check("/health");
        cluster["ignore_health_on_host_removal"] = json!(setup.checks == HealthChecks::IgnoredOnRemoval);
    }
    if setup.guards.outliers {
        cluster["outlier_detection"] = json!({
            "consecutive_5xx": 3,
            "consecutive_local_origin_failure": 3,
            "split_external_local_origin_errors": true,
            "interval": "1s",
            "base_ejection_time": "10s",
            // Of a service of three one is more than the default lets go.
            "max_ejection_percent": 50,
        });
    }
    cluster
}

fn registry(setup: &Setup) -> Value {
    let replicas = &setup.replicas;
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
    if !matches!(setup.mode, Mode::Rest(_)) {
        cluster["typed_extension_protocol_options"] = json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }});
    }
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

fn connection_manager(service: &str, guards: Guards) -> Value {
    let mut route = json!({"cluster": service, "timeout": "5s"});
    if guards.retries {
        route["retry_policy"] = json!({
            "retry_on": "connect-failure,refused-stream,reset",
            "num_retries": 2,
            "host_selection_retry_max_attempts": 5,
            "retry_host_predicate": [{
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
                },
            }],
        });
    }
    json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        // Clusters come later, from their file.
        "route_config": {"validate_clusters": false, "virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": route}],
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
