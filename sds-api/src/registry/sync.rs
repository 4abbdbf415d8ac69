//! The one loop that owns the registry's belief: requests, other replicas, reads of the store and time all change it here,
//! one after the other, and it alone publishes. So a registration that was answered is in every later answer, and no
//! lock is held over any of it.
//!
//! The store is never waited for in the loop: rounds, reads, flushes and chores run beside it, and what they bring comes
//! back as events.

mod load;
mod tell;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use sds_types::{Endpoint, Invalid, Sequence, ServiceName};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    By, Looked, Options,
    chores::{Chore, Chores, Done},
    doubts::Doubts,
    events::{Events, Recorder},
    fold::{Fold, Judged, Life, Owing, Roll, Seen, Source, Swept, Whose},
    herald::Herald,
    judge::{Said, Verdict},
    phase::Phase,
    pulse::Pulse,
    reader,
    round::Round,
    snapshot::Snapshot,
    vouching::Vouching,
    witnesses::{Witness, Witnesses},
};
use crate::{
    clock::{Now, Timestamp},
    instance::{Content, Gone, Key, Row, Status},
    keepsake::Kept,
    metrics::Metrics,
    replica::{InstanceHash, ReplicaId},
    store::Store,
};
use load::{Loaded, Loader};

pub use load::Snapshots;

/// What requests ask of the loop.
#[derive(Debug)]
pub enum Command {
    /// Judge a sidecar's PUT or drain.
    Native { key: Key, at: Sequence, status: Status, content: Arc<Content>, reply: oneshot::Sender<Verdict> },
    /// Judge a legacy client's registration.
    Legacy { key: Key, said: Arc<Said>, reply: oneshot::Sender<Result<Judged, Invalid>> },
    /// What is known of a legacy client's host.
    Look { key: Key, reply: oneshot::Sender<Seen> },
    /// How alive each instance of a service is.
    Lives { service: ServiceName, reply: oneshot::Sender<HashMap<Endpoint, Life>> },
    /// What is known of a place of the table, under its own name and, if it has one, under its key.
    LookAt { key: Option<Key>, name: String, reply: oneshot::Sender<Looked> },
    /// A write of this key has an unknown outcome.
    Doubt { key: Key, reply: oneshot::Sender<()> },
    /// Fold a row; the reply comes after it was published.
    Fold { row: Row, source: Source, by: Option<By>, reply: oneshot::Sender<()> },
    /// An instance is unfit or drains, and the store is away.
    OweStatus { key: Key, at: Sequence, status: Status, content: Arc<Content>, reply: oneshot::Sender<Owing> },
    /// An instance has left, and the store is away.
    OweGoodbye { key: Key, at: Sequence, why: Gone, reply: oneshot::Sender<Owing> },
    /// Registrations that name their tasks, and the replicas that live.
    Roll { whose: Whose, reply: oneshot::Sender<Roll> },
    /// ECS says of these incarnations that their tasks run, or no more.
    EcsSays { of: Vec<(Key, u64)>, runs: bool, reply: oneshot::Sender<()> },
    /// All that is in service, to be kept.
    Keep { reply: oneshot::Sender<Kept> },
    /// The last flush before the end.
    Bye { reply: oneshot::Sender<bool> },
}

/// What the loop works with.
pub struct Sync {
    pub store: Store,
    pub options: Options,
    pub pulse: Arc<Pulse>,
    pub metrics: Metrics,
    pub herald: Herald,
    pub doubts: Doubts,
    pub own: ReplicaId,
    pub events: Events,
    pub commands: mpsc::Receiver<Command>,
    pub snapshots: watch::Sender<Option<Arc<Snapshot>>>,
    pub witnesses: watch::Sender<Option<Arc<Witnesses>>>,
}

/// How many requests are taken between two publications.
const BATCH: usize = 256;

/// The loop's own state.
struct Loop {
    sync: Sync,
    fold: Fold,
    chores: Chores,
    phase: Phase,
    /// The table was read once since the start.
    read: bool,
    vouching: Vouching,
    /// How the flush on its way went, once it is known.
    flushed: Option<oneshot::Receiver<bool>>,
    /// What is being written of what is owed.
    paying: HashSet<Key>,
    started: Instant,
    /// When all that is served was last known to be true.
    fresh: Timestamp,
    /// Rows that the last full read could not make sense of: key and reason.
    bad: HashMap<String, String>,
    recorder: Recorder,
}

