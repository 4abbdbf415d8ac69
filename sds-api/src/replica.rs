//! What replicas tell each other through the table: which rows one changed, and whom it heard.
//!
//! Each replica has one header row, polled by all others, that lists the rows it changed last (the ring) and counts the
//! pages of heartbeats that it has written (the beat). The header commits both: a page without it is not looked for.

use std::fmt;

use crate::instance::Key;

/// A replica: random, new at each start, so that a restart is never taken for a step back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId(String);

impl ReplicaId {
    /// A new one: sixteen hex digits.
    pub fn random() -> Self {
        Self(format!("{:016x}", fastrand::u64(..)))
    }

    /// Reads a table's key.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        fits.then(|| Self(text.to_owned()))
    }

    /// As the table has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A replica's header row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Whose.
    pub id: ReplicaId,
    /// Rises with each write of the header.
    pub hseq: u64,
    /// How many flushes of heartbeats are complete.
    pub beat: u64,
    /// The number of the newest announcement, 0 before the first.
    pub ring_n: u64,
    /// The newest announcements, by number, each with the row that changed; one that cannot be read is left out, which
    /// leaves a hole in the numbers.
    pub ring: Vec<(u64, Key)>,
    /// It has stopped, and everything that it heard is written.
    pub bye: bool,
}

/// Pages are written in turn to so many slots.
pub const SLOTS: u64 = 16;

/// Where a part of a flush lies.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PageKey {
    /// Who wrote it.
    pub replica: ReplicaId,
    /// Of which flush; the slot is this modulo [`SLOTS`].
    pub beat: u64,
    /// Its part, from 0.
    pub chunk: u16,
}
