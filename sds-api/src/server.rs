//! Accepts connections and ends them: hyper with the limits that `axum::serve` does not have.
//!
//! - HTTP/1.1 and HTTP/2 on one listener, in the clear or over TLS (`tls`); a trusted proxy may say first for whom it
//!   speaks (`proxy`). At most
//!   [`Limits::connections`] at once, fewer if the process may not open so many files; beyond it the idlest ones give
//!   way (`crowd`).
//! - A connection that has not shaken hands or sent a whole head in time, or does not read, is closed (`watch`, `taken`); one that lives
//!   long is asked to go, so that keep-alives behind a load balancer spread over replicas again.
//! - Stop: listeners close, HTTP/2 gets GOAWAY, idle connections close, what is in flight has [`GRACE`].

mod crowd;
mod descriptors;
mod prefixed;
mod proxy;
mod remainder;
mod taken;
mod watch;

use std::{
    io,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::body::Body;
use futures_util::FutureExt;
use hyper::{Request, body::Incoming};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use ipnet::IpNet;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch as signal,
    time::{Instant, sleep, timeout, timeout_at},
};

use crate::{
    http::{Http, Peer},
    metrics::Metrics,
    tls::Handshake,
    xds::{self, Leaving},
};
use crowd::Crowd;
use prefixed::Prefixed;
use taken::Taken;
use watch::{Activity, Watched};

/// What is in flight at the stop may take this long.
const GRACE: Duration = Duration::from_secs(10);
/// How long an HTTP/1.1 connection that is open at the stop may still bring a request.
const LAST_CALL: Duration = Duration::from_millis(500);
/// The longest head of a request; more is answered 431, and so are more than hyper's 100 headers.
const HEAD: u32 = 64 * 1024;

/// How many connections, for how long, and whose word is taken.
#[derive(Debug, Clone)]
pub struct Limits {
    /// So many at once at each listener.
    pub connections: usize,
    /// After this one is asked to go; each gets a random share more.
    pub age: Duration,
    /// Proxies that may say for whom they speak.
    pub trusted: Vec<IpNet>,
}

impl Limits {
    /// What as many listeners can have each, by the files that may be open.
    pub fn shared_by(self, listeners: usize) -> Self {
        Self { connections: descriptors::allow(self.connections, listeners), ..self }
    }
}

/// What all connections have in common.
#[derive(Debug)]
struct Shared {
    http: Http,
    tls: Option<Handshake>,
    limits: Limits,
    metrics: Metrics,
    stop: signal::Receiver<bool>,
}

