//! Store writes that nobody waits for: what is owed since the store was away, the hint that a row was silent, and the
//! refresh that keeps a living row from the garbage collection. Bounded in number and in flight; a hint or a refresh that
//! fails is left to the repair reads, what is owed is tried again.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, mpsc},
    time::{Instant, sleep},
};

use crate::{
    instance::{Key, Row, Standing},
    replica::ReplicaId,
    store::{IN_REQUEST, Store, StoreError, Write},
};

/// One write.
#[derive(Debug)]
pub enum Chore {
    /// Write what was changed here while the store was away.
    Owed(Row),
    /// Hint that the row was silent; after a random pause, so that of several replicas one does it.
    Lost(Row),
    /// Keep the row for another day.
    Refresh(Row),
    /// Take away the header of a replica that will not speak again.
    Forget(ReplicaId),
}

/// What became of it.
#[derive(Debug)]
pub enum Done {
    /// What was owed is written, and to be announced.
    Paid(Row),
    /// The store has something else instead of what was owed; what, if it could be read.
    Overtaken(Key, Option<Row>),
    /// It stays owed.
    Unpaid(Key),
    /// The row as a hint or a refresh left it.
    Changed(Row),
}

/// How many chores may come at once; beyond that they are dropped, as failed ones are.
const QUEUE: usize = 100_000;
/// How many run at once: the requests' writes come first.
const AT_ONCE: usize = 8;
const JITTER: f32 = 5.0;

/// The queue and its results.
#[derive(Debug)]
pub struct Chores {
    queue: mpsc::Sender<Chore>,
    done: mpsc::Receiver<Done>,
}

impl Chores {
    /// Starts the worker; it ends with the queue.
    pub fn start(store: Store) -> Self {
        let (queue, todo) = mpsc::channel(QUEUE);
        let (results, done) = mpsc::channel(AT_ONCE);
        tokio::spawn(work(store, todo, results));
        Self { queue, done }
    }

    /// Queues a chore; whether there was room.
    pub fn add(&self, chore: Chore) -> bool {
        let queued = self.queue.try_send(chore).is_ok();
        if !queued {
            tracing::debug!("a chore was dropped, too many wait");
        }
        queued
    }

    /// What became of the next one.
    pub async fn done(&mut self) -> Option<Done> {
        self.done.recv().await
    }
}

async fn work(store: Store, mut todo: mpsc::Receiver<Chore>, results: mpsc::Sender<Done>) {
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(chore) = todo.recv().await {
        let (store, results, slots) = (store.clone(), results.clone(), slots.clone());
        tokio::spawn(async move {
            if matches!(chore, Chore::Lost(_)) {
                sleep(Duration::from_secs_f32(JITTER * fastrand::f32())).await;
            }
            let Ok(_slot) = slots.acquire().await else { return };
            if let Some(done) = run(&store, chore).await {
                let _ = results.send(done).await;
            }
        });
    }
}

async fn run(store: &Store, chore: Chore) -> Option<Done> {
    let (key, written) = match chore {
        Chore::Owed(row) => (Some(row.key.clone()), pay(store, &row).await),
        Chore::Lost(row) => (None, store.mark_lost(&row).await),
        Chore::Refresh(row) => (None, store.refresh_expiry(&row).await),
        Chore::Forget(replica) => {
            if let Err(error) = store.forget_head(&replica).await {
                tracing::debug!(%error, "a header stays until the store's garbage collection takes it");
            }
            return None;
        }
    };
    match (key, written) {
        (Some(_), Ok(Write::Done(row))) => Some(Done::Paid(row)),
        (Some(key), Ok(Write::Refused { row, .. })) => Some(Done::Overtaken(key, row)),
        (Some(key), Err(_)) => Some(Done::Unpaid(key)),
        (None, Ok(Write::Done(row))) => Some(Done::Changed(row)),
        (None, Ok(Write::Refused { .. })) => None,
        (None, Err(error)) => {
            tracing::debug!(%error, "a chore failed");
            None
        }
    }
}

async fn pay(store: &Store, row: &Row) -> Result<Write, StoreError> {
    let deadline = Instant::now() + IN_REQUEST;
    match &row.standing {
        Standing::In(registration) => store.register(&row.key, row.at, registration, deadline).await,
        Standing::Gone(why) => store.deregister(&row.key, row.at, *why, deadline).await,
    }
}
