//! What this replica's header says next, and what is told once it was written: the pure half of the herald.
//!
//! - Announcements that wait go into one header together, at most [`COMMIT`] of them. One that is numbered keeps its number
//!   until a header that holds it was written, however many tries that takes.
//! - A key is *untold* from its write until such a header; whoever speaks of it meanwhile waits for that too.
//! - Drain receipts are told as often as they change, whole each time.
//! - A flush that failed leaves its beat's number behind, so that no reader takes two pages for one.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::ring::{COMMIT, Ring};
use crate::{
    instance::Key,
    replica::{Head, InstanceHash, ReplicaId},
};

/// Keys that no header has told of yet: how many writes of each, and who waits until all of them are told.
#[derive(Debug)]
pub struct Untold<T>(HashMap<Key, Waiting<T>>);

/// Writes of one key, and those who wait until the others can know.
#[derive(Debug)]
struct Waiting<T> {
    writes: usize,
    told: Vec<T>,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self { writes: 0, told: Vec::new() }
    }
}

impl<T> Default for Untold<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> Untold<T> {
    /// One more write of this key.
    pub fn add(&mut self, key: Key) {
        self.0.entry(key).or_default().writes += 1;
    }

    /// Where to leave word for when all that was written of this key so far is told; nowhere if it is.
    pub fn waiting(&mut self, key: &Key) -> Option<&mut Vec<T>> {
        self.0.get_mut(key).map(|untold| &mut untold.told)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// So many writes of this key were told; who waited for the last of them.
    fn told(&mut self, key: &Key, writes: usize) -> Vec<T> {
        let Some(untold) = self.0.get_mut(key) else { return Vec::new() };
        untold.writes = untold.writes.saturating_sub(writes);
        if untold.writes > 0 {
            return Vec::new();
        }
        self.0.remove(key).map_or_else(Vec::new, |untold| untold.told)
    }
}

/// The header in the making.
#[derive(Debug)]
pub struct Voice<T> {
    id: ReplicaId,
    /// How long an announcement stays in the ring.
    keep: Duration,
    ring: Ring,
    hseq: u64,
    /// The number of the newest flush, and of the newest that a header told of.
    beats: (u64, u64),
    /// The newest announcement that a header told of.
    told: u64,
    /// In the order in which they came, without a number yet.
    queue: VecDeque<Key>,
    waiting: HashMap<Key, Waiting<T>>,
    /// In the ring, and in no header yet.
    numbered: BTreeMap<u64, (Key, Waiting<T>)>,
    /// A flush whose pages are written.
    flushed: Option<u64>,
    /// Drain receipts: those of now, and whether a header has told of them.
    seen: Arc<[InstanceHash]>,
    seen_told: bool,
    bye: bool,
    /// A header was written, so the next one has one to replace.
    stands: bool,
}

impl<T> Voice<T> {
    /// Nothing said yet; announcements stay in the ring for `keep`.
    pub fn new(id: ReplicaId, keep: Duration) -> Self {
        Self {
            id,
            keep,
            ring: Ring::default(),
            hseq: 0,
            beats: (0, 0),
            told: 0,
            queue: VecDeque::new(),
            waiting: HashMap::new(),
            numbered: BTreeMap::new(),
            flushed: None,
            seen: Arc::default(),
            seen_told: true,
            bye: false,
            stands: false,
        }
    }

    /// A change of this key is to be announced.
    pub fn announce(&mut self, key: Key, told: Option<T>) {
        let waiting = self.waiting.entry(key.clone()).or_default();
        if waiting.writes == 0 {
            self.queue.push_back(key);
        }
        waiting.writes += 1;
        waiting.told.extend(told);
    }

    /// A flush begins; its beat.
    pub fn begin_flush(&mut self, bye: bool) -> u64 {
        self.bye |= bye;
        self.beats.0 += 1;
        self.beats.0
    }

    /// All pages of this flush are written: the next header commits them.
    pub fn flushed(&mut self, beat: u64) {
        self.flushed = Some(beat);
    }

    /// These draining instances are known to all clients now; a header holds some thousands.
    pub fn seen(&mut self, mut seen: Vec<InstanceHash>) {
        const MOST: usize = 4096;
        seen.truncate(MOST);
        (self.seen, self.seen_told) = (seen.into(), false);
    }

    /// Whether there is something to say.
    pub fn is_due(&self) -> bool {
        !self.queue.is_empty() || !self.numbered.is_empty() || self.flushed.is_some() || !self.seen_told
    }

    /// How many announcements the next header has to tell again.
    pub fn untold(&self) -> usize {
        self.numbered.len()
    }

