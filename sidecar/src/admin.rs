//! What the sidecar says about itself, on loopback only: health for ECS, metrics for a scraper in the task.
//!
//! `/livez` is 200 while the agents' loops turn. `/readyz` is 200 while each instance is registered, healthy and within
//! its lease. `/healthcheck` is what ECS's container health asks through `sds-sidecar healthcheck`: it passes once each
//! instance was registered as fit, and from then on as long as the loops turn, so that trouble with the registry, the
//! metadata or the app holds a deploy but kills no task.

use std::{borrow::Cow, convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus_client::registry::Registry;
use tokio::{net::TcpListener, sync::watch, time::Instant};

mod connections;

/// The loop turns at least once a second; a machine that is this late is stuck.
const STUCK: Duration = Duration::from_secs(10);

/// What the agent publishes with each turn of its loop.
#[derive(Debug, Clone)]
pub struct Status {
    /// When the loop last turned; `None` once it is done.
    pub turned: Option<Instant>,
    /// Until when the instance is registered and healthy.
    pub ready_until: Option<Instant>,
    /// Whether it ever was registered as fit.
    pub registered_once: bool,
    /// Why it is not ready.
    pub why_not: Cow<'static, str>,
}

/// What the agents published last, one for each instance.
pub type Statuses = Vec<watch::Receiver<Status>>;

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, statuses: Statuses, registry: Registry) -> Infallible {
    let router = Router::new()
        .route("/livez", get(|State(shared): State<Shared>| async move { said(all(&shared, live)) }))
        .route("/readyz", get(|State(shared): State<Shared>| async move { said(all(&shared, ready)) }))
        .route("/healthcheck", get(|State(shared): State<Shared>| async move { said(all(&shared, registered)) }))
        .route("/metrics", get(metrics))
        .with_state(Shared { statuses, registry: Arc::new(registry) });
    connections::serve(listener, router).await
}

/// Asks for `path` at `address`, 2 s long; `Err` says why the answer is not 200.
pub async fn ask(address: SocketAddr, path: &str) -> Result<(), String> {
    let client = crate::web::client(false).timeout(Duration::from_secs(2)).build();
    let answer = client.map_err(|error| crate::web::cause(&error))?.get(format!("http://{address}{path}")).send();
    let answer = answer.await.map_err(|error| format!("{address}: {}", crate::web::cause(&error)))?;
    if answer.status() == StatusCode::OK {
        return Ok(());
    }
    let body = crate::web::body(answer, 1024).await.unwrap_or_default();
    Err(crate::web::shown(&String::from_utf8_lossy(&body)))
}

#[derive(Clone)]
struct Shared {
    statuses: Statuses,
    registry: Arc<Registry>,
}

/// `Err` says why not.
type Verdict = Result<(), Cow<'static, str>>;

/// The first objection, if any.
fn all(shared: &Shared, verdict: fn(&Status) -> Verdict) -> Verdict {
    shared.statuses.iter().try_for_each(|status| verdict(&status.borrow()))
}

fn live(status: &Status) -> Verdict {
    if status.turned.is_none_or(|turned| turned.elapsed() < STUCK) { Ok(()) } else { Err("the loop is stuck".into()) }
}

fn ready(status: &Status) -> Verdict {
    if status.ready_until.is_some_and(|until| Instant::now() < until) { Ok(()) } else { Err(status.why_not.clone()) }
}

fn registered(status: &Status) -> Verdict {
    live(status)?;
    if status.registered_once { Ok(()) } else { Err(status.why_not.clone()) }
}

fn said(verdict: Verdict) -> Response {
    match verdict {
        Ok(()) => (StatusCode::OK, "ok\n").into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn metrics(State(shared): State<Shared>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &shared.registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[test]
    fn three_questions() {
        let now = Instant::now();
        let fit = || Status {
            turned: Some(now),
            ready_until: now.checked_add(STUCK),
            registered_once: true,
            why_not: "why".into(),
        };
        let cases = [
            ("fit", fit(), [true, true, true]),
            ("lease over", Status { ready_until: Some(now), ..fit() }, [true, false, true]),
            ("not healthy", Status { ready_until: None, ..fit() }, [true, false, true]),
            ("never registered", Status { ready_until: None, registered_once: false, ..fit() }, [true, false, false]),
            ("done", Status { turned: None, ready_until: None, ..fit() }, [true, false, true]),
            ("stuck", Status { turned: now.checked_sub(STUCK), ..fit() }, [false, true, false]),
        ];
        for (case, status, expected) in cases {
            // One is not enough: each instance must be fit.
            let statuses = vec![watch::channel(fit()).1, watch::channel(status).1];
            let shared = Shared { statuses, registry: Arc::default() };
            assert_eq!([live, ready, registered].map(|verdict| all(&shared, verdict).is_ok()), expected, "{case}");
        }
    }

    #[tokio::test]
    async fn connections_that_ask_nothing_make_room_for_those_that_do() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, Vec::new(), Registry::default()));
        let mut idle = Vec::new();
        for _ in 0..100 {
            idle.push(tokio::net::TcpStream::connect(address).await.unwrap());
        }
        assert_eq!(ask(address, "/livez").await, Ok(()));
        let first = tokio::time::timeout(Duration::from_secs(2), idle[0].read_u8()).await;
        assert!(first.expect("the oldest goes for the newest").is_err());
        let last = tokio::time::timeout(Duration::from_secs(10), idle[99].read_u8()).await;
        assert!(last.expect("nobody stays for long").is_err());
    }
}
