//! Clients that take their time, to speak or to listen, are cut off within ten seconds, whatever they drip and in whichever
//! version of HTTP; who is being served notices nothing.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, ensure};
use e2e::{
    api::{Api, native_path},
    h2::{Frame, H2, flag, kind},
    http,
    scenario::loris,
    wait::{SOON, until},
};
use futures_util::future::try_join_all;
use reqwest::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{alone, play};

/// What is promised.
const PROMISE: Duration = Duration::from_secs(10);
/// A second for a slow machine.
const BOUND: Duration = Duration::from_secs(11);
const PAUSE: Duration = Duration::from_millis(200);

/// Says `start`, then `drip` again and again, until the other side has had enough.
async fn dripped(addr: SocketAddr, start: Vec<u8>, drip: Vec<u8>) -> anyhow::Result<()> {
    let (mut read, mut write) = TcpStream::connect(addr).await?.into_split();
    write.write_all(&start).await?;
    let writer = async {
        while !drip.is_empty() && write.write_all(&drip).await.is_ok() {
            sleep(PAUSE).await;
        }
        std::future::pending::<()>().await;
    };
    let mut sink = Vec::new();
    tokio::select! {
        () = writer => {}
        _ = read.read_to_end(&mut sink) => {}
    }
    Ok(())
}

/// The bytes of a connection of HTTP/2 up to these frames.
fn h2(frames: &[Frame]) -> Vec<u8> {
    let settings = Frame::new(kind::SETTINGS, 0, 0, []);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    [preface].into_iter().chain(std::iter::once(&settings).chain(frames).map(Frame::bytes)).collect::<Vec<_>>().concat()
}

#[test]
fn who_drips_is_cut_off() {
    play("who_drips_is_cut_off", async |stage| {
        let env = [("SDS_TRUSTED_PROXIES", "127.0.0.0/8")];
        let (api, behind) = (Api::start(stage, &[]).await?, Api::start(stage, &env).await?);
        let put = format!("PUT {} HTTP/1.1\r\nhost: x\r\n", native_path("web", "10.0.0.1:80"));
        let (length, chunked) =
            (format!("{put}content-length: 1000\r\n\r\n"), format!("{put}transfer-encoding: chunked\r\n\r\n"));
        let unfinished = Frame::request(0, 1, "GET", "/readyz", &[]);
        let more = Frame::new(kind::CONTINUATION, 0, 1, *b"\x00\x01x\x01y");
        let proxy = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x0f\xff".to_vec();
        let whole = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00".to_vec();
        let rows: Vec<(&str, &Api, Vec<u8>, Vec<u8>)> = vec![
            ("silence", &api, b"".into(), b"".into()),
            ("one byte", &api, b"G".into(), b"".into()),
            ("headers", &api, b"GET /readyz HTTP/1.1\r\nhost: x\r\n".into(), b"a: b\r\n".into()),
            ("a header", &api, b"GET /readyz HTTP/1.1\r\nx: ".into(), b"y".into()),
            ("a path", &api, b"GET /".into(), b"y".into()),
            ("empty lines", &api, b"\r\n".into(), b"\r\n".into()),
            ("no body", &api, length.clone().into(), b"".into()),
            ("a body", &api, length.into(), b"{".into()),
            ("chunks", &api, chunked.into(), b"1\r\n{\r\n".into()),
            (
                "a body that nobody asked for",
                &api,
                b"GET /readyz HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n".into(),
                b"x".into(),
            ),
            ("a second head", &api, b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\nGET ".into(), b"/".into()),
            ("half a preface", &api, b"PRI * HTTP/2.0\r\n".into(), b"".into()),
            ("no request", &api, h2(&[]), Frame::new(kind::PING, 0, 0, [0; 8]).bytes()),
            ("a head of HTTP/2", &api, h2(&[unfinished]), more.bytes()),
            ("a proxy's silence", &behind, b"".into(), b"".into()),
            ("a proxy's signature", &behind, proxy[..5].to_vec(), b"".into()),
            ("a proxy's header", &behind, proxy, b"\0".into()),
            ("behind a proxy", &behind, whole, b"G".into()),
        ];
        let cut_off = async |(name, api, start, drip): (&str, &Api, Vec<u8>, Vec<u8>)| {
            let ended = timeout(BOUND, dripped(api.addr, start, drip)).await;
            ended.with_context(|| format!("{name}: still open after {BOUND:?}"))?.with_context(|| name.to_owned())
        };
        try_join_all(rows.into_iter().map(cut_off)).await?;
        let slow = "sds_connections_closed_total{why=\"slow\"}";
        ensure!(api.metric(slow).await? > 5.0 && behind.metric(slow).await? > 2.0, "nobody counts them");
        api.get("/readyz").await?.expect(200).map(drop)
    });
}

/// On HTTP/2 the request ends, its connection may stay.
#[test]
fn a_body_that_drips_over_http2_is_answered_408() {
    play("a_body_that_drips_over_http2_is_answered_408", async |stage| {
        let api = Api::start(stage, &[]).await?;
        let mut client = H2::connect(api.addr, &[]).await?;
        let path = native_path("web", "10.0.0.1:80");
        client.send(&Frame::request(flag::END_HEADERS, 1, "PUT", &path, &[])).await?;
        let start = Instant::now();
        let answer = loop {
            client.send(&Frame::new(kind::DATA, 0, 1, *b"{")).await?;
            match timeout(PAUSE, client.until(kind::DATA, PROMISE)).await {
                Ok(answer) => break answer?,
                Err(_) => ensure!(start.elapsed() < BOUND, "no answer"),
            }
        };
        let answer = String::from_utf8_lossy(&answer.payload).into_owned();
        ensure!(answer.contains("BodyTimeout"), "{answer}");
        client.send(&Frame::request(flag::END_HEADERS | flag::END_STREAM, 3, "GET", "/readyz", &[])).await?;
        client.until(kind::HEADERS, PROMISE).await.map(drop)
    });
}

/// Asks for something, then again and again until nothing more is taken, or never; and reads nothing of it.
async fn unread(addr: SocketAddr, start: Vec<u8>, asking: Vec<u8>) -> anyhow::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    let mut stream = socket.connect(addr).await?;
    stream.write_all(&start).await?;
    while !asking.is_empty() && stream.write_all(&asking).await.is_ok() {}
    std::future::pending().await
}

