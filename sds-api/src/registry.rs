//! The registry as its APIs see it: one method per verb. Reads answer from the published snapshot and touch nothing;
//! writes are judged by the loop, made in the store if they change something, folded, and only then answered.
//!
//! ```text
//!   http -- judge --> sync (fold) -- "write" --> store -- row --> sync -- publish --> watch --> http
//!                        `-- "heard": answered at once, no store call
//! ```

mod chores;
mod fold;
mod judge;
mod lease;
mod pulse;
mod snapshot;
mod sync;

use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};

use prometheus_client::metrics::counter::Counter;
use sds_types::{Endpoint, Registered, Sequence, ServiceName};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

pub use lease::Leases;
pub use snapshot::{Instance, Service, Snapshot, Version};

use crate::{
    address::AddressPolicy,
    instance::{Content, Gone, Key, Origin, Registration, Row, Status},
    metrics::Metrics,
    store::{Store, StoreError, Write},
};
use fold::Source;
use judge::Verdict;
use pulse::Pulse;
use sync::{Command, Phase, Sync};

/// Why a write was not made.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The first read is not complete, or the loop is late: what is known is not to be judged by.
    #[error("the registry is not ready")]
    NotReady,
    /// The store did not answer; whether the write was made is unknown.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something newer stands at this ip:port; what, if it could be read.
    #[error("superseded")]
    Superseded(Option<Sequence>),
    /// Nobody is registered there.
    #[error("not registered")]
    Unknown,
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
}

/// The registry.
#[derive(Debug, Clone)]
pub struct Registry {
    store: Store,
    leases: Leases,
    metrics: Metrics,
    pulse: Arc<Pulse>,
    commands: mpsc::Sender<Command>,
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
}

/// Requests that may wait for the loop; more are held up at its door.
const COMMANDS: usize = 1024;
/// A loop that has not turned for so long is not to be judged by.
const LOOP_LATE: Duration = Duration::from_secs(1);
/// No answer may take longer than 1 s: an old Envoy gives up then.
const PATIENCE: Duration = Duration::from_millis(900);
/// How often a legacy write is judged anew when another one came first.
const LEGACY_TRIES: usize = 4;

impl Registry {
    /// Starts the loop; it ends when the last clone of the registry is dropped.
    pub fn start(store: Store, options: Options, metrics: Metrics) -> Self {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let (outbox, snapshots) = watch::channel(None);
        let pulse = Arc::new(Pulse::default());
        let leases = options.leases;
        let sync = Sync {
            store: store.clone(),
            options,
            pulse: pulse.clone(),
            metrics: metrics.clone(),
            commands: inbox,
            snapshots: outbox,
            phase: Phase::Reading,
        };
        tokio::spawn(sync.run());
        Self { store, leases, metrics, pulse, commands, snapshots }
    }

