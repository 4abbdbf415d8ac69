//! The least that a server of our kind can cost: axum, and bytes that lie ready. What our registry takes beyond it is its
//! own doing.

use std::{collections::HashMap, fs, sync::Arc};

use anyhow::Context;
use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

type Files = Arc<HashMap<String, Bytes>>;

/// Serves the files of a directory, as `floor DIR`, until SIGTERM.
pub async fn run(dir: &str) -> anyhow::Result<()> {
    let mut files = HashMap::new();
    for entry in fs::read_dir(dir).context(dir.to_owned())? {
        let entry = entry?;
        files.insert(entry.file_name().to_string_lossy().into_owned(), Bytes::from(fs::read(entry.path())?));
    }
    let mut term = signal(SignalKind::terminate())?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    eprintln!("listening addr={}", listener.local_addr()?);
    let routes = Router::new().route("/v1/registration/{name}", get(file)).with_state(Arc::new(files));
    let end = async move {
        term.recv().await;
    };
    Ok(axum::serve(listener, routes).with_graceful_shutdown(end).await?)
}

async fn file(State(files): State<Files>, Path(name): Path<String>) -> Response {
    match files.get(&name) {
        Some(body) => ([(header::CONTENT_TYPE, "application/json")], body.clone()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
