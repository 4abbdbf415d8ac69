//! An operator's word on one instance: it wins, it lasts, it ends, and not everybody may say it.

use std::net::{SocketAddr, UdpSocket};

use anyhow::{Context, ensure};
use e2e::{
    api::{Api, native_path},
    dynamo::Dynamo,
    http::Answer,
    raw, replicas,
    wait::{SOON, throughout, until},
};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

use crate::{alone, play};

const AT: &str = "10.0.0.1:80";
const OTHER: &str = "10.0.0.2:80";

fn path() -> String {
    format!("{}/override", native_path("web", AT))
}

async fn lay(api: &Api, word: Value) -> anyhow::Result<Answer> {
    api.json(Method::PUT, &path(), &word).await
}

async fn take_back(api: &Api) -> anyhow::Result<Answer> {
    api.send(Method::DELETE, &path(), &[], "").await
}

/// Status and weight of the instance, as programs are told.
async fn shown(api: &Api) -> anyhow::Result<(String, Value)> {
    let mut instances = api.instances("web").await?;
    let one = instances.remove(AT).context("it is not there")?;
    Ok((one["status"].as_str().unwrap_or_default().to_owned(), one["weight"].clone()))
}

#[test]
fn it_wins_over_heartbeats_and_restarts_until_it_is_taken_back() {
    play("it_wins_over_heartbeats_and_restarts_until_it_is_taken_back", async |stage| {
        let file = stage.file("data.sqlite");
        let data = ("SDS_DATA", file.to_str().context("not UTF-8")?);
        let mut api = Api::start(stage, &[data]).await?;
        let task = json!({"task_arn": "task-1", "weight": 50});
        api.put("web", OTHER, (1, 1), json!({})).await?.expect(200)?;
        api.put("web", AT, (1, 1), task.clone()).await?.expect(200)?;
        let said = json!({"status": "unhealthy", "weight": 7, "reason": "bad disk", "who": "ann", "for": "1h", "x": 1});
        let answer = lay(&api, said).await?.expect(200)?;
        ensure!(answer.header("x-sds-ignored") == "x", "unknown keys are not named");
        let body = answer.json()?;
        ensure!(body["status"] == "unhealthy" && body["who"] == "ann" && body["until"].is_string(), "{body}");

        let overridden = ("unhealthy".to_owned(), json!(7));
        ensure!(shown(&api).await? == overridden, "answered, and not in the answers");
        ensure!(api.v1_endpoints("web").await? == [OTHER]);
        let eds = api.eds("v3", &["web"], "").await?.expect(200)?.text();
        ensure!(eds.contains(r#""health_status":"UNHEALTHY""#), "{eds}");
        api.put("web", AT, (1, 2), task.clone()).await?.expect(200)?;
        ensure!(shown(&api).await? == overridden, "the next heartbeat took it away");
        api.put("web", AT, (1, 3), json!({"task_arn": "task-1", "weight": 60})).await?.expect(200)?;
        ensure!(shown(&api).await? == overridden, "a change of the registrant took it away");
        let list = api.get("/v1/services/web?format=text").await?.expect(200)?.text();
        ensure!(list.contains("override: unhealthy, weight 7 by ann until "), "{list}");

        api.process.stop(SOON).await?;
        let api = Api::start(stage, &[data]).await?;
        ensure!(shown(&api).await? == overridden, "a restart of the registry took it away");
        api.put("web", AT, (2, 1), task.clone()).await?.expect(200)?;
        ensure!(shown(&api).await? == overridden, "a restart of the sidecar took it away");

        lay(&api, json!({"canary": true, "reason": "another word"})).await?.expect(200)?;
        ensure!(shown(&api).await? == ("healthy".to_owned(), json!(50)), "a second word is added to the first");
        take_back(&api).await?.expect(204)?;
        take_back(&api).await?.expect(204)?;
        ensure!(api.instances("web").await?[AT]["canary"] == false);

        lay(&api, json!({"status": "draining", "reason": "for task-1"})).await?.expect(200)?;
        api.put("web", AT, (3, 1), json!({"task_arn": "task-2"})).await?.expect(200)?;
        ensure!(shown(&api).await?.0 == "healthy", "the next tenant of the address pays for the former one");
        Ok(())
    });
}

#[test]
fn it_ends_by_itself() {
    alone("it_ends_by_itself", async |stage| {
        let api = Api::start(stage, &[]).await?;
        api.put("web", AT, (1, 1), json!({})).await?.expect(200)?;
        let version = api.get("/v1/services/web").await?.json()?["version"].clone();
        lay(&api, json!({"status": "draining", "reason": "for a moment", "for": "3s"})).await?.expect(200)?;
        throughout("it counts", Duration::from_secs(2), async || {
            ensure!(shown(&api).await?.0 == "draining");
            Ok(())
        })
        .await?;
        api.until_status("web", AT, "healthy", Duration::from_secs(4)).await?;
        ensure!(
            api.get("/v1/services/web").await?.json()?["version"] == version,
            "what was before is not what is after"
        );
        Ok(())
    });
}

#[test]
fn every_replica_obeys_it() {
    alone("every_replica_obeys_it", async |stage| {
        let store = Dynamo::in_memory(stage).await?;
        let replicas = replicas::start(stage, store.addr, 2, &[]).await?;
        let [one, two] = [&replicas[0].api, &replicas[1].api];
        one.put("web", AT, (1, 1), json!({})).await?.expect(200)?;
        two.until_status("web", AT, "healthy", SOON).await?;
        lay(two, json!({"status": "unhealthy", "reason": "bad disk"})).await?.expect(200)?;
        ensure!(two.status("web", AT).await? == "unhealthy");
        one.until_status("web", AT, "unhealthy", Duration::from_secs(2)).await?;
        take_back(one).await?.expect(204)?;
        two.until_status("web", AT, "healthy", Duration::from_secs(2)).await
    });
}

#[test]
fn a_word_that_makes_no_sense_is_refused() {
    play("a_word_that_makes_no_sense_is_refused", async |stage| {
        let api = Api::start(stage, &[]).await?;
        let good = json!({"canary": true, "reason": "x"});
        ensure!(lay(&api, good.clone()).await?.expect(404)?.json()?["id"] == "HostNotFound");
        take_back(&api).await?.expect(404)?;
        api.put("web", AT, (1, 1), json!({})).await?.expect(200)?;
        for (field, bad) in [
            ("status", json!({"status": "healthy", "reason": "x"})),
            ("status", json!({"reason": "x"})),
            ("weight", json!({"weight": 101, "reason": "x"})),
            ("canary", json!({"canary": 1, "reason": "x"})),
            ("reason", json!({"canary": true})),
            ("for", json!({"canary": true, "reason": "x", "for": "8d"})),
            ("until", json!({"canary": true, "reason": "x", "until": "2020-01-01T00:00:00Z"})),
        ] {
            let told = lay(&api, bad.clone()).await?.expect(400)?.json()?;
            ensure!(told["field"] == field, "{bad}: {told}");
        }
        ensure!(api.instances("web").await?[AT].get("override").is_none(), "something was stored");
        lay(&api, good.clone()).await?.expect(200)?;
        api.delete("web", AT, (1, 2)).await?.expect(204)?;
        lay(&api, good).await?.expect(404)?;
        Ok(())
    });
}

/// A request of `body` in the words of HTTP, behind whatever a proxy says first.
async fn behind(addr: SocketAddr, introduction: &[u8]) -> anyhow::Result<Answer> {
    let body = r#"{"canary":true,"reason":"x"}"#;
    let (path, length) = (path(), body.len());
    let head = format!(
        "PUT {path} HTTP/1.1\r\nhost: sds\r\nx-forwarded-for: 127.0.0.1\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    raw::exchange(addr, &[introduction, head.as_bytes()].concat()).await
}

/// PROXY protocol v2: a connection from `source`, or the proxy's own.
fn proxy(source: Option<[u8; 4]>) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    match source {
        None => header.extend([0x20, 0, 0, 0]),
        Some(source) => {
            header.extend([0x21, 0x11, 0, 12]);
            header.extend([source, [127, 0, 0, 1]].concat());
            header.extend([0x9c, 0x40, 0x1f, 0x90]);
        }
    }
    header
}

#[test]
fn only_this_machine_says_it() {
    play("only_this_machine_says_it", async |stage| {
        let api = Api::start(stage, &[("SDS_TRUSTED_PROXIES", "127.0.0.2/32")]).await?;
        let refused = |answer: Answer| {
            let told = answer.expect(403)?.json()?;
            ensure!(
                told["id"] == "OperatorOnly" && told["reason"].as_str().is_some_and(|r| r.contains("127.0.0.1")),
                "{told}"
            );
            Ok(())
        };
        api.put("web", AT, (1, 1), json!({})).await?.expect(200)?;
        behind(api.addr, b"").await?.expect(200)?;

        let api = Api::start(stage, &[("SDS_TRUSTED_PROXIES", "127.0.0.0/8")]).await?;
        refused(behind(api.addr, &proxy(Some([10, 0, 0, 5]))).await?).context("through a proxy")?;
        refused(behind(api.addr, &proxy(Some([127, 0, 0, 1]))).await?).context("of who is said to be here")?;
        refused(behind(api.addr, &proxy(None)).await?).context("of a proxy itself")?;
        refused(behind(api.addr, b"").await?).context("of a proxy that says nothing")?;

        // A route to anywhere shows the machine's own address; nothing is sent.
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        if socket.connect("192.0.2.1:9").is_err() {
            return Ok(());
        }
        let own = socket.local_addr()?.ip();
        let api = Api::start(stage, &[("SDS_LISTEN", "0.0.0.0:0"), ("SDS_ALLOW_OPEN_WRITES", "true")]).await?;
        let outside = SocketAddr::new(own, api.addr.port());
        refused(behind(outside, b"").await?).with_context(|| format!("from {own}"))?;
        let inside = SocketAddr::new([127, 0, 0, 1].into(), api.addr.port());
        // Allowed, and then there is nobody.
        behind(inside, b"").await?.expect(404)?;
        Ok(())
    });
}

#[test]
fn it_is_kept_while_nobody_is_heard() {
    alone("it_is_kept_while_nobody_is_heard", async |stage| {
        let api = Api::start(stage, &[("SDS_LEASE", "1s")]).await?;
        api.put("web", AT, (1, 1), json!({})).await?.expect(200)?;
        api.until_status("web", AT, "absent", SOON).await?;
        lay(&api, json!({"status": "unhealthy", "reason": "if it comes back"})).await?.expect(200)?;
        ensure!(api.status("web", AT).await? == "absent", "an operator's word revived a dead one");
        let mut seq = 1;
        until("it to come back as was said", SOON, async || {
            seq += 1;
            api.put("web", AT, (1, seq), json!({})).await?.expect(200)?;
            ensure!(api.status("web", AT).await? == "unhealthy");
            Ok(())
        })
        .await
    });
}