/// Serves `listener`, over TLS if that is given, until `stop` turns true and everything in flight is done.
pub async fn serve(
    listener: TcpListener,
    http: Http,
    tls: Option<Handshake>,
    limits: Limits,
    metrics: Metrics,
    mut stop: signal::Receiver<bool>,
) {
    bound_unread(&listener);
    let mut crowd = Crowd::new(limits.connections, metrics.clone());
    let shared = Arc::new(Shared { http, tls, limits, metrics, stop: stop.clone() });
    let admit = |crowd: &mut Crowd, (stream, from)| {
        let activity = Arc::new(Activity::new());
        crowd.admit(activity.clone(), connection(stream, from, activity, shared.clone()));
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
            () = crowd.one_ended() => continue,
        };
        match accepted {
            Ok(accepted) => admit(&mut crowd, accepted),
            // Out of descriptors, most often: the next accept would fail at once again.
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
    // Who is in the backlog has connected already, and would be reset.
    while let Some(Ok(accepted)) = listener.accept().now_or_never() {
        admit(&mut crowd, accepted);
    }
    drop(listener);
    if timeout(GRACE, crowd.all_ended()).await.is_err() {
        tracing::warn!(connections = crowd.len(), "closed connections that did not end in time");
    }
}

/// Until the kernel's buffers are full, which takes megabytes, only the kernel knows that a client does not read.
/// Connections inherit this from their listener. The kernel begins anew when it goes over from repeating what was sent to
/// asking for a window, so it gets half of the time.
#[cfg(target_os = "linux")]
fn bound_unread(listener: &TcpListener) {
    let patience = u32::try_from(watch::PATIENCE.as_millis() / 2).unwrap_or(u32::MAX);
    if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(listener, patience) {
        tracing::warn!(%error, "clients that never read are seen late");
    }
}

#[cfg(not(target_os = "linux"))]
fn bound_unread(_: &TcpListener) {}

async fn connection(mut stream: TcpStream, from: SocketAddr, activity: Arc<Activity>, shared: Arc<Shared>) {
    let Shared { tls, limits, metrics, .. } = &*shared;
    let deadline = Instant::now() + watch::PATIENCE;
    // Answers are whole; waiting to fill a segment only delays them.
    let _ = stream.set_nodelay(true);
    let introduced = timeout_at(deadline, proxy::introduce(&mut stream, from, &limits.trusted)).await;
    let (peer, first) = match introduced {
        Ok(Ok(introduced)) => introduced,
        Ok(Err(error)) => {
            if error.kind() == io::ErrorKind::InvalidData {
                tracing::warn!(%from, %error, "a trusted proxy sent a bad PROXY protocol header");
                metrics.closed("proxy");
            }
            return;
        }
        Err(_) => return metrics.closed("slow"),
    };
    let stream = Prefixed::new(first, stream);
    match tls {
        None => converse(stream, peer, activity, &shared).await,
        // Apart, so that a connection without TLS does not carry its size.
        Some(tls) => Box::pin(secured(stream, tls, deadline, peer, activity, &shared)).await,
    }
}

/// Shakes hands, then the same. Who leaves in between, as health checks of load balancers do, is not counted.
async fn secured(
    stream: Prefixed<TcpStream>,
    tls: &Handshake,
    deadline: Instant,
    peer: Peer,
    activity: Arc<Activity>,
    shared: &Shared,
) {
    match timeout_at(deadline, tls.shake(stream)).await {
        Ok(Ok((stream, certified))) => converse(stream, Peer { certified, ..peer }, activity, shared).await,
        Ok(Err(error)) => {
            tracing::debug!(peer = %peer.addr, %error, "no TLS");
            if error.kind() == io::ErrorKind::InvalidData {
                shared.metrics.closed("tls");
            }
        }
        Err(_) => shared.metrics.closed("slow"),
    }
}

/// Answers the requests of a connection until it ends, or has to.
async fn converse<S>(stream: S, peer: Peer, activity: Arc<Activity>, shared: &Shared)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Shared { http, limits, metrics, stop, .. } = shared;
    let (leave, leaving) = signal::channel(false);
    let io = TokioIo::new(Watched::new(stream, activity.clone()));
    let service = {
        let (http, activity) = (http.clone(), activity.clone());
        hyper::service::service_fn(move |mut request: Request<Incoming>| {
            let (http, activity) = (http.clone(), activity.clone());
            // Streams end with their connection, before it is cut; polls need not know.
            let is_stream = request.uri().path().starts_with(xds::PREFIX);
            let leaving = is_stream.then(|| Leaving(leaving.clone()));
            async move {
                let (in_flight, last) = activity.request_begins(request.version());
                if let Some(leaving) = leaving {
                    request.extensions_mut().insert(leaving);
                }
                let keeps = activity.is_http2() && !is_stream;
                let body = if keeps { remainder::kept } else { Body::new };
                let mut response = http.answer(request.map(body), peer, last).await;
                if activity.is_http2() {
                    response = response.map(|body| Taken::watch(body, &activity, in_flight));
                }
                Ok::<_, std::convert::Infallible>(response)
            }
        })
    };
    let (builder, mut stop) = (builder(), stop.clone());
    let mut connection = pin!(builder.serve_connection(io, service));
    let age = limits.age.mul_f64(1.0 + fastrand::f64());
    let mut deadline: Option<Instant> = None;
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(peer = %peer.addr, error, "connection ended");
                }
                return;
            }
            // Requests that were sent before their client could know of the stop are still answered, with `connection:
            // close`; HTTP/2 says which ones it has not seen.
            () = stopped(&mut stop, &activity), if deadline.is_none() => {
                deadline = Some(Instant::now() + GRACE);
                leave.send_replace(true);
                connection.as_mut().graceful_shutdown();
            }
            () = sleep(watch::TICK) => {
                if activity.is_stalled() {
                    return metrics.closed("slow");
                }
                if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                    return;
                }
                // HTTP/1.1 leaves with its next answer, so that no request meets a closing connection.
                if deadline.is_none() && activity.ages(age) {
                    deadline = Some(Instant::now() + GRACE);
                    leave.send_replace(true);
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
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(HEAD as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(64)
        .max_header_list_size(HEAD)
        // Streams that are opened only to be reset: beyond these numbers the connection ends.
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(100)
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
