//! A foreign server at the wire: a real listener on port 0 that answers by a rule and tells what it was asked. It
//! stands for the registry, for ECS's metadata endpoint and for the app.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Method, Response, Uri, header},
    serve::ListenerExt as _,
};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::mpsc::{self, error::TrySendError},
};

/// What it is to answer.
#[derive(Clone)]
pub enum Reply {
    /// A status, one header if any, a body.
    Say(u16, Option<(&'static str, &'static str)>, String),
    /// Never.
    Hang,
}

/// A register, heartbeat or drain that holds, with a short lease.
pub fn told() -> Reply {
    say(200, r#"{"lease_ms":3000,"heartbeat_ms":1000,"version":"v1","vouched":true}"#)
}

/// A status and a body.
pub fn say(status: u16, body: &str) -> Reply {
    Reply::Say(status, None, body.to_owned())
}

/// One request.
#[derive(Debug)]
pub struct Heard {
    /// `PUT /v1/services/web/instances/10.0.0.1:80`
    pub line: String,
    /// The header `Authorization`, "" if it is not there.
    pub authorization: String,
    /// The JSON that it carried, else null.
    pub body: Value,
}

/// The server; it ends with the runtime of its test.
pub struct StandIn {
    pub address: SocketAddr,
    pub connections: Arc<AtomicUsize>,
    heard: mpsc::Receiver<Heard>,
}

impl StandIn {
    /// Starts it; `rule` sees each request and its number from 0.
    pub async fn start(rule: impl Fn(usize, &Heard) -> Reply + Clone + Send + Sync + 'static) -> Self {
        let (sender, heard) = mpsc::channel(4096);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, connections) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let router =
            Router::new().fallback(move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| async move {
                let authorization = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
                let heard = Heard {
                    line: format!("{method} {uri}"),
                    authorization: authorization.unwrap_or_default(),
                    body: serde_json::from_slice(&body).unwrap_or_default(),
                };
                let reply = rule(asked.fetch_add(1, Ordering::SeqCst), &heard);
                // Nobody has to listen; who listens misses nothing.
                assert!(!matches!(sender.try_send(heard), Err(TrySendError::Full(_))), "room for what was heard");
                match reply {
                    Reply::Hang => std::future::pending().await,
                    Reply::Say(status, header, body) => {
                        let mut response = Response::builder().status(status);
                        if let Some((name, value)) = header {
                            response = response.header(name, value);
                        }
                        response.body(Body::from(body)).unwrap()
                    }
                }
            });
        let counter = Arc::clone(&connections);
        let listener = listener.tap_io(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, connections, heard }
    }

    /// The next request; a test waits for nothing longer than 10 s.
    pub async fn next(&mut self) -> Heard {
        let wait = tokio::time::timeout(std::time::Duration::from_secs(10), self.heard.recv());
        wait.await.expect("a request within 10 s").expect("the server runs")
    }

    /// What was asked and nobody has looked at.
    pub fn rest(&mut self) -> Vec<Heard> {
        std::iter::from_fn(|| self.heard.try_recv().ok()).collect()
    }
}
