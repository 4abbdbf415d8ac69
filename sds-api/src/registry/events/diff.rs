//! What changed from one snapshot to the next, instance by instance. Pure, and quick where nothing changed: services that
//! both snapshots share are not looked into.

use std::{collections::HashMap, sync::Arc};

use super::{Changed, Ended, What};
use crate::{
    clock::Timestamp,
    instance::{Content, Gone, Key, Override},
    registry::snapshot::{Instance, Service, Snapshot},
};

/// One difference.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference {
    /// Whose.
    pub key: Key,
    /// Its incarnation, now or, if it left, before.
    pub incarnation: u64,
    /// What.
    pub what: What,
}

/// All differences, by service; `gone` knows the word by which an instance left, if it was one.
pub fn diff(
    before: &Snapshot,
    after: &Snapshot,
    gone: impl Fn(&Key) -> Option<Gone>,
    wall: Timestamp,
) -> Vec<Difference> {
    let mut changed: Vec<(Option<&Service>, Option<&Service>)> = Vec::new();
    for (name, new) in &after.services {
        match before.services.get(name) {
            Some(old) if Arc::ptr_eq(old, new) => {}
            old => changed.push((old.map(Arc::as_ref), Some(new))),
        }
    }
    for (name, old) in &before.services {
        if !after.services.contains_key(name) {
            changed.push((Some(old), None));
        }
    }
    changed.sort_unstable_by_key(|(old, new)| new.or(*old).map(|service| &service.name));
    let mut found = Vec::new();
    for (old, new) in changed {
        of_service(old, new, &gone, wall, &mut found);
    }
    found
}

fn of_service(
    old: Option<&Service>,
    new: Option<&Service>,
    gone: impl Fn(&Key) -> Option<Gone>,
    wall: Timestamp,
    found: &mut Vec<Difference>,
) {
    let Some(service) = new.or(old).map(|service| &service.name) else { return };
    let mut left: HashMap<_, _> = instances(old).iter().map(|instance| (instance.endpoint, instance)).collect();
    for new in instances(new) {
        let mut tell = |what| {
            let key = Key { service: service.clone(), endpoint: new.endpoint };
            found.push(Difference { key, incarnation: new.at.incarnation, what });
        };
        match left.remove(&new.endpoint) {
            None => {
                tell(What::Registered(new.status));
                if let Some(operator) = &new.operator {
                    tell(What::Overridden(operator.clone()));
                }
            }
            Some(old) => of_instance(old, new, wall, tell),
        }
    }
    // What is left over left.
    for old in instances(old).iter().filter(|old| left.contains_key(&old.endpoint)) {
        let key = Key { service: service.clone(), endpoint: old.endpoint };
        let what = gone(&key).map_or(What::Silent, What::Deregistered);
        found.push(Difference { key, incarnation: old.at.incarnation, what });
    }
}

fn instances(service: Option<&Service>) -> &[Instance] {
    service.map_or(&[], |service| &service.instances)
}

fn of_instance(old: &Instance, new: &Instance, wall: Timestamp, mut tell: impl FnMut(What)) {
    let mut moved_in = false;
    if old.at.incarnation != new.at.incarnation {
        let (from, to) = (old.content.tenant(old.at), new.content.tenant(new.at));
        moved_in = from != to;
        tell(if moved_in { What::NewTenant { from, to } } else { What::Restarted(new.at.incarnation) });
    }
    match (&old.operator, &new.operator) {
        (old, Some(new)) if old.as_ref() != Some(new) => tell(What::Overridden(new.clone())),
        (Some(old), None) => tell(What::OverrideEnded(ended(old, moved_in, wall))),
        _ => {}
    }
    if old.status != new.status {
        tell(What::Status { from: old.status, to: new.status });
    }
    if !Arc::ptr_eq(&old.content, &new.content) {
        let changed = of_content(&old.content, &new.content);
        if !changed.is_empty() {
            tell(What::Changed(changed));
        }
    }
}

fn ended(old: &Override, moved_in: bool, wall: Timestamp) -> Ended {
    if old.until <= wall.seconds() {
        Ended::RanOut
    } else if moved_in {
        Ended::NewTenant
    } else {
        Ended::TakenBack
    }
}

fn of_content(old: &Content, new: &Content) -> Vec<Changed> {
    let mut changed = Vec::new();
    if old.weight != new.weight {
        changed.push(Changed::Weight(old.weight, new.weight));
    }
    if old.canary != new.canary {
        changed.push(Changed::Canary(new.canary));
    }
    if old.revision != new.revision {
        changed.push(Changed::Revision(old.revision.to_string(), new.revision.to_string()));
    }
    let others = [
        ("locality", old.locality != new.locality),
        ("instance_id", old.instance_id != new.instance_id),
        ("task_arn", old.task_arn != new.task_arn),
        ("service_repo_name", old.service_repo_name != new.service_repo_name),
        ("tags", old.tags != new.tags),
    ];
    changed.extend(others.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| Changed::Other(name)));
    changed
}
