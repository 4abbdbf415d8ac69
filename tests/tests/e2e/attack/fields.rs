//! Fields that an Envoy or a reader would choke on, in both dialects.

use e2e::api::registration;
use serde_json::{Map, Value, json};

use super::{Attack, FREE, SERVICE, Says, instance};

pub fn rows() -> Vec<Attack> {
    let mut rows = endpoints();
    rows.extend(fields().into_iter().flat_map(|(id, field, bad)| native(id, field, &bad)));
    rows.extend(legacy().iter().map(cookpad));
    rows.extend(goodbyes());
    rows
}

/// An address and a port stand in the path.
fn endpoints() -> Vec<Attack> {
    let body = registration((1, 1), json!({})).to_string();
    let mut rows = Vec::new();
    for (at, id) in [
        ("app.local:80", "InvalidAddress"),
        ("localhost:80", "InvalidAddress"),
        ("010.0.0.2:80", "InvalidAddress"),
        ("0x0a.0.0.2:80", "InvalidAddress"),
        ("167772162:80", "InvalidAddress"),
        ("10.0.0:80", "InvalidAddress"),
        ("10.0.0.256:80", "InvalidAddress"),
        ("10.0.0.2%20:80", "InvalidAddress"),
        ("0.0.0.0:80", "InvalidAddress"),
        ("0.1.2.3:80", "InvalidAddress"),
        ("255.255.255.255:80", "InvalidAddress"),
        ("224.0.0.1:80", "InvalidAddress"),
        ("239.1.1.1:80", "InvalidAddress"),
        ("240.0.0.1:80", "InvalidAddress"),
        ("169.254.1.1:80", "InvalidAddress"),
        ("169.254.169.254:80", "InvalidAddress"),
        ("[ff02::1]:80", "InvalidAddress"),
        ("[fe80::1]:80", "InvalidAddress"),
        ("[fe80::1%25eth0]:80", "InvalidAddress"),
        ("[::]:80", "InvalidAddress"),
        ("[::ffff:0.0.0.0]:80", "InvalidAddress"),
        ("[::ffff:224.0.0.1]:80", "InvalidAddress"),
        ("[2001:DB8::1]:80", "InvalidAddress"),
        ("[2001:db8:0::1]:80", "InvalidAddress"),
        ("2001:db8::1:80", "InvalidAddress"),
        ("[10.0.0.2]:80", "InvalidAddress"),
        ("10.0.0.2", "InvalidAddress"),
        (":80", "InvalidAddress"),
        ("10.0.0.2:", "InvalidPort"),
        ("10.0.0.2:0", "InvalidPort"),
        ("10.0.0.2:65536", "InvalidPort"),
        ("10.0.0.2:-1", "InvalidPort"),
        ("10.0.0.2:+80", "InvalidPort"),
        ("10.0.0.2:80.0", "InvalidPort"),
        ("10.0.0.2:080", "InvalidPort"),
        ("10.0.0.2:%2280%22", "InvalidPort"),
        ("10.0.0.2:http", "InvalidPort"),
    ] {
        let field = if id == "InvalidPort" { "port" } else { "ip" };
        let refused = |method: &str, path: &str| Attack::new(method, path, &body, 400, Says::Native(id, field));
        rows.push(refused("PUT", &instance(at)));
        rows.push(refused("POST", &format!("{}/drain", instance(at))));
        rows.push(refused("DELETE", &format!("{}?incarnation=9&seq=9", instance(at))));
    }
    rows
}

