use std::{sync::Arc, time::Duration};

use sds_types::{Label, Sequence};

use super::*;
use crate::{
    instance::{Content, Key, Origin, Override, Registration, Row, Standing, Status},
    registry::{
        Facts, LastHeard, What,
        explain::{Answered, Explained, State},
    },
};

fn wall() -> Timestamp {
    Timestamp::of_seconds(1_800_000_000)
}

fn key() -> Key {
    Key { service: "web".parse().unwrap(), endpoint: "10.0.0.1:80".parse().unwrap() }
}

fn facts() -> Facts {
    let label = |text: &str| Label::parse("label", text).unwrap();
    let mut content = Content { canary: true, revision: label("r1"), ..Content::default() };
    content.weight = Some(7.try_into().unwrap());
    content.locality.zone = Label::parse("zone", "a").unwrap();
    content.task_arn = Label::parse("task", "task-1").unwrap();
    content.tags = sds_types::Tags::parse([("shard".to_owned(), "x".to_owned())].into()).unwrap();
    let standing = Registration {
        status: Status::Healthy,
        content: Arc::new(content),
        origin: Origin::Native,
        lost: false,
        expire_time: 0,
    };
    let said = Override {
        status: Some(Status::Unhealthy),
        weight: None,
        canary: None,
        reason: Label::parse("reason", "bad disk").unwrap(),
        who: Label::parse("who", "ann").unwrap(),
        until: wall().seconds() + 3600,
        tenant: "task-1".into(),
    };
    Facts {
        row: Row {
            key: key(),
            at: Sequence { incarnation: 5, seq: 9 },
            rev: 12,
            standing: Standing::In(standing),
            operator: Some(Arc::new(said)),
        },
        served: true,
        held: false,
        kept: false,
        late: false,
        dirty: false,
        owed: false,
        heard: Some(LastHeard { age: Duration::from_millis(3_200), at: wall(), by: None }),
        lease: Duration::from_secs(30),
    }
}

fn explained() -> Explained {
    let listed = |listed, because: &str| Answered { listed, because: because.into() };
    Explained {
        state: State::InService,
        because: "heard 3.2s ago, its lease is 30.0s".into(),
        status: Some(Status::Unhealthy),
        v1: listed(false, "unhealthy, and 2 healthy are there"),
        eds: listed(true, "unhealthy: an operator says so, bad disk"),
        native: listed(true, "every instance in service is"),
    }
}

fn looked(facts: Option<Facts>, quarantine: Option<&str>) -> Looked {
    Looked {
        name: "web/10.0.0.1:80".into(),
        facts,
        service: None,
        quarantine: quarantine.map(str::to_owned),
        fresh: wall(),
    }
}

#[test]
fn an_instance_for_a_terminal_and_for_a_program() {
    let looked = looked(Some(facts()), None);
    let events = [Event { n: 4, at: wall(), key: Some(key()), what: What::Registered(Status::Healthy) }];
    let shown = Shown::of("web", "10.0.0.1:80", &looked, Some(&explained()), &events, wall());
    insta::assert_snapshot!("text", shown.text());
    insta::assert_snapshot!("json", serde_json::to_string_pretty(&shown).unwrap());
}

#[test]
fn a_row_that_is_left_out() {
    let mut looked = looked(None, Some("'app.local' is not an IPv4 or IPv6 address literal"));
    looked.name = "web/app.local:80".into();
    let shown = Shown::of("web", "app.local:80", &looked, None, &[], wall());
    insta::assert_snapshot!(shown.text());
    assert!(serde_json::to_string(&shown).unwrap().contains(r#""state":"quarantined""#));
}

#[test]
fn what_is_unknown_says_where_was_looked() {
    let told = |service, host| unknown(service, host, &looked(None, None)).to_string();
    assert!(told("web", "10.0.0.9:80").contains("nothing is known of web/10.0.0.9:80"));
    assert!(told("web", "10.0.0.9:80").contains("as of 2027-01-15T08:00:00Z"));
    assert!(told("web", "10.0.0.9:0").contains("is not a port"));
    assert!(told("a b", "10.0.0.9:80").contains("is not a service name"));
}
