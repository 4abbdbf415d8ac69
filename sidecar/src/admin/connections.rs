//! Connections to the admin page: one request each, few at once, none for long.
//!
//! `axum::serve` keeps whoever connects and says nothing, until no descriptor is left for probes and calls: then the
//! page of a sidecar has cost it its lease. Here the newest is always let in and the oldest goes for it, since an answer
//! takes no time at all: whoever has been there longest waits for nothing.

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    net::{TcpListener, TcpStream},
    task::AbortHandle,
    time::{sleep, timeout},
};

const AT_ONCE: usize = 16;
/// From the accept to the last byte of the answer.
const LONGEST: Duration = Duration::from_secs(5);
/// Out of descriptors, most often: the next accept would fail at once again.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves `listener` until it is dropped.
pub async fn serve(listener: TcpListener, router: Router) -> Infallible {
    let mut open: VecDeque<AbortHandle> = VecDeque::with_capacity(AT_ONCE);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        open.retain(|connection| !connection.is_finished());
        if open.len() >= AT_ONCE
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        open.push_back(tokio::spawn(timeout(LONGEST, answer(stream, router.clone()))).abort_handle());
    }
}

async fn answer(stream: TcpStream, router: Router) {
    let mut builder = http1::Builder::new();
    builder.keep_alive(false).header_read_timeout(None);
    // Whoever hangs up has what it wanted.
    let _ = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await;
}
