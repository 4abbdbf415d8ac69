//! One stream: hears its client, wakes when the snapshot changes, and tells what is due.
//!
//! - It is asked for the next response only when there is room for one, so who reads slowly gets the latest state and
//!   nothing that lies in between; requests wait meanwhile where HTTP/2's windows bound them.
//! - Changes that come together go together: after a push the next one waits for [`TOGETHER`]. What is asked for is
//!   answered at once.
//! - Before anything is known nothing is said: running clients keep what they have.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tonic::{Status, Streaming};

use super::{
    Discovery,
    catalog::{Catalog, Kind},
    clients::Place,
    subscription::{Heard, LONGEST, NAMES, TooMuch},
    variant::{Said, Variant},
    wire::{Node, Refusal},
};
use crate::{
    clock::Timestamp,
    metrics::{Metrics, OpenStream},
    registry::Snapshot,
    render::proxyless,
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
    gateway: Option<SocketAddr>,
    leaving: Option<Leaving>,
    serves: Serves,
    place: Place,
    /// Before its turn it is not heard.
    turn: Option<Instant>,
    /// Something may be due of these, at once.
    due: BTreeSet<Kind>,
    /// Something may be due of any, not before this.
    changed: bool,
    next: Instant,
    metrics: Metrics,
    _open: OpenStream,
}

impl<V: Variant> Session<V> {
    /// A stream that has just been opened.
    pub fn new(
        requests: Streaming<V::Request>,
        discovery: &Discovery,
        leaving: Option<Leaving>,
        serves: Serves,
        place: Place,
    ) -> Self {
        let Discovery { snapshots, metrics, gateway, admission, .. } = discovery;
        Self {
            requests,
            place,
            turn: Some(admission.turn()),
            snapshots: snapshots.clone(),
            gateway: *gateway,
            leaving,
            serves,
            due: BTreeSet::new(),
            changed: false,
            next: Instant::now(),
            _open: metrics.open_stream(V::NAME),
            metrics: metrics.clone(),
        }
    }

    /// The next response; none when the client has ended the stream.
    pub async fn next(&mut self) -> Result<Option<V::Response>, Status> {
        loop {
            while let Some(kind) = self.due.pop_first() {
                if let Some(response) = self.push(kind) {
                    return Ok(Some(response));
                }
            }
            tokio::select! {
                biased;
                () = left(&mut self.leaving) => return Err(Status::unavailable("this connection ends, open another one")),
                () = its_turn(self.turn), if self.turn.is_some() => self.turn = None,
                // What a client holds can only be judged by what there is.
                request = self.requests.message(), if self.turn.is_none() && self.snapshots.borrow().is_some() => match request? {
                    None => return Ok(None),
                    Some(request) => self.hear(request)?,
                },
                () = sleep_until(self.next), if self.changed => {
                    self.changed = false;
                    self.due.extend(self.place.kinds());
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
            self.place.is(node);
        }
        let kind = match (request.type_url(), self.serves) {
            ("", Serves::Endpoints) => Kind::Endpoints,
            ("", Serves::Aggregated) => return Err(Status::invalid_argument("type_url is missing")),
            (url, Serves::Endpoints) if url != Kind::Endpoints.type_url() => {
                return Err(Status::invalid_argument("only endpoints are served here"));
            }
            (url, _) => match Kind::of(url) {
                Some(kind) => kind,
                None => {
                    self.metrics.unknown_types.inc();
                    return Ok(());
                }
            },
        };
        let snapshot = self.snapshots.borrow().clone().unwrap_or_default();
        let catalog = Catalog { snapshot: &snapshot, gateway: self.gateway };
        let why = |refusal: &Refusal| refusal.message.chars().take(500).collect::<String>();
        let heard = self.place.with(kind, |wants| {
            let heard = V::hear(kind, &mut wants.subscription, &request, catalog)?;
            if heard == Heard::Refused {
                wants.refusal = request.refusal().map(why).unwrap_or_default();
            }
            Ok((heard, wants.refusal.clone()))
        });
        let (heard, why) = heard.map_err(|TooMuch| {
            Status::resource_exhausted(format!("more than {NAMES} names on one stream, or one over {LONGEST} bytes"))
        })?;
        if heard == Heard::Refused {
            self.metrics.refusals.inc();
            let Node { id, cluster } = self.place.node();
            tracing::warn!(node = ?id, ?cluster, ?why, "a client refuses what it is told");
        }
        // A request of any kind may have named something new.
        self.due.insert(kind);
        Ok(())
    }

    fn push(&mut self, kind: Kind) -> Option<V::Response> {
        // Not marked as seen: what else it brings is due for the other types.
        let snapshot = self.snapshots.borrow().clone()?;
        let catalog = Catalog { snapshot: &snapshot, gateway: self.gateway };
        let push = self.place.with(kind, |wants| {
            let push = V::push(kind, &mut wants.subscription, catalog)?;
            (wants.version, wants.told) = (push.version.to_string(), Timestamp::now());
            Some(push)
        })?;
        self.next = Instant::now() + TOGETHER;
        self.metrics.pushes.inc();
        self.metrics.pushed_resources.inc_by(push.resources.len() as u64);
        let strange = push.resources.iter().filter(|(name, _)| !snapshot.services.contains_key(name.as_ref()));
        let strange = strange.filter(|(name, _)| kind == Kind::Endpoints && !proxyless::is_name(name)).count();
        self.metrics.bad_names.inc_by(strange as u64);
        Some(V::spell(kind, push, catalog))
    }
}

async fn its_turn(turn: Option<Instant>) {
    if let Some(turn) = turn {
        sleep_until(turn).await;
    }
}

async fn left(leaving: &mut Option<Leaving>) {
    match leaving {
        Some(Leaving(leaving)) => drop(leaving.wait_for(|leaving| *leaving).await),
        None => std::future::pending().await,
    }
}
