//! A value that an Envoy would choke on is refused with a 400 that names the field, in both dialects; the table and the
//! answers are the same before and after.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use e2e::{
    api::{Api, native_path, registration},
    raw,
    table::Item,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::play;

const AT: &str = "10.0.0.1:80";

/// What must not move: the rows, and what the pollers are told.
async fn state(api: &mut Api) -> anyhow::Result<(BTreeMap<String, Item>, String, String)> {
    let eds = api.eds("v3", &["web"], "").await?.expect(200)?.text();
    Ok((api.table().await?.rows().await?, format!("{:?}", api.v1("web").await?), eds))
}

/// A native error: JSON of our own words, with a field.
fn check(answer: &e2e::http::Answer, status: u16, id: &str, field: &str) -> anyhow::Result<()> {
    let text = answer.text();
    ensure!(answer.status == status, "expected {status}, got {}: {text}", answer.status);
    let body = answer.json()?;
    ensure!(body["id"] == id && body["field"] == field, "expected {id} of {field}: {text}");
    let reason = body["reason"].as_str().context("no reason")?;
    let library = ["expected", "line 1", "column", "missing field", "invalid type"];
    ensure!(!reason.is_empty() && !library.iter().any(|words| reason.contains(words)), "a library speaks: {reason}");
    ensure!(!reason.chars().any(char::is_control), "control characters: {reason:?}");
    ensure!(!answer.header("x-request-id").is_empty(), "no request id");
    Ok(())
}

#[test]
fn addresses_that_no_client_could_use() {
    play("addresses_that_no_client_could_use", async |stage| {
        let mut api = Api::start(stage, &[]).await?;
        api.put("web", AT, (1, 1), json!({})).await?.expect(200)?;
        let before = state(&mut api).await?;
        let body = registration((1, 1), json!({})).to_string();
        for (at, id) in [
            ("app.local:80", "InvalidAddress"),
            ("010.0.0.1:80", "InvalidAddress"),
            ("10.0.0:80", "InvalidAddress"),
            ("0.0.0.0:80", "InvalidAddress"),
            ("255.255.255.255:80", "InvalidAddress"),
            ("224.0.0.1:80", "InvalidAddress"),
            ("240.0.0.1:80", "InvalidAddress"),
            ("169.254.1.1:80", "InvalidAddress"),
            ("[ff02::1]:80", "InvalidAddress"),
            ("[fe80::1]:80", "InvalidAddress"),
            ("[::]:80", "InvalidAddress"),
            ("[2001:DB8::1]:80", "InvalidAddress"),
            ("2001:db8::1:80", "InvalidAddress"),
            ("10.0.0.2", "InvalidAddress"),
            ("10.0.0.2:0", "InvalidPort"),
            ("10.0.0.2:65536", "InvalidPort"),
            ("10.0.0.2:-1", "InvalidPort"),
            ("10.0.0.2:80.0", "InvalidPort"),
            ("10.0.0.2:080", "InvalidPort"),
        ] {
            let answer = raw::request(api.addr, "PUT", &native_path("web", at), body.as_bytes()).await?;
            let field = if id == "InvalidPort" { "port" } else { "ip" };
            check(&answer, 400, id, field).with_context(|| format!("PUT {at}"))?;
        }
        for bad in [
            json!({"ip": "app.local"}),
            json!({"ip": "010.0.0.2"}),
            json!({"ip": "0.0.0.0"}),
            json!({"ip": "224.0.0.1"}),
            json!({"ip": "169.254.1.1"}),
            json!({"ip": "fe80::1"}),
            json!({"ip": 1}),
            json!({"ip": null}),
            json!({"port": 0}),
            json!({"port": 65536}),
            json!({"port": -1}),
            json!({"port": 80.0}),
            json!({"port": "80"}),
            json!({"port": null}),
        ] {
            cookpad(&api, &bad).await?;
        }
        ensure!(state(&mut api).await? == before, "something was stored");

        api.put("web", "[::ffff:10.0.0.7]:80", (1, 1), json!({})).await?.expect(200)?;
        ensure!(api.v1_endpoints("web").await? == [AT, "10.0.0.7:80"]);
        Ok(())
    });
}

