//! What is counted of ECS: calls, and what its word did.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::ecs::Trouble;

/// Calls of ECS and words of it.
#[derive(Debug, Clone, Default)]
pub struct EcsMetrics {
    calls: Family<CallLabels, Counter>,
    words: Family<WordLabels, Counter>,
    /// When this replica's share of the tasks was last asked about, completely.
    pub last_sweep: Gauge,
    /// Silent instances that are in the answers, as unhealthy, because ECS says that their tasks run.
    pub kept: Gauge,
    /// RUNNING tasks with a sidecar that nobody registered.
    pub unregistered: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    call: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WordLabels {
    word: &'static str,
}

impl EcsMetrics {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("ecs_calls", "Calls of ECS", metrics.calls.clone());
        registry.register("ecs_words", "Instances drained, removed or kept on ECS's word", metrics.words.clone());
        let help = "When this replica's share of the tasks was last asked about, completely";
        registry.register("ecs_last_sweep_timestamp_seconds", help, metrics.last_sweep.clone());
        let help = "Silent instances that are served as unhealthy, because ECS says that their tasks run";
        registry.register("ecs_kept", help, metrics.kept.clone());
        let help = "Tasks that run with a sidecar and are not registered, by the replica that looked last";
        registry.register("ecs_unregistered", help, metrics.unregistered.clone());
        for trouble in [Trouble::Away, Trouble::Throttled, Trouble::Denied] {
            for call in ["DescribeTasks", "ListTasks"] {
                drop(metrics.calls.get_or_create(&CallLabels { call, outcome: outcome(Some(trouble)) }));
            }
        }
        for word in ["drained", "removed", "kept"] {
            drop(metrics.words.get_or_create(&WordLabels { word }));
        }
        metrics
    }

    /// Counts a call that ended.
    pub fn called(&self, call: &'static str, trouble: Option<Trouble>) {
        self.calls.get_or_create(&CallLabels { call, outcome: outcome(trouble) }).inc();
    }

    /// Counts an instance that was drained, removed or kept.
    pub fn word(&self, word: &'static str) {
        self.words.get_or_create(&WordLabels { word }).inc();
    }
}

fn outcome(trouble: Option<Trouble>) -> &'static str {
    match trouble {
        None => "ok",
        Some(Trouble::Away) => "failed",
        Some(Trouble::Throttled) => "throttled",
        Some(Trouble::Denied) => "denied",
    }
}
