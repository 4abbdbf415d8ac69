//! The registry as its APIs see it: one method per verb. Reads answer from the published snapshot and touch nothing;
//! writes are judged by the loop, made in the store if they change something, folded, and only then answered.
//!
//! ```text
//!   http -- judge --> sync (fold) -- "write" --> store -- row --> sync -- publish --> watch --> http
//!                        `-- "heard": answered at once, no store call
//! ```

mod alarm;
mod audit;
mod chores;
mod cursors;
mod doubts;
mod ecs;
mod events;
pub mod explain;
mod fold;
mod guard;
mod hearers;
mod herald;
mod judge;
mod lease;
mod legacy;
#[cfg(test)]
mod model;
mod operator;
mod pages;
mod phase;
mod pulse;
mod reader;
mod ring;
mod round;
mod snapshot;
mod sync;
mod turns;
mod voice;
mod vouching;
mod witnesses;

use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};

use sds_types::{Endpoint, Invalid, Registered, Sequence, ServiceName};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout},
};

pub use audit::{By, Written};
pub use events::{Changed, Ended, Event, Events, What};
pub use fold::{Entry, Facts, LastHeard, Life, Roll, Whose};
pub use judge::{Said, Unsaid};
pub use lease::Leases;
pub use operator::Looked;
pub use snapshot::{Instance, Service, Snapshot, Version};
pub use sync::Snapshots;
pub use witnesses::Witnesses;

use crate::{
    address::AddressPolicy,
    instance::{Content, Gone, Key, Origin, Registration, Row, Status},
    keepsake::Kept,
    metrics::Metrics,
    replica::{InstanceHash, ReplicaId},
    store::{IN_REQUEST, Store, StoreError, Trouble, Write},
};
use doubts::Doubts;
use fold::{Owing, Source};
use herald::Herald;
use judge::Verdict;
use pulse::Pulse;
use sync::{Command, Sync};
use turns::Turns;

/// Why a write was not made.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The first read is not complete, or the loop is late: what is known is not to be judged by.
    #[error("the registry is not ready")]
    NotReady,
    /// It is written, but the other replicas cannot know it yet.
    #[error("the other replicas do not know of it yet")]
    Unannounced,
    /// The store did not answer; whether the write was made is unknown.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something newer stands at this ip:port; what, if it could be read.
    #[error("superseded")]
    Superseded(Option<Sequence>),
    /// Nobody is registered there.
    #[error("not registered")]
    Unknown,
    /// The ip alone does not say which one is meant.
    #[error("more than one port is registered on this ip")]
    Ambiguous,
    /// What is said and what stands there are too much together.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// How the registry behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long registrations live without a sign of life.
    pub leases: Leases,
    /// Between two repair reads.
    pub full_read: Duration,
    /// Which addresses may stand in an answer.
    pub addresses: AddressPolicy,
    /// The name of the environment, for v1.
    pub env: Arc<str>,
    /// Whether v1 lists the unhealthy when there is nobody else.
    pub fail_open: bool,
    /// Whether to create the table if there is none.
    pub create_table: bool,
    /// What the last run or a sibling knew, for a start without the store.
    pub snapshots: Snapshots,
}

/// Where a change that was accepted stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// In the store, and every replica can know it.
    Persisted,
    /// In this replica's answers; the store is away, and will be told first.
    Owed,
}

/// The registry.
#[derive(Debug, Clone)]
pub struct Registry {
    own: ReplicaId,
    store: Store,
    leases: Leases,
    metrics: Metrics,
    pulse: Arc<Pulse>,
    herald: Herald,
    doubts: Doubts,
    turns: Turns,
    commands: mpsc::Sender<Command>,
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    witnesses: watch::Receiver<Option<Arc<Witnesses>>>,
    events: Events,
    by: Option<By>,
}

/// Requests that may wait for the loop; more are held up at its door.
const COMMANDS: usize = 1024;
/// No answer may take longer than 1 s: an old Envoy gives up then.
const PATIENCE: Duration = Duration::from_millis(900);

impl Registry {
    /// Starts the loop; it ends when the last clone of the registry is dropped.
    pub fn start(store: Store, options: Options, metrics: Metrics) -> Self {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let (outbox, snapshots) = watch::channel(None);
        let (heads, witnesses) = watch::channel(None);
        let pulse = Arc::new(Pulse::default());
        let leases = options.leases;
        let own = ReplicaId::random();
        let id = own.clone();
        let events = Events::default();
        tracing::info!(replica = %own, "starting");
        let herald = Herald::start(store.clone(), own.clone(), leases);
        let doubts = Doubts::default();
        let sync = Sync {
            store: store.clone(),
            options,
            pulse: pulse.clone(),
            metrics: metrics.clone(),
            herald: herald.clone(),
            doubts: doubts.clone(),
            own,
            events: events.clone(),
            commands: inbox,
            snapshots: outbox,
            witnesses: heads,
        };
        tokio::spawn(sync.run());
        let turns = Turns::default();
        Self {
            own: id,
            store,
            leases,
            metrics,
            pulse,
            herald,
            doubts,
            turns,
            commands,
            snapshots,
            witnesses,
            events,
            by: None,
        }
    }

