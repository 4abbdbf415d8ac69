//! This replica's voice: one task that alone writes its header, and with it tells the others which rows changed here and
//! whom it heard. What it says is decided in `voice`; here it is said.
//!
//! - Headers are written a third of a poll apart, so that changes which come together are told together.
//! - A write is not answered before its key was announced; till then not even a repeat of the request is told that all is
//!   well: the others do not know yet.
//! - Heartbeats go into pages first, then the header's new beat commits them.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, mpsc, oneshot},
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{
    lease::Leases,
    pages,
    voice::{Untold, Voice},
};
use crate::{
    instance::Key,
    replica::{InstanceHash, PageKey, ReplicaId},
    store::{HeadWrite, Store},
};

/// What the task is asked for.
#[derive(Debug)]
enum Order {
    Announce { key: Key, told: Option<oneshot::Sender<()>> },
    Flush { heard: Vec<(InstanceHash, Duration)>, bye: bool, flushed: oneshot::Sender<bool> },
    Seen(Vec<InstanceHash>),
}

/// The way to the task; clones share it.
#[derive(Debug, Clone)]
pub struct Herald {
    orders: mpsc::UnboundedSender<Order>,
    unannounced: Unannounced,
    wiped: Arc<Notify>,
}

/// Shared with those who ask.
type Unannounced = Arc<Mutex<Untold<oneshot::Sender<()>>>>;

impl Herald {
    /// Starts the task; it ends with the last clone.
    pub fn start(store: Store, id: ReplicaId, leases: Leases) -> Self {
        // Bounded by the requests in flight: each key waits once.
        let (orders, inbox) = mpsc::unbounded_channel();
        let unannounced = Unannounced::default();
        let wiped = Arc::<Notify>::default();
        let speaker = Speaker {
            voice: Voice::new(id.clone(), leases.heartbeat()),
            store,
            id,
            leases,
            unannounced: unannounced.clone(),
            wiped: wiped.clone(),
            started: Instant::now(),
            flushes: JoinSet::new(),
            flushed: None,
            failures: 0,
        };
        tokio::spawn(speaker.run(inbox));
        Self { orders, unannounced, wiped }
    }

    /// Tells the others of a change, and returns when they can know; false if this replica is ending.
    pub async fn announce(&self, key: Key) -> bool {
        let (told, answer) = oneshot::channel();
        self.order(key, Some(told));
        answer.await.is_ok()
    }

    /// The same, for whom nobody waits.
    pub fn announce_later(&self, key: Key) {
        self.order(key, None);
    }

    /// Tells the others which draining instances all clients of this replica know of.
    pub fn seen(&self, seen: Vec<InstanceHash>) {
        let _ = self.orders.send(Order::Seen(seen));
    }

    fn order(&self, key: Key, told: Option<oneshot::Sender<()>>) {
        lock(&self.unannounced).add(key.clone());
        // The task ends only when all of this does.
        let _ = self.orders.send(Order::Announce { key, told });
    }

    /// Returns when the others can know all changes of this key that were made so far; false if this replica is ending.
    pub async fn told(&self, key: &Key) -> bool {
        let answer = match lock(&self.unannounced).waiting(key) {
            None => return true,
            Some(waiting) => {
                let (told, answer) = oneshot::channel();
                waiting.push(told);
                answer
            }
        };
        answer.await.is_ok()
    }

    /// Told when the table turns out to have lost what this replica wrote.
    pub fn wiped(&self) -> Arc<Notify> {
        self.wiped.clone()
    }

    /// How many such keys there are.
    pub fn waiting(&self) -> usize {
        lock(&self.unannounced).len()
    }

    /// Tells the others who was heard here and how long ago; the answer is whether they can know it.
    pub fn flush(&self, heard: Vec<(InstanceHash, Duration)>, bye: bool) -> oneshot::Receiver<bool> {
        let (flushed, answer) = oneshot::channel();
        let _ = self.orders.send(Order::Flush { heard, bye, flushed });
        answer
    }
}

