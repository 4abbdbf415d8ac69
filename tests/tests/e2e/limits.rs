//! How many may connect, how often one may ask, who counts as one, and what HTTP/2 allows.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, ensure};
use e2e::{
    api::{Api, native_path, registration},
    h2::{Frame, H2, flag, kind},
    http::Answer,
    raw,
    wait::{SOON, throughout, until},
};
use futures_util::future::try_join_all;
use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

use crate::play;

/// A connection that has been served once and now says nothing, as a client's pool keeps many.
async fn idle(addr: SocketAddr) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await?;
    stream.read_u8().await?;
    Ok(stream)
}

#[test]
fn the_idle_give_way_to_readers() {
    play("the_idle_give_way_to_readers", async |stage| {
        let api = Api::start(stage, &[("SDS_CONNECTIONS", "64")]).await?;
        let mut reader = idle(api.addr).await?;
        let mut crowd = Vec::new();
        let mut served = 0_u32;
        throughout("a reader is served beside a crowd", Duration::from_secs(8), async || {
            // Its connection is never idle for long, so it is never asked for.
            reader.write_all(b"GET /v1/registration/web HTTP/1.1\r\nhost: x\r\n\r\n").await?;
            let mut answer = [0; 4096];
            ensure!(reader.read(&mut answer).await? > 0, "its connection was closed");
            // One that connects anew finds a place, though others spoke once or never.
            match served % 2 {
                0 => crowd.push(TcpStream::connect(api.addr).await?),
                _ => crowd.push(idle(api.addr).await?),
            }
            served += 1;
            sleep(Duration::from_millis(100)).await;
            Ok(())
        })
        .await?;
        let (open, idle) =
            (api.metric("sds_connections").await?, api.metric("sds_connections_closed_total{why=\"idle\"}").await?);
        ensure!(served > 60 && open <= 64.0 && idle >= 1.0, "{served} came, {open} are open, {idle} gave way");
        Ok(())
    });
}

#[test]
fn a_crowd_that_is_busy_is_not_let_in() {
    play("a_crowd_that_is_busy_is_not_let_in", async |stage| {
        let api = Api::start(stage, &[("SDS_CONNECTIONS", "20")]).await?;
        // All at once, and nobody is idle for long yet.
        let crowd = try_join_all((0..30).map(|_| TcpStream::connect(api.addr))).await?;
        let full = "sds_connections_closed_total{why=\"full\"}";
        until("a place to be free again", SOON, async || {
            ensure!(api.metric(full).await? >= 10.0, "nobody was turned away");
            Ok(())
        })
        .await?;
        drop(crowd);
        Ok(())
    });
}

async fn put(addr: SocketAddr, at: &str, first: &[u8]) -> anyhow::Result<Answer> {
    let body = registration((1, 1), json!({})).to_string();
    let (path, length) = (native_path("web", at), body.len());
    let head =
        format!("PUT {path} HTTP/1.1\r\nhost: sds\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    raw::exchange(addr, &[first, head.as_bytes()].concat()).await
}

/// In cookpad's dialect.
async fn post(addr: SocketAddr, n: u8, first: &[u8]) -> anyhow::Result<Answer> {
    let body = json!({"ip": format!("10.0.1.{n}"), "port": 80, "revision": "r", "tags": {}}).to_string();
    let (path, length) = ("/v1/registration/web", body.len());
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: sds\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    raw::exchange(addr, &[first, head.as_bytes()].concat()).await
}

/// PROXY protocol v2 for a client at this address.
fn spoken_for(client: [u8; 4]) -> Vec<u8> {
    let kind = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0f";
    [&kind[..], &client, &[10, 0, 0, 1, 0x1f, 0x90, 0, 80, 4, 0, 0]].concat()
}

const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

#[test]
fn each_peer_has_its_rate() {
    play("each_peer_has_its_rate", async |stage| {
        let env = [("SDS_RATE_WRITES", "5"), ("SDS_RATE_READS", "5"), ("SDS_TRUSTED_PROXIES", "127.0.0.0/8")];
        let mut api = Api::start(stage, &env).await?;
        let (one, two) = (spoken_for([192, 0, 2, 1]), spoken_for([192, 0, 2, 2]));
        // One client writes too much; heartbeats count as much as what reaches the store.
        let answers = try_join_all((0..40).map(|_| put(api.addr, "10.0.0.1:80", &one))).await?;
        let taken = answers.iter().filter(|answer| answer.status == 200).count();
        ensure!((10..30).contains(&taken), "{taken} of 40 were taken");
        let refused = answers.iter().find(|answer| answer.status == 429).context("nothing was refused")?;
        ensure!(refused.header("retry-after") == "1" && !refused.header("x-request-id").is_empty(), "{refused:?}");
        ensure!(refused.json()?["id"] == "TooManyRequests", "{}", refused.text());
        // What is refused does not reach the store.
        let table = api.table().await?;
        let before = table.rows().await?.len();
        let answers = try_join_all((0..30).map(|n| post(api.addr, n, &one))).await?;
        let refused = answers.iter().find(|answer| answer.status == 429).context("nothing was refused")?;
        ensure!(refused.json()?["id"] == "TooManyRequests", "{}", refused.text());
        let taken = answers.iter().filter(|answer| answer.status == 202).count();
        let new = table.rows().await?.len() - before;
        ensure!(new == taken, "{taken} were taken, {new} are stored");
        ensure!(api.metric("sds_rate_limited_total{kind=\"writes\"}").await? > 20.0);
        // Others do not notice: another client, the proxy's own checks, one that it hides.
        for first in [&two[..], LOCAL, b""] {
            put(api.addr, "10.0.0.3:80", first).await?.expect(200)?;
        }
        // Reads have a rate of their own, and it comes back.
        let read = |path: &'static str| {
            let asks = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
            let bytes = [&one[..], asks.as_bytes()].concat();
            async move { raw::exchange(api.addr, &bytes).await }
        };
        let polls = try_join_all((0..40).map(|_| read("/v1/registration/web"))).await?;
        ensure!(polls.iter().any(|poll| poll.status == 429) && polls[0].status == 200, "{:?}", polls[0]);
        for path in ["/livez", "/readyz", "/metrics", "/hc", "/"] {
            read(path).await?.expect(200)?;
        }
        until("the rate to allow another poll", SOON, async || read("/v1/registration/web").await?.expect(200)).await?;
        until("the rate to allow another write", SOON, async || put(api.addr, "10.0.0.1:80", &one).await?.expect(200))
            .await
            .map(drop)
    });
}

