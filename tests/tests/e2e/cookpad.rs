//! The clients of cookpad/sds work unchanged: their statuses and their bodies, to the byte.

use std::time::Duration;

use anyhow::{Context, ensure};
use e2e::{
    api::Api,
    golden,
    http::Answer,
    raw,
    table::{n, s},
    wait::{SOON, until},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::play;

#[test]
fn its_dialect_to_the_byte() {
    play("its_dialect_to_the_byte", async |stage| {
        let api = Api::start(stage, &[]).await?;
        golden::play(api.addr, include_str!("golden/cookpad.txt")).await
    });
}

#[test]
fn a_delete_whose_answer_was_lost_is_finished_by_its_repeat() {
    play("a_delete_whose_answer_was_lost_is_finished_by_its_repeat", async |stage| {
        let mut api = Api::start(stage, &[]).await?;
        let body = json!({"ip": "10.0.0.1", "port": 80, "revision": "r", "tags": {}});
        api.json(Method::POST, "/v1/registration/web", &body).await?.expect(202)?;
        // As the first try left it: done in the store, but nobody here was told.
        let table = api.table().await?;
        let mut row = table.row("web", "10.0.0.1:80").await?.context("no row")?;
        row.extend([("gone".to_owned(), s("deregistered")), ("rev".to_owned(), n(4_000_000_000_000_u64))]);
        table.put(row).await?;
        api.send(Method::DELETE, "/v1/registration/web/10.0.0.1:80", &[], "").await?.expect(202)?;
        ensure!(api.v1("web").await?.is_empty());
        api.send(Method::DELETE, "/v1/registration/web/10.0.0.1:80", &[], "").await?.expect(400).map(drop)
    });
}

const BODY: &str = r#"{"ip":"10.0.0.1","port":8080,"revision":"abc","tags":{"az":"ap-northeast-1a","region":"ap-northeast-1","instance_id":"i-1","canary":false,"load_balancing_weight":10}}"#;

async fn post(api: &Api, path: &str, kind: &str, body: &str) -> anyhow::Result<Answer> {
    let length = body.len();
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: sds\r\nconnection: close\r\n{kind}content-length: {length}\r\n\r\n");
    raw::exchange(api.addr, format!("{head}{body}").as_bytes()).await
}

fn is(answer: &Answer, status: u16, body: &str) -> anyhow::Result<()> {
    let text = answer.text();
    ensure!(answer.status == status && text == body, "expected {status} '{body}', got {} '{text}'", answer.status);
    Ok(())
}

#[test]
fn register_read_and_deregister() {
    play("register_read_and_deregister", async |stage| {
        let api = Api::start(stage, &[]).await?;
        is(&post(&api, "/v1/registration/web", "content-type: application/json\r\n", BODY).await?, 202, "")?;
        for path in ["/v1/registration/web", "/v1/registration/web/"] {
            let answer = api.get(path).await?.expect(200)?;
            ensure!(answer.header("content-type") == "application/json", "{}", answer.header("content-type"));
            let body = answer.json()?;
            ensure!(body["service"] == "web" && body["env"] == "test", "{body}");
            let mut host = body["hosts"][0].clone();
            let now = e2e::clock::epoch_seconds();
            let expire = host["expire_time"].as_u64().unwrap_or(0);
            ensure!((now + 110..=now + 121).contains(&expire), "expire_time {expire} is not HOST_TTL after {now}");
            for moving in ["expire_time", "last_check_in"] {
                host.as_object_mut().and_then(|host| host.remove(moving));
            }
            let expected = json!({
                "service": "web", "ip_address": "10.0.0.1", "port": 8080, "revision": "abc", "service_repo_name": "",
                "tags": {"az": "ap-northeast-1a", "region": "ap-northeast-1", "instance_id": "i-1", "canary": false,
                         "load_balancing_weight": 10},
            });
            ensure!(host == expected, "{host}");
        }
        // To register again is the heartbeat; the tags are replaced.
        is(
            &post(&api, "/v1/registration/web/", "", r#"{"ip":"10.0.0.1","port":8080,"revision":"d"}"#).await?,
            202,
            "",
        )?;
        let host = api.get("/v1/registration/web").await?.json()?["hosts"][0].clone();
        ensure!(host["revision"] == "d" && host["tags"]["az"] == "", "{host}");
        ensure!(host["tags"].get("load_balancing_weight").is_none(), "an unset weight is left out: {host}");

        is(&raw::request(api.addr, "DELETE", "/v1/registration/web/10.0.0.1:8080", b"").await?, 202, "")?;
        ensure!(api.v1("web").await?.is_empty());
        for path in ["/v1/registration/web/10.0.0.1:8080/", "/v1/registration/nobody/10.0.0.9:1"] {
            let answer = raw::request(api.addr, "DELETE", path, b"").await?.expect(400)?;
            let body = answer.json()?;
            ensure!(body["id"] == "HostNotFound" && body["reason"].is_string(), "{body}");
            ensure!(body.as_object().map(|body| body.len()) == Some(2), "{body}");
        }
        // With a slash at its end, too; and back again after a deregistration.
        is(&post(&api, "/v1/registration/web", "", BODY).await?, 202, "")?;
        ensure!(api.v1_endpoints("web").await? == ["10.0.0.1:8080"]);
        is(&raw::request(api.addr, "DELETE", "/v1/registration/web/10.0.0.1:8080/", b"").await?, 202, "")
    });
}

#[test]
fn what_its_clients_send_is_taken() {
    play("what_its_clients_send_is_taken", async |stage| {
        let api = Api::start(stage, &[]).await?;
        for kind in ["", "content-type: text/plain\r\n", "content-type: application/x-www-form-urlencoded\r\n"] {
            is(&post(&api, "/v1/registration/kinds", kind, BODY).await?, 202, "")?;
        }
        ensure!(api.v1("kinds").await?.len() == 1);
        for (ip, body) in [
            ("10.0.0.2", json!({"tags": {"load_balancing_weight": null}})),
            ("10.0.0.3", json!({"tags": {"later": {"x": [1]}}, "later": null})),
            ("10.0.0.4", json!({"tags": {}})),
            ("2001:db8::1", json!({})),
        ] {
            let mut body: Value = body;
            (body["ip"], body["port"], body["revision"]) = (ip.into(), 80.into(), "r".into());
            is(&post(&api, "/v1/registration/shapes", "", &body.to_string()).await?, 202, "")?;
        }
        ensure!(api.v1("shapes").await?.len() == 4);
        is(&raw::request(api.addr, "DELETE", "/v1/registration/shapes/[2001:db8::1]:80", b"").await?, 202, "")?;
        ensure!(api.v1("shapes").await?.len() == 3);
        is(&raw::request(api.addr, "GET", "/hc", b"").await?, 200, "ok")
    });
}

#[test]
fn bad_json_is_told_in_its_words() {
    play("bad_json_is_told_in_its_words", async |stage| {
        let api = Api::start(stage, &[]).await?;
        for body in ["", "{", "not json", "[]", "null", "\u{feff}{}", r#"{"ip":"10.0.0.1","ip":"10.0.0.2","port":1}"#] {
            let answer = post(&api, "/v1/registration/web", "", body).await?.expect(400)?;
            ensure!(answer.text().starts_with("Invalid JSON string: "), "'{body}': {}", answer.text());
        }
        ensure!(api.v1("web").await?.is_empty());
        Ok(())
    });
}

#[test]
fn it_expires_without_a_heartbeat() {
    play("it_expires_without_a_heartbeat", async |stage| {
        let api = Api::start(stage, &[("HOST_TTL", "1s")]).await?;
        is(&post(&api, "/v1/registration/web", "", BODY).await?, 202, "")?;
        ensure!(api.v1("web").await?.len() == 1);
        until("the host to expire", SOON, async || {
            ensure!(api.v1("web").await?.is_empty());
            Ok(())
        })
        .await?;
        let gone = raw::request(api.addr, "DELETE", "/v1/registration/web/10.0.0.1:8080", b"").await?.expect(400)?;
        ensure!(gone.json()?["id"] == "HostNotFound");
        // A heartbeat brings it back, and repeated ones keep it.
        for _ in 0..8 {
            is(&post(&api, "/v1/registration/web", "", BODY).await?, 202, "")?;
            ensure!(api.v1("web").await?.len() == 1);
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        Ok(())
    });
}

#[test]
fn it_does_not_touch_what_a_sidecar_owns() {
    play("it_does_not_touch_what_a_sidecar_owns", async |stage| {
        let mut api = Api::start(stage, &[]).await?;
        api.put("web", "10.0.0.1:8080", (1, 1), json!({"weight": 3})).await?.expect(200)?;
        let table = api.table().await?;
        let before = table.rows().await?;
        is(&post(&api, "/v1/registration/web", "", BODY).await?, 202, "")?;
        is(&raw::request(api.addr, "DELETE", "/v1/registration/web/10.0.0.1:8080", b"").await?, 202, "")?;
        ensure!(table.rows().await? == before, "a legacy client changed a sidecar's row");
        ensure!(api.v1("web").await?[0].weight == Some(3));
        ensure!(api.metric("sds_legacy_writes_ignored_total").await? == 2.0);
        Ok(())
    });
}
