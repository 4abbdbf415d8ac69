//! The one loop that owns the registry's belief: requests, reads of the store and time all change it here, one
//! after the other, and it alone publishes. So a registration that was answered is in every later answer, and no
//! lock is held anywhere.
//!
//! The store is never waited for in the loop: reads and chores run beside it, and their results come back as events.

use std::{collections::HashMap, sync::Arc, time::Duration};

use sds_types::{Endpoint, Sequence, ServiceName};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use super::{
    Options,
    chores::{Chore, Chores},
    fold::{Fold, Source},
    judge::Verdict,
    pulse::Pulse,
    snapshot::Snapshot,
};
use crate::{
    clock::Timestamp,
    instance::{Content, Key, Origin, Row, Status},
    metrics::Metrics,
    render,
    store::{FullRead, Store, StoreError, item::BadRow},
};

/// What requests ask of the loop.
#[derive(Debug)]
pub enum Command {
    /// Judge a sidecar's PUT or drain.
    Native { key: Key, at: Sequence, status: Status, content: Arc<Content>, reply: oneshot::Sender<Verdict> },
    /// Judge a legacy client's registration.
    Legacy { key: Key, origin: Origin, content: Arc<Content>, reply: oneshot::Sender<Verdict> },
    /// How long ago each instance of a service was heard.
    Ages { service: ServiceName, reply: oneshot::Sender<HashMap<Endpoint, Duration>> },
    /// A write of this key has an unknown outcome.
    Doubt { key: Key, reply: oneshot::Sender<()> },
    /// Fold a row; the reply comes after it was published.
    Fold { row: Row, source: Source, reply: oneshot::Sender<()> },
}

/// What the loop works with.
pub struct Sync {
    pub store: Store,
    pub options: Options,
    pub pulse: Arc<Pulse>,
    pub metrics: Metrics,
    pub commands: mpsc::Receiver<Command>,
    pub snapshots: watch::Sender<Option<Arc<Snapshot>>>,
    pub phase: Phase,
}

/// How far the start has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No complete read yet: nothing is answered.
    Reading,
    /// Writes are taken, reads not yet. An empty table without our mark was wiped, and gets one heartbeat in which
    /// the sidecars appear again: answering "empty" meanwhile would take every host from every Envoy.
    Waiting(Instant),
    /// All is answered.
    Serving,
}

/// How many requests are taken between two publications.
const BATCH: usize = 256;

impl Sync {
    /// Runs until every sender of commands is gone.
    pub async fn run(mut self) {
        let mut fold = Fold::new(self.options.leases);
        let mut chores = Chores::start(self.store.clone());
        let mut reads = JoinSet::new();
        let mut sweep = ticks(self.options.leases.sweep());
        let mut renew = ticks(self.options.leases.heartbeat());
        let mut batch = Vec::with_capacity(BATCH);
        let mut swept = Instant::now();
        fold.read_begins();
        reads.spawn(first_read(self.store.clone(), self.options.create_table, Duration::ZERO));
        loop {
            let mut replies = Vec::new();
            tokio::select! {
                taken = self.commands.recv_many(&mut batch, BATCH) => {
                    if taken == 0 {
                        return;
                    }
                    for command in batch.drain(..) {
                        self.obey(&mut fold, command, &mut replies);
                    }
                }
                Some(read) = reads.join_next() => {
                    match read {
                        Ok(Ok(read)) => self.take_in(&mut fold, read),
                        Ok(Err(error)) => self.read_failed(&error),
                        Err(error) => tracing::error!(%error, "the full read did not end"),
                    }
                    self.next_read(&mut fold, &mut reads);
                }
                Some(row) = chores.done() => fold.row(row, Source::Read, Timestamp::now()),
                _ = sweep.tick() => {
                    let elapsed = swept.elapsed();
                    swept += elapsed;
                    self.drop_silent(&mut fold, elapsed, &mut chores);
                }
                _ = renew.tick() => {
                    self.renew_times(&fold);
                    let left = Duration::from_secs(fastrand::u64(12..18) * 3600);
                    let due = fold.refresh(left, crate::store::KEEP, Timestamp::now());
                    due.into_iter().for_each(|row| chores.add(Chore::Refresh(row)));
                }
            }
            self.publish(&mut fold);
            self.pulse.beat();
            for reply in replies {
                let _ = reply.send(());
            }
        }
    }

    fn obey(&self, fold: &mut Fold, command: Command, replies: &mut Vec<oneshot::Sender<()>>) {
        let now = Timestamp::now();
        // A requester that gave up no longer listens; the sign of life counts all the same.
        match command {
            Command::Native { key, at, status, content, reply } => {
                let _ = reply.send(fold.native(&key, at, status, &content, now));
            }
            Command::Legacy { key, origin, content, reply } => {
                let _ = reply.send(fold.legacy(&key, origin, &content, now));
            }
            Command::Ages { service, reply } => drop(reply.send(fold.ages(&service))),
            Command::Doubt { key, reply } => {
                fold.doubt(&key);
                replies.push(reply);
            }
            Command::Fold { row, source, reply } => {
                fold.row(row, source, now);
                replies.push(reply);
            }
        }
    }

