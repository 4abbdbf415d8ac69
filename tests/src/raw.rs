//! Requests byte by byte, for what no HTTP client would send: `..` in a path, a header that never ends, half a body.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{http::Answer, wire::Message};

/// Sends `bytes` as they are (they should ask for `connection: close`) and reads the one answer to the end.
pub async fn exchange(addr: SocketAddr, bytes: &[u8]) -> anyhow::Result<Answer> {
    let mut stream = TcpStream::connect(addr).await?;
    // A server may answer 413 and close before it has read all: then the rest cannot be written, and need not be.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = timeout(Duration::from_secs(15), stream.read_to_end(&mut answer)).await;
    match read.context("the connection stayed open without an end to the answer")? {
        Err(error) if answer.is_empty() => Err(error.into()),
        _ => Ok(Message::new(answer)?.answer()?),
    }
}

/// One request with a path as it is and `connection: close`.
pub async fn request(addr: SocketAddr, method: &str, path: &str, body: &[u8]) -> anyhow::Result<Answer> {
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\nhost: sds\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    exchange(addr, &[head.as_bytes(), body].concat()).await
}
