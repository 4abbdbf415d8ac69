//! What is counted, for Prometheus. Labels are bounded: a route's name, a class of status, never an address or a
//! request's own text.

mod denied;
mod ecs;
mod members;
mod store;

use std::sync::Arc;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::Registry,
};

pub use denied::Deeds;
pub use ecs::EcsMetrics;
pub use members::Members;
pub use store::StoreCalls;

use crate::route::Route;

/// All metrics; clones share them.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    /// By route, so that a request looks nothing up.
    http: Arc<[RouteMetrics]>,
    /// Calls of the store.
    pub store_calls: StoreCalls,
    /// Instances of each service.
    pub members: Members,
    /// Writes that the policy refuses.
    pub denied: Deeds,
    /// ECS.
    pub ecs: EcsMetrics,
    /// Heartbeats that changed nothing.
    pub heartbeats: Counter,
    /// Legacy writes for an instance whose sidecar is alive.
    pub legacy_ignored: Counter,
    /// Instances that fell silent.
    pub silent: Counter,
    /// Instances that are late with their sign of life.
    pub late: Gauge,
    /// Late instances that the loss guard keeps in the answers.
    pub held: Gauge,
    /// Changes made while the store was away, and not written yet.
    pub owed: Gauge,
    /// Changed rows of which the other replicas cannot know yet.
    pub unannounced: Gauge,
    /// Other replicas that speak.
    pub replicas: Gauge,
    /// 1 while they learn whom this one hears.
    pub vouching: Gauge,
    /// 1 while `/readyz` says so.
    pub ready: Gauge,
    /// When all that is served was last known to be true.
    pub last_sync: Gauge,
    /// Rounds of the reader that failed.
    pub failed_rounds: Counter,
    /// Flushes of heartbeats that failed.
    pub failed_flushes: Counter,
    /// Full reads that failed.
    pub failed_reads: Counter,
    /// Names outside the grammar in discovery requests.
    pub bad_names: Counter,
    /// Rows that cannot be served.
    pub bad_rows: Gauge,
    /// Rows of an older registry.
    pub foreign_rows: Gauge,
    /// Services with an instance in service.
    pub services: Gauge,
    /// Instances in service.
    pub instances: Gauge,
    /// When the last full read was complete.
    pub last_full_read: Gauge,
    /// Open connections.
    pub connections: Gauge,
    /// How many there may be, at all listeners.
    pub connection_limit: Gauge,
    /// Responses sent on discovery streams.
    pub pushes: Counter,
    /// Resources in them.
    pub pushed_resources: Counter,
    /// Responses that their client refused.
    pub refusals: Counter,
    /// Requests for types that are not served.
    pub unknown_types: Counter,
    /// The policy's file.
    pub policy: PolicyMetrics,
    /// Whether the certificate's files hold something that cannot be served.
    pub tls_refused: Gauge,
    expires: Family<ExpiresLabels, Gauge>,
    streams: Family<StreamLabels, Gauge>,
    closed: Family<ClosedLabels, Counter>,
    refused: Family<RefusedLabels, Counter>,
}

#[derive(Debug, Clone)]
struct RouteMetrics {
    by_class: [Counter; 4],
    duration: Histogram,
}