impl Sync {
    /// Runs until every sender of commands is gone.
    pub async fn run(self) {
        let leases = self.options.leases;
        let mut rounds = reader::start(self.store.clone(), self.own.clone(), leases, self.doubts.clone());
        let mut loader = Loader::new(self.store.clone(), &self.options, self.herald.wiped());
        let mut turn = ticks(leases.poll());
        let mut flush = ticks(leases.flush());
        let mut renew = ticks(leases.heartbeat());
        let mut keep = ticks(leases.native);
        let mut keeping = JoinSet::new();
        let mut batch = Vec::with_capacity(BATCH);
        let mut this = Loop {
            fold: Fold::new(leases),
            chores: Chores::start(self.store.clone()),
            phase: Phase::Reading,
            read: false,
            vouching: Vouching::default(),
            flushed: None,
            paying: HashSet::new(),
            started: Instant::now(),
            fresh: Timestamp::of_seconds(0),
            bad: HashMap::new(),
            recorder: Recorder::new(self.events.clone()),
            sync: self,
        };
        this.fold.read_begins();
        loop {
            let mut replies = Vec::new();
            tokio::select! {
                taken = this.sync.commands.recv_many(&mut batch, BATCH) => {
                    if taken == 0 {
                        return;
                    }
                    for command in batch.drain(..) {
                        this.obey(command, &mut replies);
                    }
                }
                Some(round) = rounds.recv() => {
                    if this.take_round(round) {
                        loader.hurry();
                    }
                }
                loaded = loader.next() => {
                    match loaded {
                        Loaded::Due => {
                            this.fold.read_begins();
                            loader.begin();
                        }
                        Loaded::Read { read, wiped } => loader.missed(this.take_read(read, wiped)),
                        Loaded::Kept(kept) => this.take_kept(kept),
                        Loaded::Failed(error) => this.read_failed(&error),
                    }
                    loader.again(this.fold.has_foreign());
                }
                Some(done) = this.chores.done() => this.take_done(done),
                Some(done) = done(&mut this.flushed) => this.flushed(done),
                _ = flush.tick() => this.begin_flush(false),
                _ = renew.tick() => this.renew(),
                _ = keep.tick(), if keeping.is_empty() && this.phase == Phase::Serving => this.keep(&mut keeping),
                Some(_) = keeping.join_next() => {}
                _ = turn.tick() => {}
            }
            this.publish();
            this.sync.pulse.beat();
            for reply in replies {
                let _ = reply.send(());
            }
        }
    }
}

impl Loop {
    fn now(&self) -> Now {
        Now { wall: Timestamp::now(), mono: self.started.elapsed() }
    }

    fn obey(&mut self, command: Command, replies: &mut Vec<oneshot::Sender<()>>) {
        let now = self.now();
        let fold = &mut self.fold;
        // A requester that gave up no longer listens; the sign of life counts all the same.
        match command {
            Command::Native { key, at, status, content, reply } => {
                let _ = reply.send(fold.native(&key, at, status, &content, now));
            }
            Command::Legacy { key, said, reply } => drop(reply.send(fold.legacy(&key, &said, now))),
            Command::Look { key, reply } => drop(reply.send(fold.look(&key))),
            Command::Lives { service, reply } => drop(reply.send(fold.lives(&service, now.wall))),
            Command::LookAt { key, name, reply } => {
                let _ = reply.send(self.look_at(key, name, now.wall));
            }
            Command::Doubt { key, reply } => {
                fold.doubt(&key);
                replies.push(reply);
            }
            Command::Fold { row, source, by, reply } => {
                if let Some(by) = by {
                    self.recorder.written(fold, &row, by, now.wall);
                }
                fold.row(row, source, now.wall);
                replies.push(reply);
            }
            Command::OweStatus { key, at, status, content, reply } => {
                let owing = fold.owe_status(&key, at, status, &content);
                self.published(reply, owing);
            }
            Command::OweGoodbye { key, at, why, reply } => {
                let owing = fold.owe_goodbye(&key, at, why);
                self.published(reply, owing);
            }
            Command::Roll { whose, reply } => drop(reply.send(fold.roll(&whose, now.wall))),
            Command::EcsSays { of, runs, reply } => {
                fold.ecs_says(&of, runs, now.wall);
                replies.push(reply);
            }
            Command::Keep { reply } => drop(reply.send(Kept { rows: fold.served_rows(), taken: self.fresh })),
            Command::Bye { reply } => self.bye(reply),
        }
    }

    /// Answers when what was changed is in the answers.
    fn published<T>(&mut self, reply: oneshot::Sender<T>, outcome: T) {
        self.publish();
        let _ = reply.send(outcome);
    }

    /// What is known of one place, and what is served of it after all that came before.
    fn look_at(&mut self, key: Option<Key>, name: String, wall: Timestamp) -> Looked {
        self.publish();
        let facts = key.as_ref().and_then(|key| self.fold.facts(key, wall));
        let snapshot = self.sync.snapshots.borrow();
        let service =
            key.zip(snapshot.as_ref()).and_then(|(key, snapshot)| snapshot.services.get(&key.service).cloned());
        Looked { facts, service, quarantine: self.bad.get(&name).cloned(), fresh: self.fresh, name }
    }

