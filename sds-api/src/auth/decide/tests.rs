//! Who may do what.

use super::*;
use crate::auth::token::Hash;

const POLICY: &str = "
[[services]]
names = ['pay']
mode = 'aws'
[[tokens]]
name = 'own'
sha256 = ['HASH-own']
register = ['web', 'pay']
cidrs = ['10.0.0.0/8']
[[tokens]]
name = 'central'
sha256 = ['HASH-central']
register = ['*']
operate = ['web']
on_behalf = true
[[tokens]]
name = 'sibling'
sha256 = ['HASH-sibling']
snapshot = true
[[tokens]]
name = 'bus'
sha256 = ['HASH-bus']
events = true
[[tasks]]
role = 'arn:aws:iam::123456789012:role/pay'
cluster = 'prod'
register = ['pay']
";

fn policy() -> Policy {
    let names = ["own", "central", "sibling", "bus"];
    let text = names.iter().fold(POLICY.to_owned(), |text, name| {
        text.replace(&format!("HASH-{name}"), &Hash::of(&format!("sds_token_{name}")).to_string())
    });
    Policy::parse(&text).unwrap()
}

fn peer(addr: &str, hidden: bool) -> Option<Peer> {
    Some(Peer { addr: addr.parse().unwrap(), hidden, certified: false })
}

fn may(token: &str, deed: Deed<'_>, peer: Option<Peer>) -> bool {
    let policy = policy();
    token_may(&policy, &policy.token(&format!("sds_token_{token}")).unwrap(), deed, peer).is_ok()
}

fn at(service: &str, ip: &str) -> Deed<'static> {
    let service = ["web", "pay", "db"].into_iter().find(|known| *known == service).unwrap();
    Deed::Register { service, ip: ip.parse().unwrap() }
}

#[test]
fn tokens_register_what_they_were_given() {
    let own = peer("10.0.0.1:4711", false);
    for (token, service, ip, from, ok) in [
        ("own", "web", "10.0.0.1", own, true),
        ("own", "web", "10.0.0.2", own, false),
        ("own", "web", "10.0.0.1", peer("[::ffff:10.0.0.1]:1", false), true),
        ("own", "web", "10.0.0.1", peer("10.0.0.1:4711", true), false),
        ("own", "web", "10.0.0.1", None, false),
        ("own", "web", "192.168.0.1", peer("192.168.0.1:1", false), false),
        ("own", "db", "10.0.0.1", own, false),
        ("own", "pay", "10.0.0.1", own, false),
        ("central", "web", "10.0.0.2", own, true),
        ("central", "db", "192.168.0.1", peer("10.0.0.1:4711", true), true),
        ("central", "pay", "10.0.0.2", own, false),
        ("sibling", "web", "10.0.0.1", own, false),
    ] {
        assert_eq!(may(token, at(service, ip), from), ok, "{token} {service} {ip} {from:?}");
    }
}

#[test]
fn other_deeds_need_their_own_grant() {
    let deeds = [Deed::Operate { service: "web" }, Deed::Operate { service: "db" }, Deed::Snapshot, Deed::Events];
    for (token, expected) in [
        ("own", [false; 4]),
        ("central", [true, false, false, false]),
        ("sibling", [false, false, true, false]),
        ("bus", [false, false, false, true]),
    ] {
        assert_eq!(deeds.map(|deed| may(token, deed, peer("10.0.0.1:1", false))), expected, "{token}");
    }
}

#[test]
fn a_task_registers_and_no_more() {
    let task = TaskFacts {
        role: "arn:aws:iam::123456789012:role/pay",
        cluster: "arn:aws:ecs:eu-west-1:123456789012:cluster/prod",
        family: "pay",
        group: "service:pay",
        has_address: true,
    };
    let may = |deed| task_may(&policy(), task, deed).is_ok();
    assert!(may(at("pay", "10.0.0.1")));
    assert!(!may(at("web", "10.0.0.1")) && !may(Deed::Operate { service: "pay" }) && !may(Deed::Snapshot));
}

#[test]
fn who_is_on_this_machine() {
    let local = |addr, hidden| is_local(peer(addr, hidden));
    for here in ["127.0.0.1:9", "127.0.0.2:9", "[::1]:9", "[::ffff:127.0.0.1]:9"] {
        assert!(local(here, false), "{here}");
        assert!(!local(here, true), "a proxy on {here} may speak for anybody");
    }
    for elsewhere in ["10.0.0.1:9", "[2001:db8::1]:9", "[::ffff:10.0.0.1]:9"] {
        assert!(!local(elsewhere, false), "{elsewhere}");
    }
    assert!(!is_local(None));
}
