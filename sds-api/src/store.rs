//! The store: which calls the registry makes, and what each promises. One implementation, DynamoDB; a laptop runs
//! the same calls against an emulator in this process (`embedded`), so there is no second store to drift.
//!
//! - Every write is one conditional update that decides a race by (incarnation, seq) and tells, when refused, what
//!   stands there instead. `rev` is made by the store and rises with every write. No condition reads a clock.
//! - Deregistering leaves a tombstone for 24 h, longer than any process or request can be paused, so that a late
//!   writer finds something to lose against.
//! - A full read is complete or an error; rows that cannot be read are named and left out, never fatal.
//! - Calls made for a request answer within [`IN_REQUEST`]: an old Envoy gives up after 1 s.

mod batch;
mod calls;
mod connect;
mod connections;
mod dynamodb;
#[cfg(feature = "embedded")]
pub mod embedded;
mod expression;
mod full;
pub mod item;
mod replicas;
mod resolve;
mod table;
#[cfg(feature = "embedded")]
#[cfg(test)]
mod tests;
mod update;

use std::time::Duration;

pub use calls::failed;
pub use connect::{connect, lean, no_region};
pub use connections::Connections;
pub use dynamodb::{KEEP, Store};

use crate::instance::Row;

/// The longest that store calls may hold up a request.
pub const IN_REQUEST: Duration = Duration::from_millis(800);

/// A call that brought no answer to work with.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{call} failed: {cause}")]
pub struct StoreError {
    /// The API call.
    pub call: &'static str,
    /// The service's or the connection's words: for logs, not for answers.
    pub cause: String,
    /// What kind of trouble it is.
    pub kind: Trouble,
}

/// Kinds of trouble with the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It did not answer, or said that it is in trouble itself; whether a write was made is unknown.
    Away,
    /// It asks for fewer calls; nothing was done.
    Throttled,
    /// It answers, but not us: no such table, no permission, a request that it does not take; nothing was done.
    Refused,
}

impl StoreError {
    /// Nothing was heard of it.
    pub fn away(call: &'static str, cause: impl Into<String>) -> Self {
        Self { call, cause: cause.into(), kind: Trouble::Away }
    }
}

/// What became of a conditional write.
#[derive(Debug)]
pub enum Write {
    /// The row as it stands now.
    Done(Row),
    /// The condition failed because of what stands there.
    Refused {
        /// The row, if it could be read.
        row: Option<Row>,
        /// Its place in the order, if that at least could be read: enough to overtake a row that cannot be served.
        at: Option<sds_types::Sequence>,
    },
}

/// What became of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadWrite {
    /// It stands where the one before stood.
    Done,
    /// It stands where none stood: it is the first one, or somebody emptied the table.
    Anew,
    /// A later one stands there.
    Refused,
}

/// The whole table at one time.
#[derive(Debug, Default)]
pub struct FullRead {
    /// Every row that could be read, tombstones and foreign ones too.
    pub rows: Vec<Row>,
    /// How many of them another registry wrote, without incarnations.
    pub foreign: usize,
    /// Rows that cannot be served: key and reason.
    pub bad: Vec<item::BadRow>,
    /// Whether our mark of a known table is there.
    pub meta: bool,
}

impl FullRead {
    /// A table without a single row of anybody's.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.bad.is_empty()
    }
}