/// Takes everything but the answers themselves.
async fn windowless(addr: SocketAddr) -> anyhow::Result<()> {
    const INITIAL_WINDOW: u16 = 4;
    let mut client = H2::connect(addr, &[(INITIAL_WINDOW, 0)]).await?;
    client.send(&Frame::request(flag::END_HEADERS | flag::END_STREAM, 1, "GET", "/metrics", &[])).await?;
    client.until(kind::HEADERS, PROMISE).await?;
    client.until_closed(SOON).await
}

/// How many connections there are, by one that does not stay: a client with a pool may open more of them at any time.
async fn open(api: &Api) -> anyhow::Result<f64> {
    let client = http::bare_client(PROMISE);
    let text = http::send(&client, Method::GET, &api.url("/metrics"), &[], "").await?.expect(200)?.text();
    let line = text.lines().find_map(|line| line.strip_prefix("sds_connections "));
    Ok(line.context("no sds_connections")?.parse()?)
}

#[test]
fn who_never_reads_is_cut_off() {
    play("who_never_reads_is_cut_off", async |stage| {
        let api = Api::start(stage, &[]).await?;
        let before = open(&api).await?;
        let h1 = "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100).into_bytes();
        let once = Frame::request(flag::END_HEADERS | flag::END_STREAM, 1, "GET", "/livez", &[]);
        let pings = Frame::new(kind::PING, 0, 0, [0; 8]).bytes().repeat(4000);
        let mut clients = JoinSet::new();
        // The second one's answers are all in its kernel's buffers and ours: to us it looks idle.
        for (start, asking) in [(Vec::new(), h1.clone()), (h1, Vec::new()), (h2(&[once]), pings)] {
            clients.spawn(unread(api.addr, start, asking));
        }
        clients.spawn(windowless(api.addr));
        // Whether a client hears of it is its kernel's affair; what counts is that the registry has let go of it.
        until("all to be connected", SOON, async || {
            let others = open(&api).await? - before;
            ensure!(others >= 4.0, "{others} are open");
            Ok(())
        })
        .await?;
        until("all to be cut off", BOUND, async || {
            let others = open(&api).await? - before;
            ensure!(others <= 0.0, "{others} are open");
            Ok(())
        })
        .await?;
        api.get("/readyz").await?.expect(200).map(drop)
    });
}

#[test]
fn no_poll_of_an_envoy_is_missed_meanwhile() {
    alone("no_poll_of_an_envoy_is_missed_meanwhile", async |stage| {
        let outcome = loris::play(stage, loris::Plan { sockets: 200, span: PROMISE + Duration::from_secs(2) }).await?;
        println!("{outcome}");
        Ok(())
    });
}
