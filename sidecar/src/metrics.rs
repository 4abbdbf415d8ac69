//! What the sidecar counts, under the prefix `sds_sidecar_`.
//!
//! Labels are words of this program and of its configuration, never an address or a text from outside, so their number
//! is bounded. Who counts
//! what, and when, is the agent's business.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use sds_types::ServiceName;

use crate::{
    lifecycle::{Answer, Call},
    probe::Probe,
};

/// Which instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    service: String,
    port: u16,
}

/// How a round of checks of an instance ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProbeResult {
    service: String,
    port: u16,
    result: &'static str,
}

/// How a call for an instance ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallResult {
    service: String,
    port: u16,
    call: &'static str,
    result: &'static str,
}

const PROBES: [&str; 3] = ["pass", "fail", "unknown"];
const CALLS: [&str; 3] = ["register", "drain", "deregister"];
const RESULTS: [&str; 4] = ["done", "superseded", "refused", "failed"];

type Gauges<N = i64, A = std::sync::atomic::AtomicI64> = Family<Of, Gauge<N, A>>;

/// All metrics; clones share their values.
#[derive(Debug, Clone)]
pub struct Metrics {
    probes: Family<ProbeResult, Counter>,
    probe_seconds: Family<Of, Histogram>,
    calls: Family<CallResult, Counter>,
    call_seconds: Family<Of, Histogram>,
    changes: Family<Of, Counter>,
    healthy: Gauges,
    ready: Gauges,
    draining: Gauges,
    conflict: Gauges,
    failures: Gauges,
    acknowledged: Gauges<f64, AtomicU64>,
}

/// Those of one instance.
#[derive(Debug, Clone)]
pub struct OfInstance {
    of: Of,
    all: Metrics,
    probe_seconds: Histogram,
    call_seconds: Histogram,
    /// The belief's changes.
    pub changes: Counter,
    /// 1 while the app is believed healthy.
    pub healthy: Gauge,
    /// 1 while the instance is registered and healthy, as /readyz says.
    pub ready: Gauge,
    /// 1 from the start of the drain on.
    pub draining: Gauge,
    /// 1 while a second owner of the address keeps this one away.
    pub conflict: Gauge,
    /// Calls in a row that did not work.
    pub failures: Gauge,
    /// When the registry last acknowledged a call, in seconds since 1970.
    pub acknowledged: Gauge<f64, AtomicU64>,
}

impl Metrics {
    /// Puts all metrics into `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            probes: Family::default(),
            probe_seconds: Family::new_with_constructor(|| Histogram::new([0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 5.0])),
            calls: Family::default(),
            call_seconds: Family::new_with_constructor(|| Histogram::new([0.005, 0.02, 0.1, 0.5, 1.0, 2.0])),
            changes: Family::default(),
            healthy: Family::default(),
            ready: Family::default(),
            draining: Family::default(),
            conflict: Family::default(),
            failures: Family::default(),
            acknowledged: Family::default(),
        };
        let registry = registry.sub_registry_with_prefix("sds_sidecar");
        registry.register("probes", "Rounds of checks of the app", metrics.probes.clone());
        registry.register("probe_seconds", "How long a round of checks took", metrics.probe_seconds.clone());
        registry.register("calls", "Calls of the registry", metrics.calls.clone());
        registry.register("call_seconds", "How long a call of the registry took", metrics.call_seconds.clone());
        registry.register("health_changes", "Changes of the belief about the app", metrics.changes.clone());
        registry.register("healthy", "1 while the app is believed healthy", metrics.healthy.clone());
        registry.register("ready", "1 while registered and healthy", metrics.ready.clone());
        registry.register("draining", "1 from the start of the drain on", metrics.draining.clone());
        registry.register("conflict", "1 while the address has a second owner", metrics.conflict.clone());
        registry.register("failures", "Calls in a row that did not work", metrics.failures.clone());
        registry.register(
            "acknowledged_timestamp_seconds",
            "When the registry last acknowledged a call, in seconds since 1970",
            metrics.acknowledged.clone(),
        );
        metrics
    }

    /// All results at 0: of a counter that begins with its first event, Prometheus takes that one for no rise.
    fn begin(&self, of: &Of) {
        let Of { service, port } = of;
        for result in PROBES {
            drop(self.probes.get_or_create_owned(&ProbeResult { service: service.clone(), port: *port, result }));
        }
        for (call, result) in CALLS.iter().flat_map(|call| RESULTS.map(|result| (*call, result))) {
            drop(self.calls.get_or_create_owned(&CallResult { service: service.clone(), port: *port, call, result }));
        }
    }

    /// Those of the instance of `service` at the app's `port`.
    pub fn of(&self, service: &ServiceName, port: u16) -> OfInstance {
        let of = Of { service: service.as_str().to_owned(), port };
        self.begin(&of);
        OfInstance {
            probe_seconds: self.probe_seconds.get_or_create_owned(&of),
            call_seconds: self.call_seconds.get_or_create_owned(&of),
            changes: self.changes.get_or_create_owned(&of),
            healthy: self.healthy.get_or_create_owned(&of),
            ready: self.ready.get_or_create_owned(&of),
            draining: self.draining.get_or_create_owned(&of),
            conflict: self.conflict.get_or_create_owned(&of),
            failures: self.failures.get_or_create_owned(&of),
            acknowledged: self.acknowledged.get_or_create_owned(&of),
            all: self.clone(),
            of,
        }
    }
}

impl OfInstance {
    /// Counts a round of checks.
    pub fn probe(&self, probe: &Probe, seconds: f64) {
        let result = match probe {
            Probe::Pass => "pass",
            Probe::Fail(_) => "fail",
            Probe::Unknown(_) => "unknown",
        };
        let Of { service, port } = self.of.clone();
        self.all.probes.get_or_create(&ProbeResult { service, port, result }).inc();
        self.probe_seconds.observe(seconds);
    }

    /// Counts a call.
    pub fn call(&self, call: Call, answer: &Answer, seconds: f64) {
        let call = match call {
            Call::Register(_) => "register",
            Call::Drain => "drain",
            Call::Deregister(_) => "deregister",
        };
        let result = match answer {
            Answer::Done(_) => "done",
            Answer::Superseded(_) => "superseded",
            Answer::Refused(_) => "refused",
            Answer::Failed { .. } => "failed",
        };
        let Of { service, port } = self.of.clone();
        self.all.calls.get_or_create(&CallResult { service, port, call, result }).inc();
        self.call_seconds.observe(seconds);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let metrics = metrics.of(&"web".parse().unwrap(), 8080);
        metrics.probe(&Probe::Pass, 0.01);
        metrics.call(Call::Drain, &Answer::Done(None), 0.01);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let mut heads: Vec<_> =
            text.lines().filter(|line| line.starts_with("# TYPE") || line.contains("result=")).collect();
        // A family's series come in any order.
        heads.sort_unstable();
        insta::assert_snapshot!(heads.join("\n"));
    }
}
