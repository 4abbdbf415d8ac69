//! What is believed, as the answers need it: the services that changed become new, all others are shared.

use std::{
    collections::{BTreeSet, hash_map::Entry},
    sync::Arc,
};

use sds_types::ServiceName;

use super::{Fold, Known};
use crate::{
    clock::{Stamp, Timestamp},
    instance::{Content, Row, Status},
    registry::snapshot::{Instance, Service, Snapshot},
};

impl Fold {
    /// The snapshot after all changes since the last call; untouched services are shared with `before`.
    pub fn publish(&mut self, before: &Snapshot, wall: Timestamp) -> Option<Snapshot> {
        if self.changed.is_empty() {
            return None;
        }
        let known = self.names(before);
        let mut services = before.services.clone();
        for name in std::mem::take(&mut self.changed) {
            let service = self.service(&name, wall);
            match (services.entry(name), service) {
                (Entry::Occupied(entry), None) => drop(entry.remove()),
                (Entry::Vacant(_), None) => {}
                (Entry::Occupied(mut entry), Some(service)) => drop(entry.insert(Arc::new(service))),
                (Entry::Vacant(entry), Some(service)) => drop(entry.insert(Arc::new(service))),
            }
        }
        Some(Snapshot { services, known })
    }

    /// The names of all services, shared with `before` if they are the same.
    fn names(&self, before: &Snapshot) -> Arc<BTreeSet<ServiceName>> {
        let known = &before.known;
        if known.len() == self.services.len() && self.changed.iter().all(|name| known.contains(name)) {
            return known.clone();
        }
        Arc::new(self.services.keys().cloned().collect())
    }

    fn service(&mut self, name: &ServiceName, wall: Timestamp) -> Option<Service> {
        let rows = self.services.get_mut(name)?;
        for known in rows.values_mut() {
            known.overridden = known.row.active_override(wall.seconds()).is_some();
        }
        let rows = self.services.get(name)?;
        let served = rows.values().filter(|known| known.served);
        let held = self.holding.get(name).copied().unwrap_or(0);
        let instances: Vec<_> = served.filter_map(|known| self.instance(known, wall)).collect();
        (!instances.is_empty()).then(|| Service::new(name.clone(), instances, held))
    }

    fn instance(&self, known: &Known, wall: Timestamp) -> Option<Instance> {
        let registration = known.row.registration()?;
        let (status, content) = effective(&known.row, wall)?;
        let status = if known.kept { kept(status) } else { status };
        Some(Instance {
            endpoint: known.row.key.endpoint,
            at: known.row.at,
            status,
            origin: registration.origin,
            content,
            operator: known.row.active_override(wall.seconds()).cloned(),
            heard: Stamp::new(self.heard_wall(known)),
            lease: self.leases.of(registration.origin),
        })
    }

    /// Whether another registry's rows are in service.
    pub fn has_foreign(&self) -> bool {
        self.services.values().flat_map(|rows| rows.values()).any(|known| known.served && known.row.is_foreign())
    }

    /// How many instances only the loss guard keeps in the answers.
    pub fn holding(&self) -> usize {
        self.holding.values().sum()
    }

    /// All rows in service, as a snapshot on disk keeps them.
    pub fn served_rows(&self) -> Vec<Row> {
        let served = self.services.values().flat_map(|rows| rows.values()).filter(|known| known.served);
        served.map(|known| known.row.clone()).collect()
    }
}

/// Of one that is silent and whose task runs: nobody knows that it is fit.
fn kept(status: Status) -> Status {
    if status == Status::Healthy { Status::Unhealthy } else { status }
}

/// A row in service with its operator's word laid over it. A drain beats every override: who is leaving leaves.
pub(super) fn effective(row: &Row, wall: Timestamp) -> Option<(Status, Arc<Content>)> {
    let standing = row.registration()?;
    let Some(operator) = row.active_override(wall.seconds()) else {
        return Some((standing.status, standing.content.clone()));
    };
    let status = match (standing.status, operator.status) {
        (Status::Draining, _) | (_, None) => standing.status,
        (_, Some(status)) => status,
    };
    let content = Content {
        weight: operator.weight.or(standing.content.weight),
        canary: operator.canary.unwrap_or(standing.content.canary),
        ..(*standing.content).clone()
    };
    Some((status, Arc::new(content)))
}
