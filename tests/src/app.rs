//! A small app that says its name, and that can be told to fail: the stand-in for a user's own.
//!
//! `PUT /mode/{ok|sick|hang}`: sick answers its health check with 503 and goes on serving; hung accepts and never
//! answers. `GET /slow?ms=2000` answers after that time. With `APP_READY_AFTER=60s` in its environment it is sick for so
//! long after its start, as one that fills its caches first. It serves until SIGTERM, then ends what is in flight, as a well-kept app does. In ECS's stop order it gets
//! that signal only after its sidecar has exited.

use std::{
    future::pending,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, anyhow};
use axum::{
    Router,
    extract::{Path, RawQuery, State},
    http::StatusCode,
    routing::{get, put},
};
use reqwest::Method;
use sds_types::parse_span;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep},
};

use crate::{http, place, process::Process, stage::Stage};

const MODES: [&str; 3] = ["ok", "sick", "hang"];

#[derive(Debug)]
struct Shared {
    name: String,
    /// An index of [`MODES`].
    mode: AtomicU8,
    /// Sick before.
    ready_at: Instant,
}

/// Runs the app as `NAME [ADDR]` until SIGTERM.
pub async fn run(args: &[String]) -> anyhow::Result<()> {
    let name = args.first().context("usage: app NAME [ADDR]")?.clone();
    let ready_after = place::var("APP_READY_AFTER").map(|text| parse_span(&text)).transpose();
    let ready_after = ready_after.map_err(|wrong| anyhow!("APP_READY_AFTER: {wrong}"))?.unwrap_or_default();
    let ready_at = Instant::now() + ready_after;
    let listener = TcpListener::bind(args.get(1).map_or("127.0.0.1:0", String::as_str)).await?;
    let mut term = signal(SignalKind::terminate())?;
    eprintln!("listening addr={}", listener.local_addr()?);
    let routes = Router::new()
        .route("/health", get(health))
        .route("/slow", get(slow))
        .route("/mode/{mode}", put(set_mode))
        .fallback(hello)
        .with_state(Arc::new(Shared { name, mode: AtomicU8::new(0), ready_at }));
    let end = async move {
        term.recv().await;
    };
    Ok(axum::serve(listener, routes).with_graceful_shutdown(end).await?)
}

async fn hello(State(app): State<Arc<Shared>>) -> String {
    if app.mode.load(Ordering::Relaxed) == 2 {
        pending::<()>().await;
    }
    format!("{}\n", app.name)
}

async fn slow(app: State<Arc<Shared>>, RawQuery(query): RawQuery) -> Result<String, StatusCode> {
    let ms = query.as_deref().and_then(|query| query.strip_prefix("ms=")?.parse().ok());
    sleep(Duration::from_millis(ms.ok_or(StatusCode::BAD_REQUEST)?)).await;
    Ok(hello(app).await)
}

async fn health(State(app): State<Arc<Shared>>) -> StatusCode {
    match app.mode.load(Ordering::Relaxed) {
        0 if Instant::now() >= app.ready_at => StatusCode::OK,
        0 | 1 => StatusCode::SERVICE_UNAVAILABLE,
        _ => pending().await,
    }
}

async fn set_mode(State(app): State<Arc<Shared>>, Path(mode): Path<String>) -> StatusCode {
    let index = MODES.iter().position(|known| *known == mode).and_then(|index| u8::try_from(index).ok());
    let Some(index) = index else { return StatusCode::NOT_FOUND };
    app.mode.store(index, Ordering::Relaxed);
    StatusCode::NO_CONTENT
}

/// A running app.
#[derive(Debug)]
pub struct App {
    /// What it answers.
    pub name: String,
    /// Its process.
    pub process: Process,
    /// Where it listens.
    pub addr: SocketAddr,
}

impl App {
    /// Starts one on a port of its own.
    pub async fn start(stage: &Stage, name: &str) -> anyhow::Result<Self> {
        let mut command = stage.programs.ours("app");
        command.arg(name);
        let mut process = stage.spawn(&format!("app {name}"), command)?;
        let addr = process.address("listening addr=").await?;
        Ok(Self { name: name.to_owned(), process, addr })
    }

    /// Its `ip:port`.
    pub fn endpoint(&self) -> String {
        self.addr.to_string()
    }

    /// Makes it `ok`, `sick` or `hang`.
    pub async fn mode(&self, mode: &str) -> anyhow::Result<()> {
        let url = format!("http://{}/mode/{mode}", self.addr);
        let client = http::client(Duration::from_secs(5));
        http::send(&client, Method::PUT, &url, &[], "").await?.expect(204).map(drop)
    }
}
