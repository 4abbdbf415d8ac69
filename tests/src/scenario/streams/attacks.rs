//! What bad company does.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use prost::Message;
use tonic::Code;

use super::SERVICE;
use crate::{
    h2::{Frame, H2, flag, kind},
    wait::SOON,
    xds::{Delta, Sotw, connect, delta, refusal, sotw},
};

/// Longer than changes wait for each other.
const SILENCE: Duration = Duration::from_millis(500);
/// A connection has no more at once.
const STREAMS: u32 = 60;

/// Refuses whatever it is told, three times, until it has been told so often. A refusal that were answered with the same content would
/// come back, and again. How many responses it refused, each of another version.
pub async fn refuse(addr: SocketAddr, times: usize) -> anyhow::Result<usize> {
    let mut stream = Sotw::endpoints(&connect(addr).await?).await?;
    stream.say(sotw(&[SERVICE], "")).await?;
    let mut versions = BTreeSet::new();
    while versions.len() < times {
        let told = stream.next(SOON).await?;
        for _ in 0..3 {
            let mut refused = sotw(&[SERVICE], &told.nonce);
            refused.error_detail = refusal("no");
            stream.say(refused).await?;
        }
        ensure!(versions.insert(told.version_info.clone()), "{} is sent again", told.version_info);
    }
    // What it says last is heard before its end is.
    stream.leave(SOON).await?;
    Ok(versions.len())
}

/// Connections whose streams want something and take nothing.
pub async fn deaf(addr: SocketAddr, streams: u32) -> anyhow::Result<Vec<H2>> {
    const INITIAL_WINDOW: u16 = 4;
    let one = async |streams: u32| {
        let mut client = H2::connect(addr, &[(INITIAL_WINDOW, 0)]).await?;
        for nth in 0..streams {
            client.send_bytes(&opened(nth)?).await?;
        }
        client.until(kind::HEADERS, SOON).await?;
        Ok(client)
    };
    let connections = (0..streams).step_by(STREAMS as usize).map(|first| one(STREAMS.min(streams - first)));
    try_join_all(connections).await
}

/// Whether they are what they claim to be.
pub async fn took_nothing(deaf: Vec<H2>) -> anyhow::Result<()> {
    for mut client in deaf {
        ensure!(client.until(kind::DATA, SILENCE).await.is_err(), "it took something");
    }
    Ok(())
}

/// Wants many names and wants them not, again and again.
pub async fn fickle(addr: SocketAddr, names: usize, rounds: usize) -> anyhow::Result<()> {
    let names: Vec<_> = (0..names).map(|nth| format!("service-{nth}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut stream = Delta::aggregated(&connect(addr).await?).await?;
    for round in 0..rounds {
        stream.say(delta(&names, &[], "")).await?;
        let all = stream.next(SOON).await.with_context(|| format!("round {round}"))?;
        ensure!(all.resources.len() == names.len(), "{} resources", all.resources.len());
        stream.say(delta(&[], &names, &all.nonce)).await?;
    }
    Ok(())
}

/// Requests of five megabytes, several at once; each ends its stream and nothing else. A connection has few of them: after a hundred
/// streams that end in an error HTTP/2's own limit ends it.
pub async fn messages(addr: SocketAddr, messages: usize) -> anyhow::Result<()> {
    const AT_ONCE: usize = 4;
    let long = "x".repeat(5 << 20);
    for first in (0..messages).step_by(AT_ONCE) {
        let channel = connect(addr).await?;
        let each = (first..messages.min(first + AT_ONCE)).map(async |_| {
            let mut stream = Sotw::endpoints(&channel).await?;
            stream.say(sotw(&[&long], "")).await?;
            let status = stream.end(SOON).await?;
            ensure!(status.code() == Code::OutOfRange, "{status}");
            Ok(())
        });
        try_join_all(each).await?;
    }
    Ok(())
}

/// Streams that are opened only to be reset: half of them as soon as they are answered, half at once. How many connections those cost;
/// the others cost none.
pub async fn resets(addr: SocketAddr, resets: u32) -> anyhow::Result<usize> {
    Ok(tokio::try_join!(reset_when_answered(addr, resets / 2), reset_at_once(addr, resets / 2))?.1)
}

async fn reset_when_answered(addr: SocketAddr, resets: u32) -> anyhow::Result<()> {
    let mut client = H2::connect(addr, &[]).await?;
    for first in (0..resets).step_by(STREAMS as usize) {
        let wave = first..resets.min(first + STREAMS);
        client.send_bytes(&wave.clone().map(opened).collect::<anyhow::Result<Vec<_>>>()?.concat()).await?;
        for nth in wave.clone() {
            client.until(kind::HEADERS, SOON).await.with_context(|| format!("the answer to stream {nth}"))?;
        }
        client.send_bytes(&wave.flat_map(reset).collect::<Vec<_>>()).await?;
    }
    Ok(())
}

async fn reset_at_once(addr: SocketAddr, resets: u32) -> anyhow::Result<usize> {
    const WAVE: u32 = 500;
    let ping = Frame::new(kind::PING, 0, 0, [0; 8]).bytes();
    let mut ended = 0;
    for _ in 0..resets / WAVE {
        let mut client = H2::connect(addr, &[]).await?;
        for nth in 0..WAVE {
            // The rest of a wave may meet a closed door.
            let _ = client.send_bytes(&[opened(nth)?, reset(nth)].concat()).await;
        }
        let _ = client.send_bytes(&ping).await;
        ended += usize::from(client.until(kind::PING, SOON).await.is_err());
    }
    ensure!(ended > 0, "no connection ended for waves of {WAVE}");
    Ok(ended)
}

fn id(nth: u32) -> u32 {
    2 * nth + 1
}

/// A discovery stream and its first request.
fn opened(nth: u32) -> anyhow::Result<Vec<u8>> {
    let request = sotw(&[SERVICE], "").encode_to_vec();
    let length = u32::try_from(request.len())?.to_be_bytes();
    let path = "/envoy.service.endpoint.v3.EndpointDiscoveryService/StreamEndpoints";
    let headers = [("content-type", "application/grpc"), ("te", "trailers")];
    let head = Frame::request(flag::END_HEADERS, id(nth), "POST", path, &headers).bytes();
    let message = Frame::new(kind::DATA, 0, id(nth), [&[0], &length[..], &request].concat()).bytes();
    Ok([head, message].concat())
}

fn reset(nth: u32) -> Vec<u8> {
    const CANCEL: [u8; 4] = [0, 0, 0, 8];
    Frame::new(kind::RST_STREAM, 0, id(nth), CANCEL).bytes()
}
