//! Why a value was refused, in words for a person, and the bodies that carry it.

use serde::{Deserialize, Serialize};

/// A refused value: a stable id for programs, the field's name and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Invalid {
    /// Stable, CamelCase: `InvalidPort`.
    pub id: &'static str,
    /// The field's name in the request, dotted when nested: `locality.zone`.
    pub field: &'static str,
    /// What was wrong and what would be right; never text of a library, never raw control characters.
    pub reason: String,
}

impl Invalid {
    /// An error of `field`; the reason is made safe to print.
    pub fn new(id: &'static str, field: &'static str, reason: impl Into<String>) -> Self {
        Self { id, field, reason: reason.into() }
    }

    /// The same error under the name that the field has in another request.
    #[must_use]
    pub fn at(self, field: &'static str) -> Self {
        Self { field, ..self }
    }
}

/// A request's value as an error shows it: control characters escaped, at most 64 characters.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(64).flat_map(char::escape_debug).collect();
    if text.chars().nth(64).is_some() {
        shown.push('…');
    }
    shown
}

/// Where a registration stands in the order of all writes to its ip:port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Sequence {
    /// Ordered, new for each start of a sidecar.
    pub incarnation: u64,
    /// Rises by one with each request of an incarnation.
    pub seq: u64,
}

/// The body of every error of the native API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// Stable, CamelCase: `Superseded`.
    pub id: String,
    /// A sentence for people.
    pub reason: String,
    /// The request's field that was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// With `Superseded`: what stands at this ip:port instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<Sequence>,
}
