//! What replicas tell each other through the table: which rows one changed, and whom it heard.
//!
//! Each replica has one header row, polled by all others, that lists the rows it changed last (the ring) and counts the
//! pages of heartbeats that it has written (the beat). The header commits both: a page without it is not looked for. It also
//! names the draining instances of which all its clients know (drain receipts).

use std::{fmt, hash::Hasher};

use siphasher::sip::SipHasher24;

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

/// What names a registration in eight bytes: an ip:port of a service *and* its incarnation, so that nothing that is said of
/// a former tenant counts for the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceHash(u64);

impl InstanceHash {
    /// SipHash-2-4 with key 0 of service, 0, ip:port, 0, incarnation.
    pub fn of(key: &Key, incarnation: u64) -> Self {
        let mut hash = SipHasher24::new();
        hash.write(key.service.as_str().as_bytes());
        hash.write(&[0]);
        hash.write(key.endpoint.to_string().as_bytes());
        hash.write(&[0]);
        hash.write(&incarnation.to_be_bytes());
        Self(hash.finish())
    }

    /// As it is written, big-endian.
    pub fn number(self) -> u64 {
        self.0
    }
}

impl From<u64> for InstanceHash {
    fn from(number: u64) -> Self {
        Self(number)
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
    /// Draining instances that none of its clients sends anything to any more, as far as they said.
    pub seen: Vec<InstanceHash>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_the_same_for_ever() {
        let key = Key { service: "web".parse().unwrap(), endpoint: "10.0.0.1:80".parse().unwrap() };
        assert_eq!(InstanceHash::of(&key, 1).number(), 2_509_927_866_233_673_055);
    }
}