/// A discovery stream, counted while it is open.
#[derive(Debug)]
pub struct OpenStream(Gauge);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StreamLabels {
    variant: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ExpiresLabels {
    of: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClosedLabels {
    why: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    class: &'static str,
}

/// What became of the policy's file.
#[derive(Debug, Clone, Default)]
pub struct PolicyMetrics {
    /// When the policy that counts was read.
    pub loaded: Gauge,
    /// 1 while the file is bad and an older policy counts.
    pub bad: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
}

const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("sds");
        let requests = Family::<RequestLabels, Counter>::default();
        let durations = Family::<RouteLabels, Histogram>::new_with_constructor(|| {
            Histogram::new([0.0001, 0.0005, 0.001, 0.005, 0.02, 0.1, 0.4, 1.0])
        });
        let http = Route::ALL.iter().map(|route| {
            let route = route.name();
            RouteMetrics {
                by_class: CLASSES.map(|class| requests.get_or_create(&RequestLabels { route, class }).clone()),
                duration: durations.get_or_create(&RouteLabels { route }).clone(),
            }
        });
        let http = http.collect();
        registry.register("http_requests", "Requests answered", requests);
        registry.register("http_request_duration_seconds", "Until the answer's head", durations);
        let closed = Family::default();
        registry.register("connections_closed", "Connections that we ended before their time", Family::clone(&closed));
        for why in ["full", "idle", "slow", "proxy", "tls"] {
            drop(closed.get_or_create(&ClosedLabels { why }));
        }
        let refused = Family::default();
        registry.register("rate_limited", "Requests of peers that ask too often", Family::clone(&refused));
        for kind in ["writes", "reads"] {
            drop(refused.get_or_create(&RefusedLabels { kind }));
        }
        let policy = PolicyMetrics {
            loaded: gauge(&mut registry, "policy_loaded_timestamp_seconds", "When the policy that counts was read"),
            bad: gauge(&mut registry, "policy_bad", "1 while the policy's file is bad and an older one counts"),
        };
        let streams = Family::default();
        registry.register("xds_streams", "Open discovery streams", Family::clone(&streams));
        for variant in ["sotw", "delta"] {
            drop(streams.get_or_create(&StreamLabels { variant }));
        }
        let expires = Family::default();
        let help = "When what TLS is served with ends";
        registry.register("tls_expires_timestamp_seconds", help, Family::clone(&expires));
        registry.register("build", "Which release this is", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        Self {
            http,
            closed,
            expires,
            refused,
            policy,
            streams,
            store_calls: StoreCalls::register(&mut registry),
            members: Members::register(&mut registry),
            denied: Deeds::register(&mut registry),
            ecs: EcsMetrics::register(&mut registry),
            heartbeats: counter(&mut registry, "heartbeats", "Heartbeats that changed nothing"),
            legacy_ignored: counter(
                &mut registry,
                "legacy_writes_ignored",
                "Writes by a legacy client for an instance whose sidecar is alive",
            ),
            silent: counter(&mut registry, "instances_silent", "Instances that left the answers for silence"),
            late: gauge(&mut registry, "instances_late", "Instances that are late with their sign of life"),
            held: gauge(&mut registry, "instances_held", "Late instances that the loss guard keeps in the answers"),
            owed: gauge(&mut registry, "changes_owed", "Changes made while the store was away, not written yet"),
            unannounced: gauge(&mut registry, "changes_unannounced", "Changed rows unknown to the other replicas"),
            replicas: gauge(&mut registry, "replicas_heard", "Other replicas that speak"),
            vouching: gauge(&mut registry, "vouching", "1 while the other replicas learn whom this one hears"),
            ready: gauge(&mut registry, "ready", "1 while /readyz answers 200"),
            last_sync: gauge(
                &mut registry,
                "last_sync_timestamp_seconds",
                "When all that is served was last known to be true",
            ),
            failed_rounds: counter(&mut registry, "rounds_failed", "Rounds of the reader that failed"),
            failed_flushes: counter(&mut registry, "flushes_failed", "Flushes of heartbeats that failed"),
            failed_reads: counter(&mut registry, "full_reads_failed", "Full reads of the store that failed"),
            bad_names: counter(&mut registry, "discovery_bad_names", "Names outside the grammar in discovery requests"),
            bad_rows: gauge(&mut registry, "bad_rows", "Rows of the table that are left out, by the last full read"),
            foreign_rows: gauge(&mut registry, "foreign_rows", "Rows without incarnation, by the last full read"),
            services: gauge(&mut registry, "services", "Services with an instance in service"),
            instances: gauge(&mut registry, "instances", "Instances in service"),
            last_full_read: gauge(
                &mut registry,
                "last_full_read_timestamp_seconds",
                "When the last complete read of the store ended",
            ),
            connections: gauge(&mut registry, "connections", "Open connections"),
            connection_limit: gauge(&mut registry, "connections_limit", "Connections that all listeners take together"),
            pushes: counter(&mut registry, "xds_responses", "Responses sent on discovery streams"),
            pushed_resources: counter(&mut registry, "xds_resources", "Resources in them"),
            refusals: counter(&mut registry, "xds_nacks", "Responses that their client refused"),
            unknown_types: counter(&mut registry, "xds_unknown_types", "Requests for types that are not served"),
            tls_refused: gauge(
                &mut registry,
                "tls_files_refused",
                "1 while the files of TLS cannot be served, and the former ones are",
            ),
            registry: Arc::new(registry),
        }
    }
}

impl Metrics {
    /// Counts an answered request.
    pub fn answered(&self, route: Route, status: u16, seconds: f64) {
        let Some(metrics) = self.http.get(route as usize) else { return };
        let class = usize::from(status / 100).saturating_sub(2).min(CLASSES.len() - 1);
        if let Some(counter) = metrics.by_class.get(class) {
            counter.inc();
        }
        metrics.duration.observe(seconds);
    }

    /// Counts a connection that was ended: `full` and never served, `idle` and in the way of a new one, `slow` to speak or
    /// to read, of a `proxy` whose header is malformed, or of a client that agrees on no `tls`.
    pub fn closed(&self, why: &'static str) {
        self.closed.get_or_create(&ClosedLabels { why }).inc();
    }

    /// Tells when a certificate ends, in seconds since 1970.
    pub fn expires(&self, of: &'static str, seconds: u64) {
        self.expires.get_or_create(&ExpiresLabels { of }).set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    /// Counts a discovery stream of this variant while it is open.
    pub fn open_stream(&self, variant: &'static str) -> OpenStream {
        let open = self.streams.get_or_create(&StreamLabels { variant }).clone();
        open.inc();
        OpenStream(open)
    }

    /// Counts a request that came too soon: `writes` or `reads`.
    pub fn rate_limited(&self, kind: &'static str) {
        self.refused.get_or_create(&RefusedLabels { kind }).inc();
    }

    /// The text that Prometheus reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(error) => format!("# {error}\n"),
        }
    }
}

fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let metric = Counter::default();
    registry.register(name, help, metric.clone());
    metric
}

fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let metric = Gauge::default();
    registry.register(name, help, metric.clone());
    metric
}
