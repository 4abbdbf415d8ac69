//! Store writes that nobody waits for: the hint that a row was silent, and the refresh that keeps a living row from
//! the garbage collection. Bounded in number and in flight; a chore that fails is left to the repair reads.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, mpsc},
    time::sleep,
};

use crate::{
    instance::Row,
    store::{Store, Write},
};

/// One write.
#[derive(Debug)]
pub enum Chore {
    /// Hint that the row was silent; after a random pause, so that of several replicas one does it.
    Lost(Row),
    /// Keep the row for another day.
    Refresh(Row),
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
    done: mpsc::Receiver<Row>,
}

impl Chores {
    /// Starts the worker; it ends with the queue.
    pub fn start(store: Store) -> Self {
        let (queue, todo) = mpsc::channel(QUEUE);
        let (results, done) = mpsc::channel(AT_ONCE);
        tokio::spawn(work(store, todo, results));
        Self { queue, done }
    }

    /// Queues a chore.
    pub fn add(&mut self, chore: Chore) {
        if self.queue.try_send(chore).is_err() {
            tracing::debug!("a chore was dropped, too many wait");
        }
    }

    /// The next row that a chore changed.
    pub async fn done(&mut self) -> Option<Row> {
        self.done.recv().await
    }
}

async fn work(store: Store, mut todo: mpsc::Receiver<Chore>, results: mpsc::Sender<Row>) {
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(chore) = todo.recv().await {
        let (store, results, slots) = (store.clone(), results.clone(), slots.clone());
        tokio::spawn(async move {
            if matches!(chore, Chore::Lost(_)) {
                sleep(Duration::from_secs_f32(JITTER * fastrand::f32())).await;
            }
            let Ok(_slot) = slots.acquire().await else { return };
            let written = match &chore {
                Chore::Lost(row) => store.mark_lost(row).await,
                Chore::Refresh(row) => store.refresh_expiry(row).await,
            };
            match written {
                Ok(Write::Done(row)) => drop(results.send(row).await),
                Ok(Write::Refused { .. }) => {}
                Err(error) => tracing::debug!(%error, "a chore failed"),
            }
        });
    }
}
