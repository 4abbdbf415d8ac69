//! What one test plays on: a directory for its files, the programs it may start, and the logs of all it has started.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use anyhow::Context;
use tokio::process::Command;

use crate::{
    place,
    process::{Log, Process},
    programs::Programs,
};

/// The logs of all that was started on a stage; clones share them.
#[derive(Debug, Clone, Default)]
pub struct LogBook(Arc<Mutex<Vec<(String, Log)>>>);

impl LogBook {
    /// The end of each log.
    pub fn tails(&self) -> String {
        let logs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logs.iter().map(|(name, log)| format!("--- {name}\n{}\n", log.tail(40))).collect()
    }

    /// The first line with `needle` in any of them.
    pub fn find(&self, needle: &str) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().find_map(|(_, log)| log.find(needle))
    }

    /// A secret that one of the programs told.
    pub fn told(&self) -> Option<String> {
        let logs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logs.iter().find_map(|(name, log)| log.told().map(|told| format!("{name} told {told}")))
    }

    /// Starts a process whose log is kept in the book.
    pub fn spawn(&self, name: &str, command: Command) -> anyhow::Result<Process> {
        let process = Process::spawn(name, command)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((name.to_owned(), process.log()));
        Ok(process)
    }
}

/// One test's place.
#[derive(Debug)]
pub struct Stage {
    /// How the programs are started.
    pub programs: Programs,
    dir: PathBuf,
    logs: LogBook,
}

impl Stage {
    /// A new stage with an empty directory; `name` is for people.
    pub fn new(name: &str, programs: Programs) -> anyhow::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let unique = format!("{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = place::home().join("run").join(unique);
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        Ok(Self { programs, dir, logs: LogBook::default() })
    }

    /// A file of this stage.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The stage's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Starts a process whose log is kept in the stage's book.
    pub fn spawn(&self, name: &str, command: Command) -> anyhow::Result<Process> {
        self.logs.spawn(name, command)
    }

    /// The logs, also for when the stage is gone.
    pub fn log_book(&self) -> LogBook {
        self.logs.clone()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What cannot be removed now goes with `cargo clean`.
        drop(fs::remove_dir_all(&self.dir));
    }
}