    fn drop_silent(&self, fold: &mut Fold, elapsed: Duration, chores: &mut Chores) {
        for row in fold.tick(elapsed) {
            tracing::info!(instance = %row.key, "silent for a lease, left the answers");
            self.metrics.silent.inc();
            chores.add(Chore::Lost(row));
        }
    }

    fn next_read(&self, fold: &mut Fold, reads: &mut JoinSet<Result<FullRead, StoreError>>) {
        fold.read_begins();
        match self.phase {
            Phase::Reading => reads.spawn(first_read(self.store.clone(), self.options.create_table, RETRY)),
            Phase::Waiting(_) | Phase::Serving => reads.spawn(later_read(self.store.clone(), self.options.full_read)),
        };
    }

    fn take_in(&mut self, fold: &mut Fold, mut read: FullRead) {
        let wiped = read.is_empty() && !read.meta;
        let found = read.rows.len();
        read.rows.retain(|row| match self.options.addresses.check(row.key.endpoint) {
            Ok(()) => true,
            Err(refused) => {
                read.bad.push(BadRow { key: row.key.to_string(), reason: refused.to_string() });
                false
            }
        });
        for bad in &read.bad {
            tracing::warn!(row = bad.key, reason = bad.reason, "row left out of the answers");
        }
        self.metrics.bad_rows.set(count(read.bad.len()));
        self.metrics.foreign_rows.set(count(read.foreign));
        self.metrics.last_full_read.set(i64::try_from(Timestamp::now().seconds()).unwrap_or(i64::MAX));
        let source = if self.phase == Phase::Reading { Source::Start } else { Source::Read };
        fold.read(read.rows, source, Timestamp::now());
        if self.phase == Phase::Reading {
            let wait = if wiped { self.options.leases.heartbeat() } else { Duration::ZERO };
            tracing::info!(rows = found, wiped, "first full read complete");
            self.phase = Phase::Waiting(Instant::now() + wait);
            self.pulse.open();
        }
    }

    fn read_failed(&self, error: &StoreError) {
        self.metrics.failed_reads.inc();
        let table = self.store.table();
        if self.phase == Phase::Reading {
            tracing::warn!(%error, table, "full read failed, nothing is served yet; is there such a table?");
        } else {
            tracing::warn!(%error, table, "full read failed, what was known stays");
        }
    }

    fn publish(&mut self, fold: &mut Fold) {
        match self.phase {
            Phase::Reading => {}
            Phase::Waiting(until) if Instant::now() < until => {}
            Phase::Waiting(_) => {
                self.phase = Phase::Serving;
                self.announce(fold.publish(&Snapshot::default()).unwrap_or_default());
                tracing::info!("serving");
            }
            Phase::Serving => {
                let before = self.snapshots.borrow().clone();
                if let Some(snapshot) = before.and_then(|before| fold.publish(&before)) {
                    self.announce(snapshot);
                }
            }
        }
    }

    fn announce(&self, snapshot: Snapshot) {
        self.metrics.services.set(count(snapshot.services.len()));
        self.metrics.instances.set(count(snapshot.services.values().map(|service| service.instances.len()).sum()));
        self.snapshots.send_replace(Some(Arc::new(snapshot)));
    }

    /// Old Envoys' answers tell when each host was last heard: rendered anew for services that are polled.
    fn renew_times(&self, fold: &Fold) {
        let Some(snapshot) = self.snapshots.borrow().clone() else { return };
        for service in snapshot.services.values() {
            fold.tell_heard(service);
            if service.answers.v1_is_polled() {
                service.answers.set_v1(render::v1::render(service, &self.options.env, self.options.fail_open));
            }
        }
    }
}

const RETRY: Duration = Duration::from_secs(1);

/// The read that makes the registry ready. A table that was just created bears our mark, so its emptiness is believed.
async fn first_read(store: Store, create_table: bool, after: Duration) -> Result<FullRead, StoreError> {
    sleep(after).await;
    if create_table && store.create_table().await? {
        tracing::info!("table created");
    }
    store.full_read().await
}

async fn later_read(store: Store, after: Duration) -> Result<FullRead, StoreError> {
    sleep(after.mul_f64(0.9 + 0.2 * fastrand::f64())).await;
    let read = store.full_read().await?;
    if !read.meta
        && let Err(error) = store.write_meta().await
    {
        tracing::warn!(%error, "the table could not be marked as ours");
    }
    Ok(read)
}

fn ticks(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
