//! The embedded default: a DynamoDB emulator in this process, on a loopback port of its own, with its data in a
//! file. The registry talks to it through the same SDK as to AWS, over a real connection.

use std::{fs::File, net::SocketAddr, time::Duration};

use anyhow::Context;
use dynoxide::Database;
use sds_types::command::Misconfigured;
use tokio::{net::TcpListener, time};

/// A running emulator; it stops when this is dropped.
#[derive(Debug)]
pub struct Embedded {
    /// Where it listens.
    pub addr: SocketAddr,
    tasks: tokio::task::JoinSet<()>,
    _lock: Option<File>,
}

impl Embedded {
    /// Opens `data` (a file, or `:memory:`) and serves it on loopback.
    pub async fn start(data: &str) -> anyhow::Result<Self> {
        let lock = lock(data)?;
        let opened = if data == ":memory:" { Database::memory() } else { Database::new(data) };
        let database =
            opened.map_err(|error| Misconfigured::new("SDS_DATA", format!("cannot open '{data}': {error}")))?;
        let listener = TcpListener::bind("127.0.0.1:0").await.context("binding the embedded store")?;
        let addr = listener.local_addr().context("binding the embedded store")?;
        let mut tasks = tokio::task::JoinSet::new();
        let served = database.clone();
        tasks.spawn(async move {
            if let Err(error) = dynoxide::server::serve_with_shutdown(listener, served, std::future::pending()).await {
                tracing::error!(%error, "the embedded store stopped");
            }
        });
        tasks.spawn(collect_garbage(database));
        Ok(Self { addr, tasks, _lock: lock })
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.tasks.abort_all();
    }
}

/// Two registries on one file would each miss what the other writes.
fn lock(data: &str) -> Result<Option<File>, Misconfigured> {
    if data == ":memory:" {
        return Ok(None);
    }
    let wrong = |reason: String| Misconfigured::new("SDS_DATA", reason);
    let path = format!("{data}.lock");
    let file = File::create(&path).map_err(|error| wrong(format!("cannot create '{path}': {error}")))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(_) => Err(wrong(format!("'{data}' is in use by another sds-api; choose another file or stop that one"))),
    }
}

/// The emulator deletes expired rows only when it is told to.
async fn collect_garbage(database: Database) {
    let mut every = time::interval(Duration::from_secs(600));
    loop {
        every.tick().await;
        let swept = database.clone();
        match tokio::task::spawn_blocking(move || swept.sweep_ttl()).await {
            Ok(Ok(rows)) => tracing::debug!(rows, "expired rows deleted from the embedded store"),
            Ok(Err(error)) => tracing::warn!(%error, "expired rows of the embedded store could not be deleted"),
            Err(error) => tracing::warn!(%error, "the sweep of the embedded store failed"),
        }
    }
}