    /// Takes in a round; whether the table is to be read now.
    fn take_round(&mut self, mut round: Round) -> bool {
        let missed = round.full_read;
        let wall = Timestamp::now();
        round.rows.retain(|row| self.sync.options.addresses.check(row.key.endpoint).is_ok());
        let (leases, now) = (self.sync.options.leases, self.started.elapsed());
        let mute = self.vouching.is_failing(leases.flush(), now);
        self.sync.metrics.vouching.set((!mute).into());
        let (began, seen) = (round.began, std::mem::take(&mut round.seen));
        let error = round.failed.clone();
        let folded = round.fold(&mut self.fold, mute, wall);
        self.sync.pulse.round();
        self.sync.pulse.vouch(!self.vouching.sends_away(error.is_none(), leases.flush(), leases.native, now));
        match error {
            None => {
                if self.read {
                    self.true_at(wall);
                }
                if let Some(began) = began {
                    self.take_receipts(began, seen);
                }
                self.pay();
            }
            Some(error) => {
                self.sync.metrics.failed_rounds.inc();
                tracing::debug!(%error, "a round of the reader failed");
            }
        }
        for key in folded.found {
            self.sync.herald.announce_later(key);
        }
        let stopped = folded.swept.as_ref().is_some_and(|swept| swept.stopped);
        if let Some(swept) = folded.swept {
            self.take_swept(swept, wall);
        }
        missed || stopped
    }

    fn take_receipts(&self, began: Instant, mut seen: HashMap<ReplicaId, Vec<InstanceHash>>) {
        let others =
            self.fold.witnesses().map(|id| Witness { id: id.clone(), seen: seen.remove(id).unwrap_or_default() });
        self.sync.witnesses.send_replace(Some(Arc::new(Witnesses { began, others: others.collect() })));
    }

    fn take_swept(&mut self, swept: Swept, wall: Timestamp) {
        let metrics = &self.sync.metrics;
        metrics.late.set(tell::count(swept.tally.late));
        metrics.ecs.kept.set(tell::count(swept.keeping));
        for key in &swept.held {
            tracing::warn!(instance = %key, "silent together with many others, held in the answers");
        }
        let before = self.sync.snapshots.borrow().clone();
        for (name, holding) in &swept.holding {
            if let Some(service) = before.as_ref().and_then(|snapshot| snapshot.services.get(name)) {
                service.hold(*holding);
            }
        }
        if !swept.holding.is_empty() {
            metrics.held.set(tell::count(self.fold.holding()));
        }
        self.recorder.swept(&swept, &self.fold, wall);
        for row in swept.kept {
            tracing::warn!(instance = %row.key, "silent for a lease, but ECS says that its task runs: unhealthy in the answers");
            metrics.ecs.word("kept");
            self.chores.add(Chore::Lost(row));
        }
        for row in swept.silent {
            tracing::info!(instance = %row.key, "silent for a lease, left the answers");
            metrics.silent.inc();
            if !row.is_foreign() {
                self.chores.add(Chore::Lost(row));
            }
        }
    }

    /// What left while the store was away is written first on its return.
    fn pay(&mut self) {
        if !self.paying.is_empty() {
            return;
        }
        for row in self.fold.owed() {
            let key = row.key.clone();
            if self.chores.add(Chore::Owed(row)) {
                self.paying.insert(key);
            }
        }
    }

    fn take_done(&mut self, done: Done) {
        let wall = Timestamp::now();
        match done {
            Done::Paid(row) => {
                let key = row.key.clone();
                self.paying.remove(&key);
                self.fold.row(row, Source::Written, wall);
                self.sync.herald.announce_later(key);
            }
            Done::Overtaken(key, row) => {
                self.paying.remove(&key);
                self.fold.forgive(&key);
                if let Some(row) = row {
                    self.fold.row(row, Source::Read, wall);
                }
                // Perhaps by an earlier try of ours, whose answer was lost.
                self.sync.herald.announce_later(key);
            }
            Done::Unpaid(key) => drop(self.paying.remove(&key)),
            Done::Changed(row) => {
                // Whichever replica hears it again has to take the hint away.
                if row.registration().is_some_and(|standing| standing.lost) {
                    self.sync.herald.announce_later(row.key.clone());
                }
                self.fold.row(row, Source::Read, wall);
            }
        }
    }

    fn begin_flush(&mut self, bye: bool) {
        if self.flushed.is_some() && !bye {
            return;
        }
        let heard = self.vouching.begin(&mut self.fold, self.started.elapsed());
        self.flushed = Some(self.sync.herald.flush(heard, bye));
    }

    fn flushed(&mut self, done: bool) {
        if !done {
            self.sync.metrics.failed_flushes.inc();
        }
        self.vouching.ended(&mut self.fold, done);
    }

    fn bye(&mut self, reply: oneshot::Sender<bool>) {
        self.begin_flush(true);
        if let Some(answer) = self.flushed.take() {
            tokio::spawn(async move { reply.send(answer.await.unwrap_or(false)) });
        }
    }
}

/// How the flush on its way went, once it is known.
async fn done(flushed: &mut Option<oneshot::Receiver<bool>>) -> Option<bool> {
    let done = flushed.as_mut()?.await.unwrap_or(false);
    *flushed = None;
    Some(done)
}

fn ticks(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
