use std::sync::Arc;

use sds_types::{Label, Weight};

use super::*;
use crate::{
    clock::Timestamp,
    instance::{Key, Override, Status},
};

fn event(n: u64, what: What) -> Event {
    let key = (!matches!(what, What::Serving { .. }))
        .then(|| Key { service: "web".parse().unwrap(), endpoint: "10.0.0.1:80".parse().unwrap() });
    Event { n, at: Timestamp::of_millis(1_800_000_000_000 + n), key, what }
}

#[test]
fn a_page_for_a_terminal() {
    let weight = |n: i64| Weight::try_from(n).ok();
    let said = Override {
        status: Some(Status::Draining),
        weight: weight(7),
        canary: None,
        reason: Label::parse("reason", "bad disk").unwrap(),
        who: Label::parse("who", "ann").unwrap(),
        until: 1_800_003_600,
        tenant: "task-1".into(),
    };
    let changed = vec![
        Changed::Weight(None, weight(7)),
        Changed::Canary(true),
        Changed::Revision("r1".into(), String::new()),
        Changed::Other("tags"),
    ];
    let whats = [
        What::Serving { services: 3, instances: 40 },
        What::Registered(Status::Healthy),
        What::Restarted(6),
        What::NewTenant { from: "task-1".into(), to: "task-2".into() },
        What::Status { from: Status::Healthy, to: Status::Unhealthy },
        What::Changed(changed),
        What::Overridden(Arc::new(said)),
        What::OverrideEnded(Ended::RanOut),
        What::OverrideEnded(Ended::TakenBack),
        What::OverrideEnded(Ended::NewTenant),
        What::Held,
        What::HeardAgain,
        What::Silent,
        What::Deregistered(Gone::Deregistered),
        What::Deregistered(Gone::Unhealthy),
        What::Deregistered(Gone::Stopped),
    ];
    let events: Vec<_> = (1..).zip(whats).map(|(n, what)| event(n, what)).collect();
    let shown: Vec<_> = events.iter().map(EventShown::of).collect();
    insta::assert_snapshot!(text(&shown));
    insta::assert_snapshot!("json", serde_json::to_string_pretty(&shown[..2]).unwrap());
}
