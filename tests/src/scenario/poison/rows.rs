//! The bad rows: a good one with one thing that is wrong.

use std::fmt;

use aws_sdk_dynamodb::types::AttributeValue;

use crate::table::{Item, good_row, n, s};

/// One thing that is wrong.
pub struct Kind {
    /// Its sort key.
    pub at: String,
    name: &'static str,
    value: Option<AttributeValue>,
}

impl Kind {
    fn at(ip_port: &str) -> Self {
        Self { at: ip_port.to_owned(), name: "ip_port", value: Some(s(ip_port)) }
    }

    /// The row, of a service.
    pub fn row(&self, service: &str) -> Item {
        let mut row = good_row(service, &self.at);
        match &self.value {
            Some(value) => row.insert(self.name.to_owned(), value.clone()),
            None => row.remove(self.name),
        };
        row
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {} {:.60}", self.at.escape_debug(), self.name, format!("{:?}", self.value))
    }
}

/// A map attribute.
pub fn map<const N: usize>(entries: [(&str, AttributeValue); N]) -> AttributeValue {
    AttributeValue::M(entries.map(|(name, value)| (name.to_owned(), value)).into())
}

/// All of them.
pub fn kinds() -> Vec<Kind> {
    let spelled = SPELLED.iter().map(|ip_port| Kind::at(ip_port));
    let tags = tags().into_iter().map(|tags| ("tags", Some(tags)));
    let others = others().into_iter().chain(tags);
    let attributes = others.zip(1..).map(|((name, value), nth)| {
        let at = format!("10.0.8.{nth}:80");
        Kind { at, name, value }
    });
    spelled.chain(attributes).collect()
}

const SPELLED: [&str; 31] = [
    "app.local:80",
    "localhost:80",
    "10.0.9.1",
    "10.0.9.1:",
    ":80",
    "10.0.9.1:0",
    "10.0.9.1:65536",
    "10.0.9.1:-1",
    "10.0.9.1:80.0",
    "10.0.9.1:\"80\"",
    "10.0.9.1:abc",
    "10.0.9.1:080",
    "10.0.9.1:+80",
    "010.0.9.1:80",
    "10.0.9:80",
    "0x0a000901:80",
    "10.0.9.256:80",
    " 10.0.9.1:80",
    "10.0.9.1:80\n",
    "10.0.9.1:8\0",
    "0.0.0.0:80",
    "255.255.255.255:80",
    "239.0.0.1:80",
    "240.0.0.1:80",
    "169.254.1.1:80",
    "127.0.0.1:80",
    "192.168.0.1:80",
    "[::ffff:10.0.9.1]:80",
    "[ff02::1]:80",
    "[fe80::1]:80",
    "fd00::1:80",
];

fn others() -> Vec<(&'static str, Option<AttributeValue>)> {
    let lists = |value| AttributeValue::L(vec![value]);
    vec![
        ("status", None),
        ("status", Some(s("FINE"))),
        ("status", Some(s("healthy"))),
        ("status", Some(n(1))),
        ("seq", None),
        ("seq", Some(n("1.5"))),
        ("rev", None),
        ("rev", Some(s("x"))),
        ("rev", Some(n("1e30"))),
        ("incarnation", Some(s("1"))),
        ("incarnation", Some(n(-1))),
        ("incarnation", Some(n(0))),
        ("incarnation", Some(AttributeValue::Null(true))),
        ("origin", Some(lists(s("native")))),
        ("task", Some(s("a\u{1b}[2J"))),
        ("revision", Some(s(&"x".repeat(390_000)))),
        ("revision", Some(s("a\nb"))),
        ("revision", Some(s("a\0b"))),
        ("revision", Some(n(7))),
        ("service_repo_name", Some(lists(s("repo")))),
    ]
}

fn tags() -> Vec<AttributeValue> {
    let weights = [n(0), n(101), n("1.5"), n(-1), s("5"), AttributeValue::Null(true), AttributeValue::Bool(true)];
    let mut all: Vec<_> = weights.map(|weight| map([("load_balancing_weight", weight)])).into();
    all.extend([
        s("az=a"),
        AttributeValue::Null(true),
        map([("az", n(1))]),
        map([("az", s("a\r\nb"))]),
        map([("region", s(&"r".repeat(65)))]),
        map([("canary", s("true"))]),
        map([("instance_id", AttributeValue::Null(true))]),
        map([("other", n(1))]),
        map([("other", s(&"o".repeat(5000)))]),
    ]);
    let many = (0..33).map(|nth| (format!("tag-{nth}"), s("")));
    all.push(AttributeValue::M(many.collect()));
    all
}
