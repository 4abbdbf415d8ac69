//! What was refused to whom: by the deed, and by the rule of the policy, whose names an operator chose. Of whoever is refused
//! nothing is kept here: the log and the audit name him.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// Refused deeds; clones share their values.
#[derive(Debug, Clone, Default)]
pub struct Deeds(Family<Labels, Counter>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    deed: &'static str,
    rule: String,
    why: &'static str,
    enforced: &'static str,
}

impl Deeds {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let help = "Deeds that the policy refuses; enforced=\"false\" were let through and only observed";
        registry.register("writes_denied", help, metrics.0.clone());
        metrics
    }

    /// Counts one: `rule` as the policy names the services, empty where no rule of services counts.
    pub fn denied(&self, deed: &'static str, rule: &str, why: &'static str, enforced: bool) {
        let enforced = if enforced { "true" } else { "false" };
        self.0.get_or_create(&Labels { deed, rule: rule.to_owned(), why, enforced }).inc();
    }
}
