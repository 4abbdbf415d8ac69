//! Accepts connections and ends them: hyper with the limits that `axum::serve` does not have.
//!
//! - HTTP/1.1 and h2c on one listener; at most [`CONNECTIONS`] at once (fewer if the process may not open so
//!   many files), the next one is closed at the door.
//! - A connection that has not sent a whole head in time is closed (`watch`); one that lives long is asked to go, so
//!   that keep-alives behind a load balancer spread over replicas again.
//! - Stop: listeners close, HTTP/2 gets GOAWAY, idle connections close, what is in flight has [`GRACE`].

mod descriptors;
mod watch;

use std::{
    net::SocketAddr,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::body::Body;
use futures_util::FutureExt;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch as signal,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{http::Http, metrics::Metrics};
use watch::{Activity, Watched};

/// How many connections are served at once.
const CONNECTIONS: usize = 12_000;
/// What is in flight at the stop may take this long.
const GRACE: Duration = Duration::from_secs(10);
/// How long an HTTP/1.1 connection that is open at the stop may still bring a request.
const LAST_CALL: Duration = Duration::from_millis(500);
/// After this a connection is asked to go; each gets a random share more.
const AGE: Duration = Duration::from_secs(300);

/// Serves `listener` until `stop` turns true and everything in flight is done.
pub async fn serve(listener: TcpListener, http: Http, metrics: Metrics, mut stop: signal::Receiver<bool>) {
    let limit = descriptors::allow(CONNECTIONS);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => {
                metrics.connections.set(i64::try_from(connections.len()).unwrap_or(i64::MAX));
                continue;
            }
        };
        match accepted {
            Ok((stream, peer)) if connections.len() < limit => {
                connections.spawn(connection(stream, peer, http.clone(), stop.clone()));
                metrics.connections.set(i64::try_from(connections.len()).unwrap_or(i64::MAX));
            }
            Ok(_) => tracing::debug!("connection refused, too many are open"),
            // Out of descriptors, most often: the next accept would fail at once again.
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
    // Who is in the backlog has connected already, and would be reset.
    while let Some(Ok((stream, peer))) = listener.accept().now_or_never() {
        connections.spawn(connection(stream, peer, http.clone(), stop.clone()));
    }
    drop(listener);
    if timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await.is_err() {
        tracing::warn!(connections = connections.len(), "closed connections that did not end in time");
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, http: Http, mut stop: signal::Receiver<bool>) {
    // Answers are whole; waiting to fill a segment only delays them.
    let _ = stream.set_nodelay(true);
    let activity = Arc::new(Activity::new());
    let io = TokioIo::new(Watched::new(stream, activity.clone()));
    let service = {
        let activity = activity.clone();
        hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let (http, activity) = (http.clone(), activity.clone());
            async move {
                let last = activity.request_begins(request.version());
                let response = http.answer(request.map(Body::new), last).await;
                activity.request_ends();
                Ok::<_, std::convert::Infallible>(response)
            }
        })
    };
    let builder = builder();
    let mut connection = pin!(builder.serve_connection(io, service));
    let age = AGE.mul_f64(1.0 + fastrand::f64());
    let mut leaving: Option<Instant> = None;
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%peer, error, "connection ended");
                }
                return;
            }
            // Requests that were sent before their client could know of the stop are still answered, with `connection:
            // close`; HTTP/2 says which ones it has not seen.
            () = stopped(&mut stop, &activity), if leaving.is_none() => {
                leaving = Some(Instant::now() + GRACE);
                connection.as_mut().graceful_shutdown();
            }
            () = sleep(watch::TICK) => {
                if activity.is_stalled() || leaving.is_some_and(|deadline| Instant::now() >= deadline) {
                    return;
                }
                // HTTP/1.1 leaves with its next answer, so that no request meets a closing connection.
                if leaving.is_none() && activity.ages(age) {
                    leaving = Some(Instant::now() + GRACE);
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// Ready when a connection is to go: at once with HTTP/2, else after the last call.
async fn stopped(stop: &mut signal::Receiver<bool>, activity: &Activity) {
    let _ = stop.wait_for(|stop| *stop).await;
    if !activity.is_http2() {
        sleep(LAST_CALL).await;
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // `watch` closes slow heads at no cost per request; hyper's own timer would cost each request an allocation and
    // close idle keep-alives too, into the face of a client about to use them.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(128 * 1024);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(64)
        .max_header_list_size(32 * 1024)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// Marks the server as stopping, then tells it to stop after `delay`.
pub async fn stop(app: &crate::http::App, delay: Duration, stop: &signal::Sender<bool>) {
    app.stopping.store(true, Ordering::Relaxed);
    sleep(delay).await;
    stop.send_replace(true);
}