/// cookpad's JSON with `bad` laid over a good host: 400 with words.
async fn cookpad(api: &Api, bad: &Value) -> anyhow::Result<()> {
    let mut host = json!({"ip": "10.0.0.2", "port": 80, "revision": "r", "tags": {}});
    for (name, value) in bad.as_object().into_iter().flatten() {
        host[name] = value.clone();
    }
    let answer = api.json(Method::POST, "/v1/registration/web", &host).await?;
    ensure!(answer.status == 400, "{bad}: {} {}", answer.status, answer.text());
    let text = answer.text();
    ensure!(!text.is_empty() && !text.starts_with("Invalid JSON"), "{bad}: '{text}' does not say what is wrong");
    Ok(())
}

#[test]
fn fields_that_an_envoy_or_a_reader_chokes_on() {
    play("fields_that_an_envoy_or_a_reader_chokes_on", async |stage| {
        let mut api = Api::start(stage, &[]).await?;
        api.put("web", AT, (1, 1), json!({})).await?.expect(200)?;
        let before = state(&mut api).await?;
        let long = "z".repeat(65);
        let many: Value = (0..33).map(|n| (n.to_string(), json!("x"))).collect::<serde_json::Map<_, _>>().into();
        for (id, field, bad) in [
            ("InvalidWeight", "weight", json!({"weight": 0})),
            ("InvalidWeight", "weight", json!({"weight": 101})),
            ("InvalidWeight", "weight", json!({"weight": -1})),
            ("InvalidWeight", "weight", json!({"weight": 1.5})),
            ("InvalidWeight", "weight", json!({"weight": 5.0})),
            ("InvalidWeight", "weight", json!({"weight": "5"})),
            ("InvalidHealth", "health", json!({"health": "fine"})),
            ("InvalidHealth", "health", json!({"health": null})),
            ("InvalidSequence", "incarnation", json!({"incarnation": 0})),
            ("InvalidSequence", "incarnation", json!({"incarnation": -1})),
            ("InvalidSequence", "incarnation", json!({"incarnation": "1"})),
            ("InvalidSequence", "seq", json!({"seq": 1.5})),
            ("InvalidSequence", "seq", json!({"seq": null})),
            ("InvalidText", "locality.zone", json!({"locality": {"zone": long}})),
            ("InvalidText", "locality.region", json!({"locality": {"region": "a\nb"}})),
            ("InvalidText", "revision", json!({"revision": "a\u{1b}[2Jb"})),
            ("InvalidTags", "tags", json!({"tags": many})),
            ("InvalidTags", "tags", json!({"tags": {"a": "x".repeat(4097)}})),
            ("InvalidTags", "tags", json!({"tags": {"a": 1}})),
            ("InvalidType", "tags", json!({"tags": ["a"]})),
            ("InvalidType", "locality", json!({"locality": []})),
            ("InvalidType", "canary", json!({"canary": "true"})),
        ] {
            let answer = api.put("web", "10.0.0.2:80", (1, 1), bad.clone()).await?;
            check(&answer, 400, id, field).with_context(|| bad.to_string())?;
        }
        for bad in [
            json!({"tags": {"load_balancing_weight": 0}}),
            json!({"tags": {"load_balancing_weight": 101}}),
            json!({"tags": {"load_balancing_weight": 255}}),
            json!({"tags": {"load_balancing_weight": 1.5}}),
            json!({"tags": {"load_balancing_weight": "5"}}),
            json!({"tags": {"canary": "true"}}),
            json!({"tags": {"az": long}}),
            json!({"tags": {"az": "a\tb"}}),
            json!({"tags": []}),
            json!({"revision": "a\nb"}),
        ] {
            cookpad(&api, &bad).await?;
        }
        ensure!(state(&mut api).await? == before, "something was stored");
        Ok(())
    });
}

#[test]
fn where_instances_may_be() {
    play("where_instances_may_be", async |stage| {
        let api =
            Api::start(stage, &[("SDS_CIDRS", "10.0.0.0/8,2001:db8::/32"), ("SDS_ALLOW_LOOPBACK", "false")]).await?;
        for at in ["10.255.0.1:80", "[2001:db8::1]:80"] {
            api.put("web", at, (1, 1), json!({})).await?.expect(200)?;
        }
        for at in ["192.168.0.1:80", "[2001:db9::1]:80"] {
            api.put("web", at, (1, 1), json!({})).await?.expect(403)?;
        }
        for at in ["127.0.0.1:80", "[::1]:80"] {
            api.put("web", at, (1, 1), json!({})).await?.expect(400)?;
        }
        ensure!(api.v1("web").await?.len() == 2);
        Ok(())
    });
}
