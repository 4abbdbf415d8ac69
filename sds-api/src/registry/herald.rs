//! This replica's voice: one task that alone writes its header, and with it tells the others which rows changed here and
//! whom it heard.
//!
//! - Announcements that wait go into one header together, at most [`COMMIT`] of them and a third of a poll apart.
//! - A write is not answered before its key was announced; till then the key is *unannounced*, and not even a repeat of the
//!   request is told that all is well: the others do not know yet.
//! - Heartbeats go into pages first, then the header's new beat commits them. A flush that failed leaves its beat's number
//!   behind, so that no reader takes two pages for one.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{
    lease::Leases,
    pages::{self, VouchHash},
    ring::{COMMIT, Ring},
};
use crate::{
    instance::Key,
    replica::{Head, PageKey, ReplicaId},
    store::Store,
};

/// What the task is asked for.
#[derive(Debug)]
enum Order {
    Announce { key: Key, told: Option<oneshot::Sender<()>> },
    Flush { heard: Vec<(VouchHash, Duration)>, bye: bool, flushed: oneshot::Sender<bool> },
}

/// The way to the task; clones share it.
#[derive(Debug, Clone)]
pub struct Herald {
    orders: mpsc::UnboundedSender<Order>,
    unannounced: Unannounced,
}

/// Keys that no header has told of yet.
type Unannounced = Arc<Mutex<HashMap<Key, Untold>>>;

/// How many writes of a key, and who waits until all of them are told.
#[derive(Debug, Default)]
struct Untold {
    writes: usize,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Herald {
    /// Starts the task; it ends with the last clone.
    pub fn start(store: Store, id: ReplicaId, leases: Leases) -> Self {
        // Bounded by the requests in flight: each key waits once.
        let (orders, inbox) = mpsc::unbounded_channel();
        let unannounced = Unannounced::default();
        let voice = Voice::new(store, id, leases, unannounced.clone());
        tokio::spawn(voice.run(inbox));
        Self { orders, unannounced }
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

    fn order(&self, key: Key, told: Option<oneshot::Sender<()>>) {
        lock(&self.unannounced).entry(key.clone()).or_default().writes += 1;
        // The task ends only when all of this does.
        let _ = self.orders.send(Order::Announce { key, told });
    }

    /// Returns when the others can know all changes of this key that were made so far; false if this replica is ending.
    pub async fn told(&self, key: &Key) -> bool {
        let answer = match lock(&self.unannounced).get_mut(key) {
            None => return true,
            Some(untold) => {
                let (told, answer) = oneshot::channel();
                untold.waiting.push(told);
                answer
            }
        };
        answer.await.is_ok()
    }

    /// How many such keys there are.
    pub fn waiting(&self) -> usize {
        lock(&self.unannounced).len()
    }

    /// Tells the others who was heard here and how long ago; the answer is whether they can know it.
    pub fn flush(&self, heard: Vec<(VouchHash, Duration)>, bye: bool) -> oneshot::Receiver<bool> {
        let (flushed, answer) = oneshot::channel();
        let _ = self.orders.send(Order::Flush { heard, bye, flushed });
        answer
    }
}

fn lock(unannounced: &Unannounced) -> std::sync::MutexGuard<'_, HashMap<Key, Untold>> {
    unannounced.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Pages that are written, and who waits for the header that commits them.
#[derive(Debug)]
struct Flushed {
    beat: u64,
    tell: oneshot::Sender<bool>,
}

/// Writes of one key, and those who wait until the others can know.
#[derive(Debug, Default)]
struct Waiting {
    writes: usize,
    told: Vec<oneshot::Sender<()>>,
}

struct Voice {
    store: Store,
    id: ReplicaId,
    leases: Leases,
    ring: Ring,
    unannounced: Unannounced,
    started: Instant,
    hseq: u64,
    /// The number of the newest flush, and of the newest that a header told of.
    beats: (u64, u64),
    /// The newest announcement that a header told of.
    told: u64,
    /// In the order in which they came, without a number yet.
    queue: VecDeque<Key>,
    waiting: HashMap<Key, Waiting>,
    /// In the ring, and in no header yet.
    numbered: BTreeMap<u64, (Key, Waiting)>,
    flushes: JoinSet<Option<Flushed>>,
    flushed: Option<Flushed>,
    bye: bool,
    failures: u32,
}

impl Voice {
    fn new(store: Store, id: ReplicaId, leases: Leases, unannounced: Unannounced) -> Self {
        Self {
            store,
            id,
            leases,
            ring: Ring::default(),
            unannounced,
            started: Instant::now(),
            hseq: 0,
            beats: (0, 0),
            told: 0,
            queue: VecDeque::new(),
            waiting: HashMap::new(),
            numbered: BTreeMap::new(),
            flushes: JoinSet::new(),
            flushed: None,
            bye: false,
            failures: 0,
        }
    }

    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        let mut next = Instant::now();
        loop {
            let due = !self.queue.is_empty() || !self.numbered.is_empty() || self.flushed.is_some();
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.obey(order),
                    None => return,
                },
                Some(written) = self.flushes.join_next() => self.flushed = written.ok().flatten(),
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
            Order::Announce { key, told } => {
                let waiting = self.waiting.entry(key.clone()).or_default();
                if waiting.writes == 0 {
                    self.queue.push_back(key);
                }
                waiting.writes += 1;
                waiting.told.extend(told);
            }
            Order::Flush { heard, bye, flushed } => {
                self.beats.0 += 1;
                self.bye |= bye;
                let flush = Flushed { beat: self.beats.0, tell: flushed };
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
        let now = self.started.elapsed();
        while self.numbered.len() < COMMIT
            && let Some(key) = self.queue.pop_front()
        {
            let waiting = self.waiting.remove(&key).unwrap_or_default();
            self.numbered.insert(self.ring.push(key.clone(), now), (key, waiting));
        }
        self.ring.trim(self.told, self.leases.heartbeat(), now);
        self.hseq += 1;
        let flushed = self.flushed.take();
        let head = Head {
            id: self.id.clone(),
            hseq: self.hseq,
            beat: flushed.as_ref().map_or(self.beats.1, |flushed| flushed.beat),
            ring_n: self.ring.newest(),
            ring: self.ring.entries(),
            // Only with its last flush is everything told.
            bye: self.bye && (flushed.is_some() || self.beats.0 == self.beats.1),
        };
        let written = self.store.write_head(&head).await;
        let done = matches!(written, Ok(true));
        match written {
            Ok(true) => self.told(&head),
            // An earlier try, whose answer was lost, arrived after all; the next number is above it.
            Ok(false) => self.failures = 0,
            Err(error) => {
                self.failures += 1;
                tracing::debug!(%error, waiting = self.numbered.len(), "the header could not be written");
            }
        }
        if let Some(flushed) = flushed {
            let _ = flushed.tell.send(done);
        }
    }

    fn told(&mut self, head: &Head) {
        (self.failures, self.told, self.beats.1) = (0, head.ring_n, head.beat);
        let mut unannounced = lock(&self.unannounced);
        for (key, waiting) in std::mem::take(&mut self.numbered).into_values() {
            // Who gave up does not listen any more.
            waiting.told.into_iter().for_each(|told| {
                let _ = told.send(());
            });
            let Some(untold) = unannounced.get_mut(&key) else { continue };
            untold.writes = untold.writes.saturating_sub(waiting.writes);
            if untold.writes == 0
                && let Some(untold) = unannounced.remove(&key)
            {
                untold.waiting.into_iter().for_each(|told| {
                    let _ = told.send(());
                });
            }
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
