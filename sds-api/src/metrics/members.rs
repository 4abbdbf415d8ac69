//! How many instances each service has, by what they are. Counted when it is asked for, from what is served then: so a service
//! that is gone leaves no series behind, and there are as many as there are services.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwapOption;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder},
    metrics::{MetricType, gauge::ConstGauge},
    registry::Registry,
};

use crate::{instance::Status, registry::Snapshot};

/// The snapshot that is counted; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Members(Arc<ArcSwapOption<Snapshot>>);

impl Members {
    /// Registers it.
    pub fn register(registry: &mut Registry) -> Self {
        let members = Self::default();
        registry.register_collector(Box::new(members.clone()));
        members
    }

    /// From now on this one.
    pub fn serve(&self, snapshot: Arc<Snapshot>) {
        self.0.store(Some(snapshot));
    }
}

impl Collector for Members {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Instances in service";
        let mut family = encoder.encode_descriptor("service_instances", help, None, MetricType::Gauge)?;
        let snapshot = self.0.load();
        for (name, service) in snapshot.iter().flat_map(|snapshot| &snapshot.services) {
            for status in [Status::Healthy, Status::Unhealthy, Status::Draining] {
                let count = service.instances.iter().filter(|instance| instance.status == status).count();
                let labels = [("service", name.as_str()), ("status", status.as_str())];
                let series: MetricEncoder<'_> = family.encode_family(&labels)?;
                ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX)).encode(series)?;
            }
        }
        Ok(())
    }
}