    /// The next header; `now` is of any monotonic clock.
    pub fn head(&mut self, now: Duration) -> Head {
        while self.numbered.len() < COMMIT
            && let Some(key) = self.queue.pop_front()
        {
            let waiting = self.waiting.remove(&key).unwrap_or_default();
            self.numbered.insert(self.ring.push(key.clone(), now), (key, waiting));
        }
        self.ring.trim(self.told, self.keep, now);
        self.hseq += 1;
        let flushed = self.flushed.take();
        Head {
            id: self.id.clone(),
            hseq: self.hseq,
            beat: flushed.unwrap_or(self.beats.1),
            ring_n: self.ring.newest(),
            ring: self.ring.entries(),
            seen: self.seen.to_vec(),
            // Only with its last flush is everything told.
            bye: self.bye && (flushed.is_some() || self.beats.0 == self.beats.1),
        }
    }

    /// Whether the table lost the header before the one that was now written, `anew` or over another: then somebody emptied it.
    pub fn was_lost(&mut self, anew: bool) -> bool {
        anew && std::mem::replace(&mut self.stands, true)
    }

    /// This header was written; who is to be told so.
    pub fn told(&mut self, head: &Head, untold: &mut Untold<T>) -> Vec<T> {
        (self.told, self.beats.1) = (head.ring_n, head.beat);
        self.seen_told |= head.seen[..] == self.seen[..];
        let mut told = Vec::new();
        for (key, waiting) in std::mem::take(&mut self.numbered).into_values() {
            told.extend(waiting.told);
            told.extend(untold.told(&key, waiting.writes));
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(port: u16) -> Key {
        Key { service: "web".parse().unwrap(), endpoint: format!("10.0.0.1:{port}").parse().unwrap() }
    }

    fn voice() -> (Voice<u8>, Untold<u8>) {
        (Voice::new(ReplicaId::random(), Duration::from_secs(10)), Untold::default())
    }

    #[test]
    fn a_key_is_told_when_all_its_writes_are() {
        let (mut voice, mut untold) = voice();
        for waiter in [1, 2] {
            untold.add(key(1));
            voice.announce(key(1), Some(waiter));
            untold.waiting(&key(1)).unwrap().push(10 + waiter);
        }
        let first = voice.head(Duration::ZERO);
        untold.add(key(1));
        voice.announce(key(1), Some(3));
        assert_eq!(voice.told(&first, &mut untold), [1, 2], "the third write is in no header yet");
        let second = voice.head(Duration::ZERO);
        assert_eq!(voice.told(&second, &mut untold), [3, 11, 12]);
        assert_eq!((untold.len(), second.ring_n, voice.is_due()), (0, 2, false));
    }

    #[test]
    fn what_no_header_told_is_told_with_the_next_one() {
        let (mut voice, mut untold) = voice();
        voice.announce(key(1), Some(1));
        drop(voice.head(Duration::ZERO));
        voice.announce(key(2), Some(2));
        let head = voice.head(Duration::from_secs(60));
        assert_eq!((head.hseq, head.ring), (2, vec![(1, key(1)), (2, key(2))]));
        assert_eq!(voice.told(&voice_head(2, 2), &mut untold), [1, 2]);
    }

    fn voice_head(hseq: u64, ring_n: u64) -> Head {
        Head { id: ReplicaId::random(), hseq, beat: 0, ring_n, ring: Vec::new(), seen: Vec::new(), bye: false }
    }

    #[test]
    fn a_header_that_should_have_replaced_one_and_did_not_tells_of_a_wiped_table() {
        let (mut voice, _) = voice();
        assert_eq!([true, false, true, false].map(|anew| voice.was_lost(anew)), [false, false, true, false]);
    }

    #[test]
    fn receipts_are_told_when_they_change_and_in_each_header() {
        let (mut voice, mut untold) = voice();
        let one = vec![InstanceHash::from(1)];
        voice.seen(one.clone());
        assert!(voice.is_due());
        let head = voice.head(Duration::ZERO);
        voice.seen(Vec::new());
        voice.told(&head, &mut untold);
        assert!(head.seen == one && voice.is_due(), "they changed meanwhile");
        let head = voice.head(Duration::ZERO);
        voice.told(&head, &mut untold);
        assert!(head.seen.is_empty() && !voice.is_due());
    }

    #[test]
    fn a_failed_flush_leaves_its_number_behind_and_goodbye_waits_for_the_last_one() {
        let (mut voice, mut untold) = voice();
        let failed = voice.begin_flush(false);
        assert_eq!(voice.head(Duration::ZERO).beat, 0);
        let last = voice.begin_flush(true);
        assert_eq!((failed, last), (1, 2));
        assert!(!voice.head(Duration::ZERO).bye, "its pages are not written");
        voice.flushed(last);
        let head = voice.head(Duration::ZERO);
        assert_eq!((head.beat, head.bye), (2, true));
        voice.told(&head, &mut untold);
        assert!(voice.head(Duration::ZERO).bye);
    }
}
