//! The task metadata endpoint, version 4, of one task: `/v4/ID` and `/v4/ID/task`, over HTTP on loopback. It tells what
//! the agent knows at that moment, and can be told to fail in the ways in which the real one does.

mod document;
mod fault;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{net::TcpListener, sync::oneshot};

pub use document::{Identity, file};
pub use fault::Fault;

use super::{health::Health, order::Stage};

/// What the agent knows and tells.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Whether the task is to stop.
    pub stopping: bool,
    /// How far each container is.
    pub stages: BTreeMap<String, Stage>,
    /// Of those that have a health check.
    pub health: BTreeMap<String, Health>,
    /// How often each was started again.
    pub restarts: BTreeMap<String, u32>,
    /// Published ports in bridge mode: in the container, on the host.
    pub ports: BTreeMap<String, Vec<(u16, u16)>>,
}

#[derive(Debug)]
struct Shared {
    identity: Identity,
    facts: Mutex<Facts>,
    fault: Mutex<Option<Fault>>,
    asked: Mutex<u64>,
}

/// A running endpoint; clones share it.
#[derive(Debug, Clone)]
pub struct Metadata {
    addr: SocketAddr,
    shared: Arc<Shared>,
    /// The server ends, and closes its idle connections, when this is dropped.
    server: Arc<Mutex<Option<oneshot::Sender<()>>>>,
}

impl Metadata {
    /// Starts it.
    pub async fn start(identity: Identity) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let shared = Shared { identity, facts: Mutex::default(), fault: Mutex::default(), asked: Mutex::default() };
        let metadata = Self { addr, shared: Arc::new(shared), server: Arc::default() };
        metadata.serve(listener);
        Ok(metadata)
    }

    /// `ECS_CONTAINER_METADATA_URI_V4` of a container.
    pub fn uri(&self, container: &str) -> String {
        format!("http://{}/v4/{}", self.addr, self.shared.identity.docker_id(container))
    }

    /// Whose it is.
    pub fn identity(&self) -> &Identity {
        &self.shared.identity
    }

    /// What is told from now on.
    pub(super) fn tell(&self, facts: Facts) {
        *self.shared.facts.lock().unwrap_or_else(PoisonError::into_inner) = facts;
    }

    /// Answers like this from now on; `None` is the truth again.
    pub fn fail(&self, fault: Option<Fault>) {
        *self.shared.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Refuses connections, and ends those that stand.
    pub fn go_away(&self) {
        self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Listens again, at the same address.
    pub async fn come_back(&self) -> anyhow::Result<()> {
        let listener = TcpListener::bind(self.addr).await?;
        self.serve(listener);
        Ok(())
    }

    /// How many requests have come.
    pub fn asked(&self) -> u64 {
        *self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, listener: TcpListener) {
        let routes = Router::new()
            .route("/v4/{id}", get(async |State(shared), Path(id): Path<String>| answer(shared, &id, false).await))
            .route("/v4/{id}/task", get(async |State(shared), Path(id): Path<String>| answer(shared, &id, true).await))
            .with_state(self.shared.clone());
        let (stop, stopped) = oneshot::channel();
        let serve = axum::serve(listener, routes).with_graceful_shutdown(async { drop(stopped.await) });
        tokio::spawn(async move { drop(serve.await) });
        self.server.lock().unwrap_or_else(PoisonError::into_inner).replace(stop);
    }
}

async fn answer(shared: Arc<Shared>, id: &str, whole: bool) -> Response {
    *shared.asked.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    let fault = shared.fault.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let facts = shared.facts.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut task = document::task(&shared.identity, &facts);
    if let Some(fault) = fault
        && let Some(instead) = fault.apply(&mut task).await
    {
        return instead;
    }
    let row = document::container(&task, id);
    match (row, whole) {
        (None, false) => StatusCode::NOT_FOUND.into_response(),
        (Some(row), false) => Json(row).into_response(),
        (_, true) => Json(task).into_response(),
    }
}