#[test]
fn a_bad_proxy_header_closes() {
    play("a_bad_proxy_header_closes", async |stage| {
        let api = Api::start(stage, &[("SDS_TRUSTED_PROXIES", "127.0.0.1/32")]).await?;
        let udp = b"\r\n\r\n\0\r\nQUIT\n\x21\x12\x00\x0c\x01\x01\x01\x01\x01\x01\x01\x01\x00\x50\x00\x50";
        for bad in [&b"\r\n\r\n\0\r\nQUIT\n\x31\x11\x00\x0c"[..], b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", udp] {
            let mut stream = TcpStream::connect(api.addr).await?;
            let _ = stream.write_all(&[bad, b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"].concat()).await;
            let mut answer = Vec::new();
            let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await.context("it stays open")?;
            ensure!(answer.is_empty(), "it was answered: {}", String::from_utf8_lossy(&answer));
        }
        let closed = api.metric("sds_connections_closed_total{why=\"proxy\"}").await?;
        ensure!(closed >= 2.0, "{closed} are counted");
        Ok(())
    });
}

/// A head of so many frames, each of 16 KB.
async fn long_head(addr: SocketAddr, frames: usize) -> anyhow::Result<H2> {
    let mut client = H2::connect(addr, &[]).await?;
    let long = "y".repeat(16_000);
    let whole = Frame::request(0, 1, "GET", "/livez", &[("x", &long)]);
    client.send(&whole).await?;
    // What comes behind the path and its like.
    let start = Frame::request(0, 1, "GET", "/livez", &[]).payload.len();
    for nth in 2..=frames {
        let end = if nth == frames { flag::END_HEADERS } else { 0 };
        // The rest may meet a closed door.
        let _ = client.send(&Frame::new(kind::CONTINUATION, end, 1, &whole.payload[start..])).await;
    }
    Ok(client)
}

const ENHANCE_YOUR_CALM: u32 = 11;
const REFUSED_STREAM: u32 = 7;
const STREAMS: u16 = 3;
const HEAD: u16 = 6;

#[test]
fn an_answer_before_the_body_is_not_lost() {
    play("an_answer_before_the_body_is_not_lost", async |stage| {
        let api = Api::start(stage, &[]).await?;
        let mut client = H2::connect(api.addr, &[]).await?;
        client.send(&Frame::request(flag::END_HEADERS, 1, "POST", "/no/such/route", &[])).await?;
        // All of the answer is here before any of the body is sent.
        while client.until(kind::DATA, SOON).await?.flags & flag::END_STREAM == 0 {}
        client.send(&Frame::new(kind::DATA, flag::END_STREAM, 1, "{}")).await?;
        client.send(&Frame::new(kind::PING, 0, 0, [7; 8])).await?;
        loop {
            let frame = client.next().await?.context("closed")?;
            ensure!(frame.kind != kind::RST_STREAM, "the stream was reset: {frame:?}");
            if frame.kind == kind::PING && frame.payload == [7; 8] {
                return Ok(());
            }
        }
    });
}

#[test]
fn http2_has_its_limits() {
    play("http2_has_its_limits", async |stage| {
        let api = Api::start(stage, &[]).await?;
        let mut client = H2::connect(api.addr, &[]).await?;
        let settings = client.until(kind::SETTINGS, SOON).await?.payload;
        let said = |id: u16, value: u32| {
            let entry = [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
            settings.chunks(6).any(|chunk| chunk == entry)
        };
        ensure!(said(STREAMS, 64) && said(HEAD, 64 * 1024), "{settings:?}");
        // Whose bodies are still to come.
        for nth in 0..65 {
            client
                .send(&Frame::request(flag::END_HEADERS, 2 * nth + 1, "POST", "/v3/discovery:endpoints", &[]))
                .await?;
        }
        let refused = client.until(kind::RST_STREAM, SOON).await?;
        ensure!((refused.stream, refused.reason()) == (129, Some(REFUSED_STREAM)), "{refused:?}");

        // A head that is larger than any is answered, 431 (which no frame of ours can read); one that does not end is not.
        let mut client = long_head(api.addr, 5).await?;
        let answer = client.until(kind::HEADERS, SOON).await?;
        ensure!(answer.stream == 1, "{answer:?}");
        let goaway = long_head(api.addr, 50).await?.until(kind::GOAWAY, SOON).await?;
        ensure!(goaway.reason() == Some(ENHANCE_YOUR_CALM), "{goaway:?}");
        api.get("/readyz").await?.expect(200).map(drop)
    });
}

#[test]
fn floods_end_their_connection_and_nothing_else() {
    play("floods_end_their_connection_and_nothing_else", async |stage| {
        let api = Api::start(stage, &[]).await?;
        let path = native_path("web", "10.0.0.1:80");
        let opened = |nth: u32| Frame::request(flag::END_HEADERS, 2 * nth + 1, "PUT", &path, &[]).bytes();
        let reset = |nth: u32| Frame::new(kind::RST_STREAM, 0, 2 * nth + 1, [0, 0, 0, 8]).bytes();
        let flood: Vec<u8> = (0..5000).flat_map(|nth| [opened(nth), reset(nth)].concat()).collect();
        let resets = async {
            let mut client = H2::connect(api.addr, &[]).await?;
            let _ = client.send_bytes(&flood).await;
            let goaway = client.until(kind::GOAWAY, SOON).await?;
            ensure!(goaway.reason() == Some(ENHANCE_YOUR_CALM), "{goaway:?}");
            client.until_closed(SOON).await
        };
        let pings = async {
            let mut client = H2::connect(api.addr, &[]).await?;
            client.send_bytes(&Frame::new(kind::PING, 0, 0, [0; 8]).bytes().repeat(1000)).await?;
            client.until(kind::PING, SOON).await?;
            client.send(&Frame::request(flag::END_HEADERS | flag::END_STREAM, 1, "GET", "/livez", &[])).await?;
            client.until(kind::HEADERS, SOON).await.map(drop)
        };
        let others = throughout("others are served", Duration::from_secs(1), async || {
            api.put("web", "10.0.0.2:80", (1, 1), json!({})).await?.expect(200).map(drop)
        });
        tokio::try_join!(resets, pings, others)?;
        ensure!(api.v1_endpoints("web").await? == ["10.0.0.2:80"]);
        Ok(())
    });
}

#[test]
fn http2_is_told_to_go_and_finishes() {
    play("http2_is_told_to_go_and_finishes", async |stage| {
        let mut api = Api::start(stage, &[("SDS_CONNECTION_AGE", "1s")]).await?;
        let body = json!({"resource_names": ["web"]}).to_string();
        let ask = Frame::request(flag::END_HEADERS, 1, "POST", "/v3/discovery:endpoints", &[]);
        let rest = Frame::new(kind::DATA, flag::END_STREAM, 1, body);
        // Of age: half a request is under way when it is told.
        let mut client = H2::connect(api.addr, &[]).await?;
        client.send(&ask).await?;
        let goaway = client.until(kind::GOAWAY, SOON).await?;
        ensure!(goaway.reason() == Some(0), "{goaway:?}");
        client.send(&rest).await?;
        let answer = client.until(kind::DATA, SOON).await?;
        ensure!(String::from_utf8_lossy(&answer.payload).contains("cluster_name"), "{answer:?}");
        // GOAWAY comes twice: first for nobody knows what, then with the last stream.
        client.until_closed(SOON).await?;

        // Stopped.
        let mut client = H2::connect(api.addr, &[]).await?;
        client.send(&ask).await?;
        client.until(kind::SETTINGS, SOON).await?;
        api.process.signal(e2e::process::Signal::TERM)?;
        client.until(kind::GOAWAY, SOON).await?;
        client.send(&rest).await?;
        client.until(kind::DATA, SOON).await?;
        let status = api.process.exit(SOON).await?;
        ensure!(status.success(), "{status}");
        Ok(())
    });
}

#[test]
fn http1_goes_with_an_answer() {
    play("http1_goes_with_an_answer", async |stage| {
        let api = Api::start(stage, &[("SDS_CONNECTION_AGE", "1s")]).await?;
        let mut stream = TcpStream::connect(api.addr).await?;
        until("an answer to be the last", SOON, async || {
            stream.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await?;
            let mut answer = vec![0; 4096];
            let read = stream.read(&mut answer).await?;
            ensure!(read > 0, "it was closed without a word");
            ensure!(String::from_utf8_lossy(&answer[..read]).contains("connection: close"), "not yet");
            Ok(())
        })
        .await?;
        ensure!(stream.read(&mut [0; 16]).await? == 0, "and it is");
        let answer = api.send(Method::GET, "/livez", &[], "").await?;
        answer.expect(200).map(drop)
    });
}