    /// What is served now; nothing before the first complete read.
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.snapshots.borrow().clone()
    }

    /// One service as it is served now: `None` before the first complete read, `Some(None)` if nobody serves it.
    pub fn service(&self, name: &str) -> Option<Option<Arc<Service>>> {
        self.snapshots.borrow().as_ref().map(|snapshot| snapshot.services.get(name).cloned())
    }

    /// Whether the loop turns.
    pub fn is_live(&self) -> bool {
        self.pulse.age() < Duration::from_secs(5)
    }

    /// How long ago each instance of a service was heard.
    pub async fn ages(&self, service: &ServiceName) -> Result<HashMap<Endpoint, Duration>, WriteError> {
        let (reply, ages) = oneshot::channel();
        self.ask(Command::Ages { service: service.clone(), reply }, ages).await
    }

    /// A sidecar's PUT or, with [`Status::Draining`], its drain.
    pub async fn put(
        &self,
        key: Key,
        at: Sequence,
        status: Status,
        content: Content,
    ) -> Result<Registered, WriteError> {
        let content = Arc::new(content);
        let (reply, verdict) = oneshot::channel();
        let judge = Command::Native { key: key.clone(), at, status, content: content.clone(), reply };
        match self.ask(judge, verdict).await? {
            Verdict::Write(at) => {
                let (registry, key) = (self.clone(), key.clone());
                detached(async move { registry.register(&key, at, status, content).await }).await?;
            }
            Verdict::Heard | Verdict::Ignored => counted(&self.metrics.heartbeats)?,
        }
        Ok(self.registered(&key.service))
    }

    /// A sidecar's goodbye; also for an ip:port that nobody registered, whose registration may still be on its way.
    pub async fn deregister(&self, key: Key, at: Sequence, why: Gone) -> Result<(), WriteError> {
        self.ready()?;
        let registry = self.clone();
        detached(async move {
            match registry.store.deregister(&key, at, why).await {
                Ok(Write::Done(row)) => {
                    tracing::info!(instance = %key, incarnation = at.incarnation, "deregistered");
                    registry.fold(row, Source::Written).await
                }
                Ok(Write::Refused { row, at }) => registry.refused(row, at).await,
                Err(error) => {
                    let (reply, doubted) = oneshot::channel();
                    registry.ask(Command::Doubt { key, reply }, doubted).await?;
                    Err(error.into())
                }
            }
        })
        .await
    }

    /// A registration in one of the ancestors' dialects.
    pub async fn legacy_put(&self, key: Key, content: Content, origin: Origin) -> Result<(), WriteError> {
        let registry = self.clone();
        detached(async move { registry.legacy_register(key, Arc::new(content), origin).await }).await
    }

    /// A deregistration in one of the ancestors' dialects: of whoever is in service there.
    pub async fn legacy_deregister(&self, key: Key) -> Result<(), WriteError> {
        self.ready()?;
        let registry = self.clone();
        detached(async move { registry.legacy_leave(&key).await }).await
    }

    async fn legacy_register(&self, key: Key, content: Arc<Content>, origin: Origin) -> Result<(), WriteError> {
        for _ in 0..LEGACY_TRIES {
            let (reply, verdict) = oneshot::channel();
            let judge = Command::Legacy { key: key.clone(), origin, content: content.clone(), reply };
            let at = match self.ask(judge, verdict).await? {
                Verdict::Write(at) => at,
                Verdict::Heard => return counted(&self.metrics.heartbeats),
                Verdict::Ignored => return counted(&self.metrics.legacy_ignored),
            };
            let registration = registration(Status::Healthy, content.clone(), origin);
            match self.store.register(&key, at, &registration).await? {
                Write::Done(row) => {
                    tracing::info!(instance = %key, origin = origin.as_str(), "registered");
                    return self.fold(row, Source::Written).await;
                }
                // Somebody was faster, perhaps with the same words: judged anew by what stands there now.
                Write::Refused { row: Some(row), .. } => self.fold(row, Source::Read).await?,
                Write::Refused { row: None, .. } => break,
            }
        }
        Err(WriteError::Superseded(None))
    }

    async fn legacy_leave(&self, key: &Key) -> Result<(), WriteError> {
        for _ in 0..LEGACY_TRIES {
            let served = self.ages(&key.service).await?.contains_key(&key.endpoint);
            let row = self.store.read(key).await?.filter(|_| served).ok_or(WriteError::Unknown)?;
            match row.registration() {
                // The answer to an earlier try was lost; what it asked for is done.
                None => return self.fold(row, Source::Written).await,
                Some(found) if found.origin == Origin::Native => return counted(&self.metrics.legacy_ignored),
                Some(_) => {}
            }
            if let Write::Done(row) = self.store.deregister_if(&row, Gone::Deregistered).await? {
                tracing::info!(instance = %key, "deregistered by a legacy client");
                return self.fold(row, Source::Written).await;
            }
        }
        Err(WriteError::Superseded(None))
    }

    async fn register(&self, key: &Key, at: Sequence, status: Status, content: Arc<Content>) -> Result<(), WriteError> {
        match self.store.register(key, at, &registration(status, content, Origin::Native)).await? {
            Write::Done(row) => {
                tracing::info!(instance = %key, status = status.as_str(), incarnation = at.incarnation, "registered");
                self.fold(row, Source::Written).await
            }
            // The same incarnation further on: this request is a repeat that arrived late.
            Write::Refused { row: Some(row), .. }
                if row.at.incarnation == at.incarnation && row.registration().is_some() =>
            {
                self.fold(row, Source::Read).await
            }
            Write::Refused { row, at } => self.refused(row, at).await,
        }
    }

    async fn refused(&self, row: Option<Row>, at: Option<Sequence>) -> Result<(), WriteError> {
        if let Some(row) = row {
            self.fold(row, Source::Read).await?;
        }
        Err(WriteError::Superseded(at))
    }

    async fn fold(&self, row: Row, source: Source) -> Result<(), WriteError> {
        let (reply, folded) = oneshot::channel();
        self.ask(Command::Fold { row, source, reply }, folded).await
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
        if self.pulse.is_open() && self.pulse.age() < LOOP_LATE { Ok(()) } else { Err(WriteError::NotReady) }
    }

    fn registered(&self, service: &ServiceName) -> Registered {
        let served = self.service(service.as_str()).flatten();
        let version = served.map_or_else(|| Version::of(service.as_str(), &[]), |service| service.version);
        Registered {
            lease_ms: millis(self.leases.native),
            heartbeat_ms: millis(self.leases.heartbeat()),
            version: version.to_string(),
            vouched: true,
        }
    }
}

/// A success that leaves its trace in a counter only.
fn counted(counter: &Counter) -> Result<(), WriteError> {
    counter.inc();
    Ok(())
}

/// Does a write to its end also when its client has gone: what is in the store must be in the answers.
async fn detached<T: Send + 'static>(
    write: impl Future<Output = Result<T, WriteError>> + Send + 'static,
) -> Result<T, WriteError> {
    match timeout(PATIENCE, tokio::spawn(write)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) | Err(_) => Err(StoreError { call: "write", cause: "not done in time".into() }.into()),
    }
}

fn registration(status: Status, content: Arc<Content>, origin: Origin) -> Registration {
    Registration { status, content, origin, lost: false, expire_time: 0 }
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}
