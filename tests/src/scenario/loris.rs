//! A crowd of clients that drip heads, drip bodies and read nothing, each coming again as soon as it is cut off, while
//! three Envoys poll: each of the crowd is cut off within ten seconds, and no Envoy misses a poll.

use std::{fmt, net::SocketAddr, time::Duration};

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{Instant, sleep, timeout},
};

use crate::{
    api::{Api, native_path},
    envoy::Envoy,
    stage::Stage,
    wait::SOON,
};

const ENVOYS: usize = 3;
/// Envoy adds up to as much again.
const REFRESH: Duration = Duration::from_millis(200);
/// What is promised is 10 s; a second for a slow machine, and a pause until the dripping side sees it.
const CUT: Duration = Duration::from_millis(12_000);
const PAUSE: Duration = Duration::from_secs(1);

/// What is played.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many of them at once.
    pub sockets: usize,
    /// For how long.
    pub span: Duration,
}

/// What was seen.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// Polls of all Envoys meanwhile; none failed.
    pub polls: u64,
    /// How often one of the crowd was cut off.
    pub cut: usize,
    /// The longest that one stayed.
    pub longest: Duration,
    /// The registry's open connections, at most.
    pub connections: f64,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { polls, cut, longest, connections } = self;
        write!(
            f,
            "{polls} polls, none missed; {connections} connections, cut off {cut} times, after {longest:.1?} at most"
        )
    }
}

/// Plays it; an error names what was not kept.
pub async fn play(stage: &Stage, plan: Plan) -> anyhow::Result<Outcome> {
    let api = Api::start(stage, &[("SDS_LEASE", "1h")]).await?;
    api.put("web", "10.0.0.1:80", (1, 1), json!({})).await?.expect(200)?;
    let envoys = try_join_all((0..ENVOYS).map(|_| Envoy::start(stage, api.addr, "web", REFRESH))).await?;
    for envoy in &envoys {
        envoy.until_equal(&api, SOON).await?;
    }

    let (answered, before) = (answered(&api).await?, polls(&envoys).await?);
    let end = Instant::now() + plan.span;
    let crowd = try_join_all((0..plan.sockets).map(|nth| one(api.addr, nth, end)));
    let watched = async {
        let mut connections: f64 = 0.0;
        while Instant::now() < end {
            connections = connections.max(api.metric("sds_connections").await?);
            sleep(PAUSE).await;
        }
        anyhow::Ok(connections)
    };
    let changed = async {
        sleep(plan.span / 2).await;
        // They are not only answered, they hear what is new.
        api.put("web", "10.0.0.2:80", (1, 1), json!({})).await?.expect(200)?;
        try_join_all(envoys.iter().map(|envoy| envoy.until_equal(&api, 2 * REFRESH + PAUSE))).await
    };
    let (crowd, connections, _) = tokio::try_join!(crowd, watched, changed)?;

    let polls = polls(&envoys).await? - before;
    for envoy in &envoys {
        for wrong in ["update_failure", "update_rejected"] {
            let wrongs = envoy.stat(wrong).await?;
            ensure!(wrongs == 0, "{wrongs} {wrong}");
        }
    }
    // At its slowest an Envoy asks once in two refreshes; one poll of each may just be on its way.
    let expected = plan.span.as_millis() / (2 * REFRESH).as_millis() * ENVOYS as u128 * 9 / 10;
    ensure!(u128::from(polls) >= expected, "{polls} polls, {expected} were due");
    let served = self::answered(&api).await? - answered;
    ensure!(served + ENVOYS as f64 >= polls as f64, "{served} of {polls} polls were answered");
    ensure!(connections >= plan.sockets as f64, "{connections} connections at most, that was no crowd");
    let (cut, longest) = crowd.iter().fold((0, Duration::ZERO), |(n, long), (cut, took)| (n + cut, long.max(*took)));
    Ok(Outcome { polls, cut, longest, connections })
}

async fn polls(envoys: &[Envoy]) -> anyhow::Result<u64> {
    Ok(try_join_all(envoys.iter().map(|envoy| envoy.stat("update_attempt"))).await?.into_iter().sum())
}

/// Polls that were answered well, with hosts or as unchanged.
async fn answered(api: &Api) -> anyhow::Result<f64> {
    let of = async |class| api.metric(&format!("sds_http_requests_total{{route=\"eds_v3\",class=\"{class}\"}}")).await;
    Ok(of("2xx").await? + of("3xx").await?)
}

/// Comes again and again until `end`; how often it was cut off, and how long it stayed at most.
async fn one(addr: SocketAddr, nth: usize, end: Instant) -> anyhow::Result<(usize, Duration)> {
    let (mut cut, mut longest) = (0, Duration::ZERO);
    loop {
        let begun = Instant::now();
        let stay = timeout(CUT, stay(addr, nth));
        tokio::select! {
            ended = stay => drop(ended.with_context(|| format!("the {nth}th of the crowd was not cut off"))?),
            () = tokio::time::sleep_until(end) => return Ok((cut, longest)),
        }
        cut += 1;
        longest = longest.max(begun.elapsed());
    }
}

/// Ready when the registry has had enough.
async fn stay(addr: SocketAddr, nth: usize) -> anyhow::Result<()> {
    match nth % 3 {
        0 => drip(addr, "GET /v1/registration/web HTTP/1.1\r\nhost: x\r\n".to_owned(), "a: b\r\n").await,
        1 => {
            let path = native_path("web", "10.0.0.9:80");
            drip(addr, format!("PUT {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n"), "{").await
        }
        _ => read_nothing(addr).await,
    }
}

async fn drip(addr: SocketAddr, start: String, drip: &str) -> anyhow::Result<()> {
    let (mut read, mut write) = TcpStream::connect(addr).await?.into_split();
    write.write_all(start.as_bytes()).await?;
    let writer = async {
        while write.write_all(drip.as_bytes()).await.is_ok() {
            sleep(PAUSE).await;
        }
    };
    let mut sink = Vec::new();
    tokio::select! {
        () = writer => {}
        _ = read.read_to_end(&mut sink) => {}
    }
    Ok(())
}

/// Asks for more than its window holds, then for a little more each second. A connection that its kernel has given up tells so only to who goes on.
async fn read_nothing(addr: SocketAddr) -> anyhow::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    let mut stream = socket.connect(addr).await?;
    let asking = "GET /v1/registration/web HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(asking.repeat(60).as_bytes()).await?;
    while stream.write_all(asking.as_bytes()).await.is_ok() {
        sleep(PAUSE).await;
    }
    Ok(())
}
