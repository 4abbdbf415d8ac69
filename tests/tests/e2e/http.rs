//! HTTP as clients of every kind speak it: what is no request of ours is refused quickly, in JSON, and changes nothing.

use std::time::Duration;

use anyhow::{Context, ensure};
use e2e::{
    api::{Api, native_path},
    raw,
};
use futures_util::future::try_join_all;
use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

use crate::play;

#[test]
fn methods_heads_and_ids() {
    play("methods_heads_and_ids", async |stage| {
        let api = Api::start(stage, &[]).await?;
        api.put("web", "10.0.0.1:80", (1, 1), json!({})).await?.expect(200)?;
        for (method, path, allow) in [
            (Method::PUT, "/v1/registration/web", "GET"),
            (Method::POST, "/v1/services", "GET"),
            (Method::POST, "/livez", "GET"),
            (Method::GET, "/v3/discovery:endpoints", "POST"),
            (Method::PATCH, "/v1/services/web/instances/10.0.0.1:80", "PUT"),
        ] {
            let answer = api.send(method.clone(), path, &[], "").await?.expect(405)?;
            ensure!(answer.header("allow").contains(allow), "{method} {path}: Allow: {}", answer.header("allow"));
            ensure!(answer.json()?["id"] == "MethodNotAllowed", "{}", answer.text());
        }
        for path in ["/v1/registration/web", "/v1/services", "/v1/services/web", "/readyz", "/metrics", "/"] {
            let (get, head) = (api.get(path).await?, api.send(Method::HEAD, path, &[], "").await?);
            ensure!(head.status == 200 && head.body.is_empty(), "HEAD {path}: {}", head.status);
            ensure!(head.header("content-type") == get.header("content-type"), "HEAD {path} has other headers");
        }
        for path in ["/nothing", "/v1", "/v1/registration/", "/v4/discovery:endpoints", "/v1/services/web/instances"] {
            let answer = api.get(path).await?.expect(404)?;
            ensure!(answer.json()?["id"].is_string() && !answer.header("x-request-id").is_empty(), "{}", answer.text());
        }
        let own = api.send(Method::GET, "/readyz", &[("x-request-id", "my-id-1")], "").await?;
        ensure!(own.header("x-request-id") == "my-id-1", "{}", own.header("x-request-id"));
        let (one, two) = (api.get("/readyz").await?, api.get("/readyz").await?);
        ensure!(one.header("x-request-id") != two.header("x-request-id"), "ids repeat");
        Ok(())
    });
}

#[test]
fn pages_for_people() {
    play("pages_for_people", async |stage| {
        let api = Api::start(stage, &[]).await?;
        api.put("web", "10.0.0.1:80", (1, 1), json!({})).await?.expect(200)?;
        let usage = api.get("/").await?.expect(200)?.text();
        for words in ["curl", "/v1/registration/", "/v1/services", "/v3/discovery:endpoints", "/metrics", "/livez"] {
            ensure!(usage.contains(words), "the usage page does not say {words}:\n{usage}");
        }
        for (path, word) in [("/hc", "ok"), ("/healthcheck", "OK")] {
            ensure!(api.get(path).await?.expect(200)?.text() == word);
        }
        let metrics = api.get("/metrics").await?.expect(200)?.text();
        ensure!(metrics.lines().all(|line| line.starts_with('#') || line.starts_with("sds_")), "{metrics}");
        Ok(())
    });
}