fn lock(unannounced: &Unannounced) -> std::sync::MutexGuard<'_, Untold<oneshot::Sender<()>>> {
    unannounced.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Pages that are written, and who waits for the header that commits them.
#[derive(Debug)]
struct Flushed {
    beat: u64,
    tell: oneshot::Sender<bool>,
}

struct Speaker {
    voice: Voice<oneshot::Sender<()>>,
    store: Store,
    id: ReplicaId,
    leases: Leases,
    unannounced: Unannounced,
    wiped: Arc<Notify>,
    started: Instant,
    flushes: JoinSet<Option<Flushed>>,
    /// Who waits for the header that commits the newest flush.
    flushed: Option<oneshot::Sender<bool>>,
    failures: u32,
}

impl Speaker {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        let mut next = Instant::now();
        loop {
            let due = self.voice.is_due();
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.obey(order),
                    None => return,
                },
                Some(written) = self.flushes.join_next() => {
                    if let Some(flushed) = written.ok().flatten() {
                        self.voice.flushed(flushed.beat);
                        self.flushed = Some(flushed.tell);
                    }
                }
                () = sleep_until(next), if due => {
                    // What has come meanwhile goes along.
                    while let Ok(order) = orders.try_recv() {
                        self.obey(order);
                    }
                    self.commit().await;
                    // After failures ever longer, up to a second.
                    let pause = self.leases.poll() * 3 / 10 * (1 << self.failures.min(4));
                    next = Instant::now() + pause.min(Duration::from_secs(1));
                }
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Announce { key, told } => self.voice.announce(key, told),
            Order::Seen(seen) => self.voice.seen(seen),
            Order::Flush { heard, bye, flushed } => {
                let flush = Flushed { beat: self.voice.begin_flush(bye), tell: flushed };
                // Nobody heard is nothing to read: the slot keeps an older page, which says so.
                let chunks = match heard.as_slice() {
                    [] => Vec::new(),
                    heard => pages::encode(flush.beat, self.leases.flush(), heard),
                };
                self.flushes.spawn(write_pages(self.store.clone(), self.id.clone(), chunks, flush));
            }
        }
    }

    async fn commit(&mut self) {
        let head = self.voice.head(self.started.elapsed());
        let flushed = self.flushed.take();
        let written = self.store.write_head(&head).await;
        let done = matches!(written, Ok(HeadWrite::Done | HeadWrite::Anew));
        match written {
            Ok(write @ (HeadWrite::Done | HeadWrite::Anew)) => {
                if self.voice.was_lost(write == HeadWrite::Anew) {
                    tracing::warn!("somebody emptied the table: it is read again");
                    self.wiped.notify_one();
                }
                self.failures = 0;
                let told = self.voice.told(&head, &mut lock(&self.unannounced));
                // Who gave up does not listen any more.
                told.into_iter().for_each(|told| {
                    let _ = told.send(());
                });
            }
            // An earlier try, whose answer was lost, arrived after all; the next number is above it.
            Ok(HeadWrite::Refused) => self.failures = 0,
            Err(error) => {
                self.failures += 1;
                tracing::debug!(%error, waiting = self.voice.untold(), "the header could not be written");
            }
        }
        if let Some(flushed) = flushed {
            let _ = flushed.send(done);
        }
    }
}

async fn write_pages(store: Store, replica: ReplicaId, chunks: Vec<Vec<u8>>, flush: Flushed) -> Option<Flushed> {
    for (chunk, body) in (0..).zip(chunks) {
        let key = PageKey { replica: replica.clone(), beat: flush.beat, chunk };
        if let Err(error) = store.write_page(&key, body).await {
            tracing::debug!(%error, "whom this replica heard could not be passed on");
            let _ = flush.tell.send(false);
            return None;
        }
    }
    Some(flush)
}