    /// Tells the other replicas all that is known here, and that this one ends; whether they can know it.
    pub async fn bye(&self) -> bool {
        let (reply, told) = oneshot::channel();
        let said = async {
            self.commands.send(Command::Bye { reply }).await.ok()?;
            told.await.ok()
        };
        timeout(2 * IN_REQUEST, said).await.ok().flatten().unwrap_or(false)
    }

    /// What is served now; nothing before the first complete read.
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.snapshots.borrow().clone()
    }

    /// What is served, and each change of it.
    pub fn snapshots(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.snapshots.clone()
    }

    /// Tells the other replicas which draining instances all clients of this one know of.
    pub fn tell_seen(&self, seen: Vec<InstanceHash>) {
        self.herald.seen(seen);
    }

    /// What they said of that; nothing while they cannot be heard.
    pub fn witnesses(&self) -> Option<Arc<Witnesses>> {
        self.witnesses.borrow().clone().filter(|_| !self.pulse.is_stale())
    }

    /// One service as it is served now: `None` before the first complete read, `Some(None)` if nobody serves it.
    pub fn service(&self, name: &str) -> Option<Option<Arc<Service>>> {
        self.snapshots.borrow().as_ref().map(|snapshot| snapshot.services.get(name).cloned())
    }

    /// Whether the loop turns.
    pub fn is_live(&self) -> bool {
        self.pulse.age() < Duration::from_secs(5)
    }

    /// How old what is served is, if the store has brought nothing for a while.
    pub fn staleness(&self) -> Option<Duration> {
        self.pulse.is_stale().then(|| self.pulse.staleness())
    }

    /// How alive each instance of a service is.
    pub async fn lives(&self, service: &ServiceName) -> Result<HashMap<Endpoint, Life>, WriteError> {
        let (reply, lives) = oneshot::channel();
        self.ask(Command::Lives { service: service.clone(), reply }, lives).await
    }

    /// All that is in service, as a sibling may keep it; nothing before something is known.
    pub async fn kept(&self) -> Option<Kept> {
        self.snapshot()?;
        let (reply, kept) = oneshot::channel();
        self.ask(Command::Keep { reply }, kept).await.ok()
    }

    /// A sidecar's PUT or, with [`Status::Draining`], its drain.
    pub async fn put(
        &self,
        key: Key,
        at: Sequence,
        status: Status,
        content: Content,
    ) -> Result<(Registered, Accepted), WriteError> {
        let deadline = Instant::now() + IN_REQUEST;
        let content = Arc::new(content);
        let (reply, verdict) = oneshot::channel();
        let judge = Command::Native { key: key.clone(), at, status, content: content.clone(), reply };
        let verdict = self.ask(judge, verdict).await?;
        let accepted = match verdict {
            Verdict::Write(at) | Verdict::Rewrite(at) => {
                let (registry, key) = (self.clone(), key.clone());
                let write = async move { registry.register(&key, at, status, content, verdict, deadline).await };
                detached(write).await?
            }
            Verdict::Heard | Verdict::Ignored => {
                self.metrics.heartbeats.inc();
                self.announced(&key).await?
            }
        };
        Ok((self.registered(&key.service), accepted))
    }

    /// A sidecar's goodbye; also for an ip:port that nobody registered, whose registration may still be on its way.
    pub async fn deregister(&self, key: Key, at: Sequence, why: Gone) -> Result<Accepted, WriteError> {
        self.ready()?;
        let deadline = Instant::now() + IN_REQUEST;
        let registry = self.clone();
        detached(async move {
            match registry.store.deregister(&key, at, why, deadline).await {
                Ok(Write::Done(row)) => registry.written(row).await,
                Ok(Write::Refused { row, at }) => registry.refused(row, at).await,
                Err(error) => {
                    registry.unknown(&key, &error).await?;
                    let (reply, owing) = oneshot::channel();
                    match registry.ask(Command::OweGoodbye { key, at, why, reply }, owing).await? {
                        Owing::Kept => Ok(Accepted::Owed),
                        Owing::Superseded(at) => Err(WriteError::Superseded(Some(at))),
                        Owing::Refused => Err(error.into()),
                    }
                }
            }
        })
        .await
    }

    async fn register(
        &self,
        key: &Key,
        at: Sequence,
        status: Status,
        content: Arc<Content>,
        verdict: Verdict,
        deadline: Instant,
    ) -> Result<Accepted, WriteError> {
        let registration = registration(status, content.clone(), Origin::Native);
        match self.store.register(key, at, &registration, deadline).await {
            Ok(Write::Done(row)) => self.written(row).await,
            // The same incarnation further on: this request is a repeat that arrived late.
            Ok(Write::Refused { row: Some(row), .. })
                if row.at.incarnation == at.incarnation && row.registration().is_some() =>
            {
                self.fold(row, Source::Read).await?;
                self.announced(key).await
            }
            Ok(Write::Refused { row, at }) => self.refused(row, at).await,
            Err(error) => {
                self.unknown(key, &error).await?;
                let (reply, owing) = oneshot::channel();
                let owe = Command::OweStatus { key: key.clone(), at, status, content, reply };
                match (self.ask(owe, owing).await?, verdict) {
                    (Owing::Kept, _) => Ok(Accepted::Owed),
                    (Owing::Superseded(at), _) => Err(WriteError::Superseded(Some(at))),
                    // What it says is known; that the store should be told again is our trouble.
                    (Owing::Refused, Verdict::Rewrite(_)) => Ok(Accepted::Persisted),
                    (Owing::Refused, _) => Err(error.into()),
                }
            }
        }
    }

    /// A write was made: it is in the next answer here, and then known to all.
    async fn written(&self, row: Row) -> Result<Accepted, WriteError> {
        let key = row.key.clone();
        self.changed(row, Source::Written).await?;
        self.announce(key).await
    }

    async fn announce(&self, key: Key) -> Result<Accepted, WriteError> {
        if self.herald.announce(key).await { Ok(Accepted::Persisted) } else { Err(WriteError::Unannounced) }
    }

    /// What is known here is known to all only when it was announced.
    async fn announced(&self, key: &Key) -> Result<Accepted, WriteError> {
        match timeout(PATIENCE, self.herald.told(key)).await {
            Ok(true) => Ok(Accepted::Persisted),
            _ => Err(WriteError::Unannounced),
        }
    }

    /// A write failed. Perhaps it was made all the same: then the others are to look, and so is the next request.
    async fn unknown(&self, key: &Key, error: &StoreError) -> Result<(), WriteError> {
        if error.kind != Trouble::Away {
            return Ok(());
        }
        self.herald.announce_later(key.clone());
        self.doubts.add(key.clone());
        let (reply, doubted) = oneshot::channel();
        self.ask(Command::Doubt { key: key.clone(), reply }, doubted).await
    }

    async fn refused<T>(&self, row: Option<Row>, at: Option<Sequence>) -> Result<T, WriteError> {
        if let Some(row) = row {
            self.fold(row, Source::Read).await?;
        }
        Err(WriteError::Superseded(at))
    }

    async fn fold(&self, row: Row, source: Source) -> Result<(), WriteError> {
        let (reply, folded) = oneshot::channel();
        self.ask(Command::Fold { row, source, by: None, reply }, folded).await
    }

    /// Folds what a request has just written, and notes who asked for it.
    async fn changed(&self, row: Row, source: Source) -> Result<(), WriteError> {
        let (reply, folded) = oneshot::channel();
        self.ask(Command::Fold { row, source, by: self.by.clone(), reply }, folded).await
    }

    async fn ask<T>(&self, command: Command, answer: oneshot::Receiver<T>) -> Result<T, WriteError> {
        self.ready()?;
        let asked = async {
            self.commands.send(command).await.ok()?;
            answer.await.ok()
        };
        timeout(PATIENCE, asked).await.ok().flatten().ok_or(WriteError::NotReady)
    }

    fn ready(&self) -> Result<(), WriteError> {
        if self.pulse.can_judge() { Ok(()) } else { Err(WriteError::NotReady) }
    }

    fn registered(&self, service: &ServiceName) -> Registered {
        let served = self.service(service.as_str()).flatten();
        let version = served.map_or_else(|| Version::of(service.as_str(), &[]), |service| service.version);
        Registered {
            lease_ms: millis(self.leases.native),
            heartbeat_ms: millis(self.leases.heartbeat()),
            version: version.to_string(),
            vouched: self.pulse.vouches(),
            drained: None,
            token: None,
            token_ttl_ms: None,
        }
    }
}

/// Does a write to its end also when its client has gone: what is in the store must be in the answers.
async fn detached<T: Send + 'static>(
    write: impl Future<Output = Result<T, WriteError>> + Send + 'static,
) -> Result<T, WriteError> {
    match timeout(PATIENCE, tokio::spawn(write)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) | Err(_) => Err(StoreError::away("write", "not done in time").into()),
    }
}

fn registration(status: Status, content: Arc<Content>, origin: Origin) -> Registration {
    Registration { status, content, origin, lost: false, expire_time: 0 }
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}