/// Fields of a sidecar's body: the error's id, the field that it names, and what is laid over a good registration.
fn fields() -> Vec<(&'static str, &'static str, Value)> {
    let long = |n: usize| "z".repeat(n);
    let many: Map<_, _> = (0..33).map(|n| (n.to_string(), json!("x"))).collect();
    let mut fields = vec![
        ("InvalidHealth", "health", json!({"health": "fine"})),
        ("InvalidHealth", "health", json!({"health": "HEALTHY"})),
        ("InvalidHealth", "health", json!({"health": "draining"})),
        ("InvalidHealth", "health", json!({"health": null})),
        ("InvalidType", "health", json!({"health": true})),
        ("InvalidText", "locality.zone", json!({"locality": {"zone": long(65)}})),
        ("InvalidText", "locality.region", json!({"locality": {"region": "a\nb"}})),
        ("InvalidType", "zone", json!({"locality": {"zone": 1}})),
        ("InvalidType", "locality", json!({"locality": []})),
        ("InvalidText", "revision", json!({"revision": "a\u{1b}[2Jb"})),
        ("InvalidText", "revision", json!({"revision": "a\u{7f}b"})),
        ("InvalidText", "revision", json!({"revision": long(257)})),
        ("InvalidType", "revision", json!({"revision": 7})),
        ("InvalidText", "instance_id", json!({"instance_id": "a\rb"})),
        ("InvalidText", "task_arn", json!({"task_arn": long(513)})),
        ("InvalidTags", "tags", json!({"tags": many})),
        ("InvalidTags", "tags", json!({"tags": {"a": long(4097)}})),
        ("InvalidTags", "tags", json!({"tags": {"a": long(2048), "b": long(2048)}})),
        ("InvalidTags", "tags", json!({"tags": {"a": 1}})),
        ("InvalidTags", "tags", json!({"tags": {"a": null}})),
        ("InvalidTags", "tags", json!({"tags": {"": "x"}})),
        ("InvalidTags", "tags", json!({"tags": {"a\n": "x"}})),
        ("InvalidTags", "tags", json!({"tags": {"a": "x\0"}})),
        ("InvalidTags", "tags", json!({"tags": {"az": "x"}})),
        ("InvalidType", "tags", json!({"tags": ["a"]})),
        ("InvalidType", "tags", json!({"tags": "a"})),
        ("InvalidType", "canary", json!({"canary": "true"})),
        ("InvalidType", "canary", json!({"canary": 1})),
    ];
    let weights =
        [json!(0), json!(101), json!(-1), json!(256), json!(1.5), json!(5.0), json!("5"), json!([5]), json!(true)];
    fields.extend(weights.map(|weight| ("InvalidWeight", "weight", json!({ "weight": weight }))));
    for counter in ["incarnation", "seq"] {
        let values = [json!(0), json!(-1), json!("1"), json!(1.5), json!(null), json!(1e30), json!([1])];
        fields.extend(values.map(|value| ("InvalidSequence", counter, json!({ counter: value }))));
    }
    fields.push(("InvalidSequence", "incarnation", json!({"incarnation": u64::MAX})));
    fields
}

fn native(id: &'static str, field: &'static str, bad: &Value) -> Vec<Attack> {
    let body = registration((9, 9), bad.clone()).to_string();
    let mut rows = vec![Attack::new("PUT", &instance(FREE), &body, 400, Says::Native(id, field))];
    // A drain takes the same body but for the health.
    if field != "health" {
        rows.push(Attack::new("POST", &format!("{}/drain", instance(FREE)), &body, 400, Says::Native(id, field)));
    }
    rows
}

/// What is laid over a good host of cookpad's.
fn legacy() -> Vec<Value> {
    let long = "z".repeat(65);
    let mut bad: Vec<_> = [
        json!("app.local"),
        json!("010.0.0.2"),
        json!("0.0.0.0"),
        json!("255.255.255.255"),
        json!("224.0.0.1"),
        json!("240.0.0.1"),
        json!("169.254.1.1"),
        json!("fe80::1"),
        json!("ff02::1"),
        json!("[2001:db8::1]"),
        json!("2001:DB8::1"),
        json!("10.0.0.2\n"),
        json!(1),
        json!(null),
    ]
    .map(|ip| json!({ "ip": ip }))
    .into();
    let ports = [json!(0), json!(65536), json!(-1), json!(80.0), json!("80"), json!(null), json!([80])];
    bad.extend(ports.map(|port| json!({ "port": port })));
    let weights = [json!(0), json!(101), json!(255), json!(-1), json!(1.5), json!(5.0), json!("5")];
    bad.extend(weights.map(|weight| json!({"tags": {"load_balancing_weight": weight}})));
    bad.extend([
        json!({"tags": {"canary": "true"}}),
        json!({"tags": {"az": long}}),
        json!({"tags": {"az": "a\tb"}}),
        json!({"tags": {"region": long}}),
        json!({"tags": {"az": 1}}),
        json!({"tags": {"instance_id": "a\nb"}}),
        json!({"tags": []}),
        json!({"revision": "a\nb"}),
        json!({"revision": 1}),
    ]);
    bad
}

fn cookpad(bad: &Value) -> Attack {
    let mut host = json!({"ip": "10.0.0.2", "port": 80, "revision": "r", "tags": {}});
    for (name, value) in bad.as_object().into_iter().flatten() {
        host[name] = value.clone();
    }
    Attack::new("POST", &format!("/v1/registration/{SERVICE}"), host.to_string(), 400, Says::Text(""))
}

/// What a goodbye has to say stands in its query.
fn goodbyes() -> Vec<Attack> {
    let says = |field| Says::Native("InvalidSequence", field);
    [
        ("", "incarnation"),
        ("?seq=9", "incarnation"),
        ("?incarnation=", "incarnation"),
        ("?incarnation=x&seq=9", "incarnation"),
        ("?incarnation=0&seq=9", "incarnation"),
        ("?incarnation=-1&seq=9", "incarnation"),
        ("?incarnation=1.5&seq=9", "incarnation"),
        ("?incarnation=18446744073709551615&seq=9", "incarnation"),
        ("?incarnation=18446744073709551616&seq=9", "incarnation"),
        ("?incarnation=9&seq=0", "seq"),
        ("?incarnation=9&seq=x", "seq"),
    ]
    .map(|(query, field)| Attack::new("DELETE", &format!("{}{query}", instance(super::AT)), "", 400, says(field)))
    .into()
}
