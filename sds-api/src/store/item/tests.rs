use aws_sdk_dynamodb::types::AttributeValue;
use proptest::prelude::*;
use sds_types::Label;

use super::*;
use crate::{
    instance::{Content, Gone, Override, Row, Standing, Status},
    store::expression::Update,
};

fn good() -> Item {
    [
        ("service", s("web")),
        ("ip_port", s("10.0.0.1:80")),
        ("incarnation", n(1)),
        ("seq", n(1)),
        ("rev", n(1)),
        ("status", s("HEALTHY")),
        ("tags", tags(&Content::default())),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn foreign() -> Item {
    let tags = [("az", s("a")), ("region", s("r")), ("instance_id", s("i")), ("canary", AttributeValue::Bool(true))];
    [
        ("service", s("web")),
        ("ip_port", s("10.0.0.1:80")),
        ("expire_time", n(77)),
        ("last_check_in", s("2017-07-14 02:40:00.000042+00:00")),
        ("revision", s("r1")),
        ("tags", AttributeValue::M(tags.map(|(name, value)| (name.to_owned(), value)).into())),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn row(item: &Item) -> Option<Row> {
    match read(item) {
        Read::Row(row) => Some(row),
        _ => None,
    }
}

#[test]
fn a_bad_row_is_named_not_fatal() {
    assert!(row(&good()).is_some());
    let weight = AttributeValue::M([("load_balancing_weight".to_owned(), n(0))].into());
    for (name, value) in [
        ("ip_port", s("app.local:80")),
        ("ip_port", s("10.0.0.1:0")),
        ("ip_port", s("010.0.0.1:80")),
        ("ip_port", s("[::ffff:10.0.0.1]:80")),
        ("service", s("a/b")),
        ("status", s("FINE")),
        ("status", n(1)),
        ("rev", s("x")),
        ("seq", AttributeValue::N("1.5".into())),
        ("incarnation", n(0)),
        ("incarnation", s("1")),
        ("tags", s("az=a")),
        ("tags", weight),
        ("revision", s("a\nb")),
    ] {
        let mut item = good();
        item.insert(name.into(), value.clone());
        let Read::Bad(bad) = read(&item) else { panic!("{name} {value:?} was accepted") };
        assert!(!bad.reason.is_empty() && !bad.key.contains(char::is_control), "{bad:?}");
    }
}

#[test]
fn a_newer_releases_row_is_read_as_far_as_it_is_known() {
    let mut item = good();
    item.insert("fmt".into(), n(FMT + 1));
    item.insert("quorum".into(), AttributeValue::Bool(true));
    assert_eq!(row(&item), row(&good()));
}

#[test]
fn whatever_stands_in_gone_is_gone() {
    for (value, why) in [(s("unhealthy"), Gone::Unhealthy), (s("bored"), Gone::Stopped), (n(1), Gone::Stopped)] {
        let mut item = good();
        item.insert("gone".into(), value);
        assert_eq!(row(&item).unwrap().standing, Standing::Gone(why));
    }
}

#[test]
fn the_ancestors_rows_are_read_as_the_ancestor_reads_them() {
    let read_as = row(&foreign()).unwrap();
    assert!(read_as.is_foreign() && read_as.rev == 77);
    let registration = read_as.registration().unwrap();
    assert_eq!((registration.status, registration.expire_time), (Status::Healthy, 77));
    assert_eq!((registration.content.locality.zone.as_str(), registration.content.canary), ("a", true));
    let of = |weight| {
        let mut item = foreign();
        let tags = [("load_balancing_weight".to_owned(), weight), ("odd".to_owned(), n(1))];
        item.insert("tags".into(), AttributeValue::M(tags.into()));
        row(&item).map(|row| row.registration().unwrap().content.weight.map(|weight| weight.get()))
    };
    assert_eq!([n(1), n(100), n(101), n(255)].map(of), [Some(1), Some(100), Some(100), Some(100)].map(Some));
    assert_eq!([n(0), n(256), AttributeValue::N("1.5".into())].map(of), [None; 3]);
    assert_eq!([s("5"), AttributeValue::Null(true)].map(of), [Some(None); 2]);
}

#[test]
fn what_a_foreign_row_must_have_and_what_not() {
    for name in ["tags", "revision", "last_check_in"] {
        let mut item = foreign();
        item.remove(name);
        assert!(row(&item).is_some(), "without {name}");
    }
    // Without an end it would live for ever.
    let mut item = foreign();
    item.remove("expire_time");
    assert!(matches!(read(&item), Read::Bad(bad) if bad.reason.contains("expire_time")));
    let mut item = foreign();
    item.insert("service".into(), s("_x"));
    assert!(matches!(read(&item), Read::Bad(_)));
}

#[test]
fn the_registrys_own_rows_are_nobodys() {
    let mut own = good();
    own.insert("service".into(), s("#meta"));
    assert!(matches!(read(&own), Read::Own(name) if name == "#meta"));
}

fn word() -> Override {
    Override {
        status: Some(Status::Draining),
        weight: Some(7.try_into().unwrap()),
        canary: Some(false),
        reason: Label::parse("reason", "bad disk").unwrap(),
        who: Label::parse("who", "eve").unwrap(),
        until: 1_900_000_000,
        tenant: "1".into(),
    }
}

fn overridden(word: &Override) -> Item {
    let update = set_override(Update::default(), Some(word));
    let mut item = good();
    item.extend(update.values.iter().map(|(name, value)| (name[1..].to_owned(), value.clone())));
    item
}

#[test]
fn an_operators_word_is_read_as_it_is_written() {
    let bare = Override {
        status: None,
        weight: None,
        canary: None,
        reason: Label::default(),
        who: Label::default(),
        until: 1,
        tenant: String::new(),
    };
    for word in [word(), bare] {
        assert_eq!(row(&overridden(&word)).unwrap().operator.as_deref(), Some(&word));
    }
    assert_eq!(row(&good()).unwrap().operator, None);
}

#[test]
fn a_word_that_cannot_be_read_in_full_is_not_obeyed() {
    for (name, value) in [
        ("ov_status", s("HEALTHY")),
        ("ov_weight", n(0)),
        ("ov_canary", s("yes")),
        ("ov_until", s("soon")),
        ("ov_task", n(1)),
        ("ov_who", s("a\nb")),
    ] {
        let mut item = overridden(&word());
        item.insert(name.into(), value);
        assert_eq!(row(&item).expect("it took its row along").operator, None, "{name}");
    }
}

fn value() -> impl Strategy<Value = AttributeValue> {
    let leaf = prop_oneof![
        ".{0,20}".prop_map(AttributeValue::S),
        ".{0,20}".prop_map(AttributeValue::N),
        any::<u64>().prop_map(n),
        any::<bool>().prop_map(AttributeValue::Bool),
        Just(AttributeValue::Null(true)),
        Just(AttributeValue::Ss(vec![])),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        let name = "az|region|canary|instance_id|load_balancing_weight|x";
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(AttributeValue::L),
            prop::collection::hash_map(name, inner, 0..4).prop_map(AttributeValue::M),
        ]
    })
}

const NAMES: [&str; 22] = [
    "service",
    "ip_port",
    "incarnation",
    "seq",
    "rev",
    "status",
    "tags",
    "gone",
    "task",
    "lost",
    "origin",
    "revision",
    "service_repo_name",
    "expire_time",
    "fmt",
    "ov_status",
    "ov_weight",
    "ov_canary",
    "ov_reason",
    "ov_who",
    "ov_until",
    "ov_task",
];

proptest! {
    #[test]
    fn nothing_in_the_table_panics(
        base in prop_oneof![Just(good()), Just(foreign()), Just(overridden(&word()))],
        changes in prop::collection::vec((0..NAMES.len(), prop::option::of(value())), 0..5),
    ) {
        let mut item = base;
        for (name, value) in changes {
            match value {
                Some(value) => item.insert(NAMES[name].into(), value),
                None => item.remove(NAMES[name]),
            };
        }
        let _ = (read(&item), sequence(&item), read_key(&item));
    }
}
