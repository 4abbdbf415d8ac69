//! A fresh connection to the app, with or without TLS, and one exchange over it.
//!
//! For a check of TCP the connection is all: it is closed at once. That cannot tell a hung app from a well one, because
//! the kernel accepts for both; only a check that reads an answer can.

use std::{
    future::{Future, poll_fn},
    net::{IpAddr, SocketAddr},
    pin::pin,
    task::Poll,
};

use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, join},
    net::TcpStream,
};

use super::{Probe, check::Target, failure, tls};
use crate::web;

/// Bytes both ways, whatever is below.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// The most that is read of a connection, whatever it is: an answer at its limit in the smallest pieces. Only so much
/// of what is no answer (informational heads, HTTP/2's own frames) costs the sidecar its time.
const READ_LIMIT: u64 = 8 * web::BODY_LIMIT as u64;

/// One type for all, so that each protocol is compiled once.
pub type Connection = Box<dyn Stream>;

/// Connects to the first address that takes it. If none does, the first one's error counts: where IPv6 is off, that
/// of ::1 would say that *we* have no such address, and hide that nobody listens on 127.0.0.1.
pub async fn tcp(addresses: &[SocketAddr]) -> Result<TcpStream, Probe> {
    let mut first = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => first = first.or(Some(failure(&error))),
        }
    }
    Err(first.unwrap_or_else(|| Probe::Unknown("there is no address to connect to".into())))
}

/// Connects to `target` and, if `tls` is given, agrees on keys with the app.
pub async fn open(target: Target, app: IpAddr, tls: Option<&tls::Client>) -> Result<Connection, Probe> {
    let stream = tcp(&target.addresses(app)).await?;
    // One small write each way: waiting for more to send would only add to the app's time.
    let _ = stream.set_nodelay(true);
    let (reader, writer) = stream.into_split();
    let stream = join(reader.take(READ_LIMIT), writer);
    match tls {
        None => Ok(Box::new(stream)),
        Some(tls) => Ok(Box::new(tls.connect(target, app, stream).await?)),
    }
}

/// The same for hyper.
pub fn hyper(connection: Connection) -> TokioIo<Connection> {
    TokioIo::new(connection)
}

/// Runs `exchange` while `connection`, the protocol's machine, turns. Afterwards the machine gets one more turn, in
/// which it says goodbye: TLS peers log a connection that is cut without.
pub async fn over<T>(connection: impl Future, exchange: impl Future<Output = T>) -> T {
    let mut connection = pin!(connection);
    let answer = {
        let mut exchange = pin!(exchange);
        tokio::select! {
            biased;
            answer = &mut exchange => answer,
            _ = &mut connection => return exchange.await,
        }
    };
    poll_fn(|context| {
        let _ = connection.as_mut().poll(context);
        Poll::Ready(())
    })
    .await;
    answer
}
