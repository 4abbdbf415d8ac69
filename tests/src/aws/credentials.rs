//! A stand-in of the endpoint at which ECS's agent gives a task its role's credentials: a document that changes, over HTTP on
//! loopback. ("Container credential provider", AWS documentation.)

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinSet};

use super::{sigv4, sts::Session};

#[derive(Debug, Default)]
struct World {
    session: Option<Session>,
    calls: usize,
}

/// A running one.
#[derive(Debug)]
pub struct Credentials {
    /// `AWS_CONTAINER_CREDENTIALS_FULL_URI`.
    pub uri: String,
    world: Arc<Mutex<World>>,
    _serving: JoinSet<()>,
}

impl Credentials {
    /// Starts one that gives this session's.
    pub async fn start(session: Option<Session>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr: SocketAddr = listener.local_addr()?;
        let world = Arc::new(Mutex::new(World { session, calls: 0 }));
        let app = Router::new().route("/v2/credentials/{id}", get(serve)).with_state(world.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move { drop(axum::serve(listener, app).await) });
        Ok(Self { uri: format!("http://{addr}/v2/credentials/0a1b"), world, _serving: serving })
    }

    /// Gives these from now on; `None` is 500.
    pub fn gives(&self, session: Option<Session>) {
        self.world().session = session;
    }

    /// How often it was asked.
    pub fn count(&self) -> usize {
        self.world().calls
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(State(world): State<Arc<Mutex<World>>>) -> Response {
    let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
    world.calls += 1;
    let Some(session) = &world.session else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let at = sigv4::date(session.expires);
    let expiration =
        format!("{}-{}-{}T{}:{}:{}Z", &at[..4], &at[4..6], &at[6..8], &at[9..11], &at[11..13], &at[13..15]);
    Json(json!({
        "RoleArn": "arn:aws:iam::123456789012:role/web-task",
        "AccessKeyId": session.id, "SecretAccessKey": session.secret, "Token": session.token, "Expiration": expiration,
    }))
    .into_response()
}