#[test]
fn bodies_that_are_no_object_are_refused() {
    play("bodies_that_are_no_object_are_refused", async |stage| {
        let mut api = Api::start(stage, &[]).await?;
        let table = api.table().await?;
        let before = table.rows().await?;
        let nested = "[".repeat(60_000);
        let good = r#"{"incarnation":1,"seq":1,"health":"healthy"}"#;
        let bodies: [&[u8]; 13] = [
            b"",
            b"null",
            b"[]",
            b"[1,1,\"healthy\"]",
            b"\"text\"",
            b"{",
            b"{\"incarnation\":1,\"seq\":1,\"health\":\"healthy\"}x",
            b"\xef\xbb\xbf{\"incarnation\":1,\"seq\":1,\"health\":\"healthy\"}",
            b"{\"incarnation\":1,\"incarnation\":1,\"seq\":1,\"health\":\"healthy\"}",
            b"{\"incarnation\":1,\"seq\":1,\"health\":\"\xff\"}",
            b"{'incarnation':1}",
            b"incarnation=1&seq=1",
            nested.as_bytes(),
        ];
        for body in bodies {
            let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
            let start = Instant::now();
            let answer = raw::request(api.addr, "PUT", &native_path("web", "10.0.0.1:80"), body).await?;
            ensure!(answer.status == 400, "{shown}: {} {}", answer.status, answer.text());
            ensure!(answer.json()?["id"] == "InvalidJson", "{shown}: {}", answer.text());
            ensure!(start.elapsed() < Duration::from_millis(500), "{shown}: took {:?}", start.elapsed());
        }
        ensure!(table.rows().await? == before, "something was stored");
        // Unknown keys are ignored, and named.
        let body = good.replace('}', r#","later":{"a":1},"locality":{"rack":"r"}}"#);
        let path = native_path("web", "10.0.0.1:80");
        let answer = api.send(Method::PUT, &path, &[], body).await?.expect(200)?;
        let ignored = answer.header("x-sds-ignored");
        ensure!(ignored.contains("later") && ignored.contains("locality.rack"), "x-sds-ignored: {ignored}");
        Ok(())
    });
}

#[test]
fn bodies_are_plain_and_small() {
    play("bodies_are_plain_and_small", async |stage| {
        let api = Api::start(stage, &[]).await?;
        let put = format!("PUT {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n", native_path("web", "10.0.0.1:80"));
        let post = "POST /v1/registration/web HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
        for head in [put.as_str(), post] {
            let gzip = format!("{head}content-encoding: gzip\r\ncontent-length: 3\r\n\r\n\x1f\x1f\x1f");
            raw::exchange(api.addr, gzip.as_bytes()).await?.expect(415)?;
            let declared = format!("{head}content-length: 10000000000\r\n\r\n");
            raw::exchange(api.addr, declared.as_bytes()).await?.expect(413)?;
            let large = format!("{head}content-length: 3000000\r\n\r\n{}", " ".repeat(3_000_000));
            raw::exchange(api.addr, large.as_bytes()).await?.expect(413)?;
            let chunk = format!("{:x}\r\n{}\r\n", 8192, " ".repeat(8192)).repeat(64);
            let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n{chunk}");
            raw::exchange(api.addr, chunked.as_bytes()).await?.expect(413)?;
        }
        ensure!(api.v1("web").await?.is_empty());
        Ok(())
    });
}

#[test]
fn strange_paths_reach_no_other_route() {
    play("strange_paths_reach_no_other_route", async |stage| {
        let mut api = Api::start(stage, &[]).await?;
        api.put("web", "10.0.0.1:80", (1, 1), json!({})).await?.expect(200)?;
        let before = api.table().await?.rows().await?;
        let long = format!("/v1/registration/{}", "a".repeat(9000));
        let longer = format!("/v1/registration/{}", "a".repeat(129));
        for path in [
            "//v1/registration/web",
            "/v1//registration/web",
            "/v1/registration//web",
            "/v1/registration/../registration/web",
            "/v1/registration/..",
            "/v1/registration/a%2Fb",
            "/v1/registration/a%00",
            "/v1/registration/%ff",
            "/v1/registration/%F0%9F%98%80",
            "/v1/registration/%E2%80%AEweb",
            "/v1/registration/%23meta",
            "/v1/registration/_x",
            "/v1/registration/repo",
            "/v1/registration/web%20",
            "/v1/services/%23meta",
            "/v1/services/a%2Fb",
            &longer,
            &long,
        ] {
            let shown = &path[..path.len().min(60)];
            let answer = raw::request(api.addr, "GET", path, b"").await.context(shown.to_owned())?;
            ensure!([400, 404].contains(&answer.status), "{shown}: {} {}", answer.status, answer.text());
            ensure!(answer.json()?["id"].is_string(), "{shown}: {}", answer.text());
        }
        for path in ["/v1/services/%23meta/instances/10.0.0.9:80", "/v1/services/a/../b/instances/10.0.0.9:80"] {
            let body = br#"{"incarnation":1,"seq":1,"health":"healthy"}"#;
            let answer = raw::request(api.addr, "PUT", path, body).await?;
            ensure!([400, 404].contains(&answer.status), "{path}: {} {}", answer.status, answer.text());
        }
        // Escaped where nothing needed it is the same name.
        ensure!(raw::request(api.addr, "GET", "/v1/registration/we%62", b"").await?.text().contains("10.0.0.1"));
        ensure!(api.table().await?.rows().await? == before, "something was stored");
        Ok(())
    });
}

/// Opens a connection, says `start`, then `drip` every 200 ms, and returns when the other side has had enough.
async fn dripped(api: &Api, start: &str, drip: &str) -> anyhow::Result<Duration> {
    let (mut read, mut write) = TcpStream::connect(api.addr).await?.into_split();
    let begun = Instant::now();
    write.write_all(start.as_bytes()).await?;
    let writer = async {
        while !drip.is_empty() && write.write_all(drip.as_bytes()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        std::future::pending::<()>().await;
    };
    let mut sink = Vec::new();
    let reader = timeout(Duration::from_secs(20), read.read_to_end(&mut sink));
    tokio::select! {
        () = writer => {}
        ended = reader => drop(ended.with_context(|| format!("still open after 20 s: {start:?} and {drip:?}"))?),
    }
    Ok(begun.elapsed())
}

#[test]
fn dripping_clients_are_cut_off() {
    play("dripping_clients_are_cut_off", async |stage| {
        let api = Api::start(stage, &[]).await?;
        let body =
            format!("PUT {} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n", native_path("web", "10.0.0.1:80"));
        let clients = [
            dripped(&api, "", ""),
            dripped(&api, "G", ""),
            dripped(&api, "GET /readyz HTTP/1.1\r\nhost: x\r\n", "a: b\r\n"),
            dripped(&api, "GET /readyz HTTP/1.1\r\nx: ", "y"),
            dripped(&api, &body, ""),
            dripped(&api, &body, "{"),
        ];
        for took in try_join_all(clients).await? {
            // 10 s, and a second for a slow machine.
            ensure!(took < Duration::from_secs(11), "open for {took:?}");
        }
        api.get("/readyz").await?.expect(200).map(drop)
    });
}

/// Asks for far more than the sockets' buffers hold, reads nothing of it, and returns when the other side has had enough.
async fn unread(api: &Api) -> anyhow::Result<Duration> {
    let (_read, mut write) = TcpStream::connect(api.addr).await?.into_split();
    let begun = Instant::now();
    let asking = "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n".repeat(4000);
    let cut_off = async { while write.write_all(asking.as_bytes()).await.is_ok() {} };
    timeout(Duration::from_secs(20), cut_off).await.context("still open after 20 s without reading")?;
    Ok(begun.elapsed())
}

#[test]
fn clients_that_never_read_are_cut_off() {
    play("clients_that_never_read_are_cut_off", async |stage| {
        let api = Api::start(stage, &[]).await?;
        for took in try_join_all((0..3).map(|_| unread(&api))).await? {
            // 10 s since the buffers were full.
            ensure!(took < Duration::from_secs(15), "open for {took:?}");
        }
        api.get("/readyz").await?.expect(200).map(drop)
    });
}

/// A connection that has been served once and now says nothing, as a client's pool keeps many.
async fn idle(api: &Api) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(api.addr).await?;
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await?;
    stream.read_u8().await?;
    Ok(stream)
}

#[test]
fn idle_connections_harm_no_reader() {
    play("idle_connections_harm_no_reader", async |stage| {
        let api = Api::start(stage, &[]).await?;
        let idle = try_join_all((0..1000).map(|_| idle(&api))).await?;
        let start = Instant::now();
        for _ in 0..20 {
            api.v1("web").await?;
        }
        ensure!(start.elapsed() < Duration::from_secs(2), "20 polls took {:?}", start.elapsed());
        let counted = api.metric("sds_connections").await?;
        ensure!(counted > 1000.0, "{counted} connections are counted");
        drop(idle);
        Ok(())
    });
}
