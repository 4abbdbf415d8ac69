//! Where the registry's knowledge comes from in bulk: the first read of the table, the repair reads after it, and, while the
//! first one fails or finds a wiped table, the snapshot that the last run or a sibling kept.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    sync::Notify,
    task::{JoinSet, spawn_blocking},
    time::sleep,
};

use crate::{
    clock::Timestamp,
    keepsake::{self, Kept, Peers},
    registry::{
        Options,
        alarm::{self, Alarm},
    },
    store::{FullRead, Store, StoreError},
};

/// What came.
#[derive(Debug)]
pub enum Loaded {
    /// The pause is over: what changes from now on the next read may miss. Begin it with [`Loader::begin`].
    Due,
    /// The whole table, and whether somebody had emptied it.
    Read { read: FullRead, wiped: bool },
    /// A snapshot.
    Kept(Kept),
    /// The table could not be read.
    Failed(StoreError),
}

/// Where the last snapshot is.
#[derive(Debug, Clone, Default)]
pub struct Snapshots {
    /// A file of this machine.
    pub file: Option<PathBuf>,
    /// How old one may be.
    pub max_age: Duration,
    /// Sibling replicas.
    pub peers: Peers,
}

const RETRY: Duration = Duration::from_secs(1);

/// At most one read of the table at a time, with a pause before each, and the search for a snapshot beside it.
pub struct Loader {
    store: Store,
    snapshots: Snapshots,
    every: Duration,
    foreign: Duration,
    heartbeat: Duration,
    hurry: Arc<Notify>,
    wiped: Arc<Notify>,
    alarm: Alarm,
    /// Each tells whether somebody was seen to empty the table.
    pauses: JoinSet<bool>,
    reads: JoinSet<Result<(FullRead, bool), StoreError>>,
    searches: JoinSet<Option<Kept>>,
    create_table: bool,
    read: bool,
    failed: bool,
}

impl Loader {
    /// Begins the first read; `wiped` tells that somebody empties the table.
    pub fn new(store: Store, options: &Options, wiped: Arc<Notify>) -> Self {
        let mut loader = Self {
            store,
            snapshots: options.snapshots.clone(),
            every: options.full_read,
            // A row that nobody here hears lives by its expiry, so it must be read anew well before that.
            foreign: options.full_read.min(options.leases.legacy / 4),
            heartbeat: options.leases.heartbeat(),
            hurry: Arc::default(),
            wiped,
            alarm: Alarm::default(),
            pauses: JoinSet::new(),
            reads: JoinSet::new(),
            searches: JoinSet::new(),
            create_table: options.create_table,
            read: false,
            failed: false,
        };
        loader.begin();
        loader
    }

    /// Something was missed: the next read begins at once.
    pub fn hurry(&self) {
        self.hurry.notify_one();
    }

    /// The last read lacked so many rows that had been there.
    pub fn missed(&mut self, rows: usize) {
        self.alarm = self.alarm.after(rows);
    }

    /// What comes next. After a read, let the pause before the next one begin with [`Self::again`].
    pub async fn next(&mut self) -> Loaded {
        loop {
            let joined = tokio::select! {
                Some(pause) = self.pauses.join_next() => {
                    if pause.unwrap_or(false) {
                        self.alarm = Alarm::raised();
                    }
                    Loaded::Due
                }
                Some(read) = self.reads.join_next() => match read {
                    Ok(Ok((read, created))) => {
                        self.failed = false;
                        let wiped = !self.read && !created && !read.meta && read.is_empty();
                        self.read = true;
                        if wiped {
                            self.search();
                        }
                        Loaded::Read { read, wiped }
                    }
                    Ok(Err(error)) => {
                        self.failed = true;
                        if !self.read {
                            self.search();
                        }
                        Loaded::Failed(error)
                    }
                    Err(error) => {
                        self.failed = true;
                        Loaded::Failed(StoreError::away("Scan", error.to_string()))
                    }
                },
                Some(found) = self.searches.join_next() => match found {
                    Ok(Some(kept)) => Loaded::Kept(kept),
                    _ => continue,
                },
            };
            return joined;
        }
    }

    /// The pause before the next read begins, unless there is one or a read is on its way. One that failed is made again
    /// soon: perhaps it was asked for because something was missed.
    pub fn again(&mut self, foreign_rows: bool) {
        if !self.reads.is_empty() || !self.pauses.is_empty() {
            return;
        }
        let every = if foreign_rows { self.foreign } else { self.every };
        let pause = match (self.failed, self.alarm.rings()) {
            (true, _) => RETRY,
            (_, true) => self.heartbeat / alarm::A_HEARTBEAT,
            _ => every.mul_f64(0.9 + 0.2 * fastrand::f64()),
        };
        let (hurry, wiped) = (self.hurry.clone(), self.wiped.clone());
        self.pauses.spawn(async move {
            tokio::select! {
                biased;
                () = wiped.notified() => true,
                () = hurry.notified() => false,
                () = sleep(pause) => false,
            }
        });
    }

    /// Begins a read.
    pub fn begin(&mut self) {
        let store = self.store.clone();
        if self.read {
            self.reads.spawn(later_read(store));
        } else {
            self.reads.spawn(first_read(store, self.create_table));
        }
    }

    fn search(&mut self) {
        if self.searches.is_empty() {
            self.searches.spawn(search(self.snapshots.clone()));
        }
    }
}

/// The freshest snapshot that is young enough.
async fn search(snapshots: Snapshots) -> Option<Kept> {
    let Snapshots { file, max_age, peers } = snapshots;
    let own = async {
        let file = file?;
        let read = move || keepsake::read(&file, max_age, Timestamp::now());
        match spawn_blocking(read).await.ok()? {
            Ok(kept) => kept,
            Err(error) => {
                tracing::warn!(%error, "the snapshot on disk is of no use");
                None
            }
        }
    };
    let (own, sibling) = tokio::join!(own, keepsake::fetch(&peers));
    let sibling = sibling.filter(|kept| Timestamp::now().since(kept.taken) <= max_age);
    [own, sibling].into_iter().flatten().max_by_key(|kept| kept.taken)
}

/// The read that makes the registry ready. A table that was just created bears our mark, so its emptiness is believed.
async fn first_read(store: Store, create_table: bool) -> Result<(FullRead, bool), StoreError> {
    let created = create_table && store.create_table().await?;
    if created {
        tracing::info!("table created");
    }
    Ok((store.full_read().await?, created))
}

async fn later_read(store: Store) -> Result<(FullRead, bool), StoreError> {
    let read = store.full_read().await?;
    if !read.meta
        && let Err(error) = store.write_meta().await
    {
        tracing::warn!(%error, "the table could not be marked as ours");
    }
    Ok((read, false))
}
