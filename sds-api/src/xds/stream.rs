//! One stream: hears its client, wakes when the snapshot changes, and tells what is due.
//!
//! - It is asked for the next response only when there is room for one, so who reads slowly gets the latest state and
//!   nothing that lies in between; requests wait meanwhile where HTTP/2's windows bound them.
//! - Changes that come together go together: after a push the next one waits for [`TOGETHER`]. What is asked for is
//!   answered at once.
//! - Before anything is known nothing is said: running clients keep what they have.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tonic::{Status, Streaming};

use super::{
    subscription::{Heard, NAMES, Subscription},
    variant::{Said, Variant},
    wire::Node,
};
use crate::{
    metrics::{Metrics, OpenStream},
    registry::{Snapshot, Version},
    render::eds_proto,
};

/// How long a change waits for others after a push.
const TOGETHER: Duration = Duration::from_millis(100);

/// Turns true when a connection is about to end: its streams end first, so that their clients go elsewhere at once.
#[derive(Debug, Clone)]
pub struct Leaving(pub watch::Receiver<bool>);

/// What a stream may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serves {
    /// Endpoints alone; their type need not be named.
    Endpoints,
    /// Any type, each named.
    Aggregated,
}

/// One stream.
pub struct Session<V: Variant> {
    requests: Streaming<V::Request>,
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    leaving: Option<Leaving>,
    serves: Serves,
    node: Node,
    endpoints: Subscription,
    /// Something may be due: at once, if it was asked for.
    changed: bool,
    asked: bool,
    /// Not before this.
    next: Instant,
    metrics: Metrics,
    _open: OpenStream,
}

impl<V: Variant> Session<V> {
    /// A stream that has just been opened.
    pub fn new(
        requests: Streaming<V::Request>,
        snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
        leaving: Option<Leaving>,
        serves: Serves,
        metrics: &Metrics,
    ) -> Self {
        Self {
            requests,
            snapshots,
            leaving,
            serves,
            node: Node::default(),
            endpoints: Subscription::default(),
            changed: false,
            asked: false,
            next: Instant::now(),
            _open: metrics.open_stream(V::NAME),
            metrics: metrics.clone(),
        }
    }

    /// The next response; none when the client has ended the stream.
    pub async fn next(&mut self) -> Result<Option<V::Response>, Status> {
        loop {
            if std::mem::take(&mut self.asked)
                && let Some(response) = self.push()
            {
                return Ok(Some(response));
            }
            tokio::select! {
                biased;
                () = left(&mut self.leaving) => return Err(Status::unavailable("this connection ends, open another one")),
                request = self.requests.message() => match request? {
                    None => return Ok(None),
                    Some(request) => self.hear(request)?,
                },
                () = sleep_until(self.next), if self.changed => {
                    if let Some(response) = self.push() {
                        return Ok(Some(response));
                    }
                }
                changed = self.snapshots.changed(), if !self.changed => {
                    changed.map_err(|_| Status::unavailable("the registry ends"))?;
                    self.changed = true;
                }
            }
        }
    }

    fn hear(&mut self, mut request: V::Request) -> Result<(), Status> {
        if let Some(node) = request.node() {
            self.node = node;
        }
        match (request.type_url(), self.serves) {
            (eds_proto::TYPE_URL, _) | ("", Serves::Endpoints) => {}
            ("", Serves::Aggregated) => return Err(Status::invalid_argument("type_url is missing")),
            (_, Serves::Endpoints) => return Err(Status::invalid_argument("only endpoints are served here")),
            (_, Serves::Aggregated) => {
                self.metrics.unknown_types.inc();
                return Ok(());
            }
        }
        let snapshot = self.snapshots.borrow().clone();
        let heard = V::hear(&mut self.endpoints, &request, |name| version(snapshot.as_deref(), name));
        match heard.map_err(|_| Status::resource_exhausted(format!("more than {NAMES} names on one stream")))? {
            Heard::Stale | Heard::Accepted => {}
            Heard::Asked => {}
            Heard::Refused => {
                self.metrics.refusals.inc();
                let why = request.refusal().map_or("", |refusal| refusal.message.as_str());
                let why: String = why.chars().take(500).collect();
                tracing::warn!(node = ?self.node.id, cluster = ?self.node.cluster, why = ?why, "a client refuses what it is told");
            }
        }
        // A request of any kind may have named something new.
        self.asked = true;
        Ok(())
    }

    fn push(&mut self) -> Option<V::Response> {
        self.changed = false;
        let snapshot = self.snapshots.borrow_and_update().clone()?;
        let push = self.endpoints.push(|name| version(Some(&snapshot), name))?;
        self.next = Instant::now() + TOGETHER;
        self.metrics.pushes.inc();
        self.metrics.pushed_resources.inc_by(push.resources.len() as u64);
        Some(V::spell(push, |name| match snapshot.services.get(name) {
            Some(service) => service.answers.eds_proto(|| eds_proto::render(service)).clone(),
            None => eds_proto::empty(name),
        }))
    }
}

fn version(snapshot: Option<&Snapshot>, name: &str) -> Version {
    let service = snapshot.and_then(|snapshot| snapshot.services.get(name));
    service.map_or_else(|| Version::of(name, &[]), |service| service.version)
}

async fn left(leaving: &mut Option<Leaving>) {
    match leaving {
        Some(Leaving(leaving)) => drop(leaving.wait_for(|leaving| *leaving).await),
        None => std::future::pending().await,
    }
}
