//! What a request to register means, given what is known of its ip:port: news that must be written, or only a sign
//! of life. Most requests are signs of life, and those never touch the store.

mod legacy;

use sds_types::Sequence;

use super::fold::Known;
use crate::instance::{Content, Status};

pub use legacy::{Said, Unsaid, legacy, next_incarnation};

/// What to do with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing changed: a heartbeat.
    Heard,
    /// A heartbeat of a row that the store lacks, or has in an older state: to be written again, but heard if that fails.
    Rewrite(Sequence),
    /// To be written at this place in the order; the store's condition has the last word.
    Write(Sequence),
    /// A legacy client speaks for an instance whose sidecar is alive: answered as success, changes nothing.
    Ignored,
}

/// Judges a sidecar's PUT or drain.
pub fn native(known: Option<&Known>, at: Sequence, status: Status, content: &Content) -> Verdict {
    let lost = |known: &Known| known.row.registration().is_some_and(|standing| standing.lost);
    match known {
        Some(known) if is_heartbeat(known, at, status, content) => {
            if known.dirty || known.owed || lost(known) {
                Verdict::Rewrite(at)
            } else {
                Verdict::Heard
            }
        }
        _ => Verdict::Write(at),
    }
}

/// Whether a sidecar's request says nothing that is not known. Nothing of the same incarnation ends a drain, so on a
/// draining row any request of it only keeps the row alive.
fn is_heartbeat(known: &Known, at: Sequence, status: Status, content: &Content) -> bool {
    is_life(known, at)
        && known.row.registration().is_some_and(|standing| {
            standing.status == Status::Draining || (standing.status == status && *standing.content == *content)
        })
}

/// Whether a request is a sign of life of what stands there, whatever else it says.
pub fn is_life(known: &Known, at: Sequence) -> bool {
    known.row.at.incarnation == at.incarnation && known.row.registration().is_some()
}
