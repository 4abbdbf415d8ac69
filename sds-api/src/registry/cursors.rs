//! How far this replica has read each other one: which rows and pages a look at the headers makes it want.
//!
//! - First sight of a replica is the baseline: its whole ring is new, its older pages are no evidence. If its ring is not all
//!   that it ever said, the whole table is read, unless this replica itself has just begun with that.
//! - Later, the numbers tell what is new since; a hole in them means that announcements were missed, and the whole table
//!   is read. So is it when this replica's own header is gone: somebody wiped the table.
//! - Nothing counts as read before all of it was: a round that fails half-way is made again.

use std::collections::HashMap;

use super::doubts::Doubted;
use crate::{
    instance::Key,
    replica::{Head, PageKey, ReplicaId, SLOTS},
};

/// How far one replica was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cursor {
    hseq: u64,
    ring_n: u64,
    beat: u64,
}

/// How far all were.
#[derive(Debug)]
pub struct Cursors {
    own: ReplicaId,
    own_seen: bool,
    read: HashMap<ReplicaId, Cursor>,
}

/// What a look at the headers asks for.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Rows that were announced, and those in doubt.
    pub keys: Vec<Key>,
    /// Who announced them.
    pub tellers: HashMap<Key, ReplicaId>,
    /// The first chunk of each flush.
    pub pages: Vec<PageKey>,
    /// Announcements were missed.
    pub full_read: bool,
    /// Every other replica: its beat, and whether it has stopped.
    pub beats: Vec<(ReplicaId, u64, bool)>,
    /// What this replica's own writes left in doubt.
    pub doubted: Doubted,
    own_seen: bool,
    next: Vec<(ReplicaId, Cursor)>,
}

impl Wanted {
    fn hear(&mut self, ring: impl Iterator<Item = (u64, Key)>, from: &ReplicaId) {
        for (_, key) in ring {
            self.tellers.insert(key.clone(), from.clone());
            self.keys.push(key);
        }
    }
}

impl Cursors {
    /// Nothing read yet.
    pub fn new(own: ReplicaId) -> Self {
        Self { own, own_seen: false, read: HashMap::new() }
    }

    /// What is new in these headers, and what is in doubt.
    pub fn look(&self, heads: Vec<Head>, doubted: Doubted) -> Wanted {
        let mut wanted = Wanted { keys: doubted.keys().cloned().collect(), doubted, ..Wanted::default() };
        for head in heads {
            if head.id == self.own {
                wanted.own_seen = true;
                continue;
            }
            let Head { id, hseq, beat, ring_n, ring, bye, seen: _ } = head;
            match self.read.get(&id) {
                None => {
                    // One that came while this one ran, and had more to say than a ring holds.
                    wanted.full_read |= self.own_seen && (ring.len() as u64) < ring_n;
                    wanted.hear(ring.into_iter(), &id);
                }
                Some(known) if hseq < known.hseq => continue,
                Some(known) => {
                    let new: Vec<_> = ring.into_iter().filter(|(n, _)| *n > known.ring_n).collect();
                    wanted.full_read |= (new.len() as u64) < ring_n.saturating_sub(known.ring_n);
                    wanted.hear(new.into_iter(), &id);
                    let from = known.beat.saturating_add(1).max(beat.saturating_sub(SLOTS - 1));
                    let page = |beat| PageKey { replica: id.clone(), beat, chunk: 0 };
                    wanted.pages.extend((from..=beat).map(page));
                }
            }
            wanted.beats.push((id.clone(), beat, bye));
            wanted.next.push((id, Cursor { hseq, ring_n, beat }));
        }
        wanted.full_read |= self.own_seen && !wanted.own_seen;
        wanted.keys.sort_unstable();
        wanted.keys.dedup();
        wanted
    }

    /// All that was wanted was read.
    pub fn done(&mut self, wanted: Wanted) {
        self.own_seen = wanted.own_seen;
        self.read.extend(wanted.next);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::doubts::Doubts, *};

    fn key(n: u64) -> Key {
        Key { service: "web".parse().unwrap(), endpoint: format!("10.0.0.1:{n}").parse().unwrap() }
    }

    fn head(id: &ReplicaId, hseq: u64, beat: u64, ring: &[u64]) -> Head {
        let ring: Vec<_> = ring.iter().map(|n| (*n, key(*n))).collect();
        Head { id: id.clone(), hseq, beat, ring_n: ring.last().map_or(0, |(n, _)| *n), ring, seen: vec![], bye: false }
    }

    fn looked(cursors: &mut Cursors, heads: &[Head]) -> (Vec<u16>, Vec<u64>, bool) {
        let wanted = cursors.look(heads.to_vec(), Doubted::default());
        let ports = wanted.keys.iter().map(|key| key.endpoint.port()).collect();
        let seen = (ports, wanted.pages.iter().map(|page| page.beat).collect(), wanted.full_read);
        cursors.done(wanted);
        seen
    }

    #[test]
    fn first_sight_is_the_baseline_and_later_only_what_is_new_counts() {
        let (own, other) = (ReplicaId::random(), ReplicaId::random());
        let mut cursors = Cursors::new(own);
        assert_eq!(looked(&mut cursors, &[head(&other, 5, 7, &[3, 4])]), (vec![3, 4], vec![], false));
        assert_eq!(looked(&mut cursors, &[head(&other, 6, 7, &[3, 4])]), (vec![], vec![], false));
        assert_eq!(looked(&mut cursors, &[head(&other, 8, 9, &[4, 5])]), (vec![5], vec![8, 9], false));
        assert_eq!(looked(&mut cursors, &[head(&other, 7, 8, &[4])]), (vec![], vec![], false), "an older header");
        assert_eq!(looked(&mut cursors, &[head(&other, 9, 99, &[])]).1, (84..=99).collect::<Vec<_>>(), "the slots");
    }

    #[test]
    fn what_is_in_doubt_is_looked_at() {
        let doubts = Doubts::default();
        doubts.add(key(7));
        assert_eq!(Cursors::new(ReplicaId::random()).look(Vec::new(), doubts.all()).keys, [key(7)]);
    }

    #[test]
    fn a_hole_in_the_numbers_asks_for_a_full_read() {
        let other = ReplicaId::random();
        let mut cursors = Cursors::new(ReplicaId::random());
        looked(&mut cursors, &[head(&other, 1, 1, &[1])]);
        assert_eq!(looked(&mut cursors, &[head(&other, 2, 1, &[3])]), (vec![3], vec![], true));
        assert_eq!(looked(&mut cursors, &[head(&other, 3, 1, &[3, 4])]), (vec![4], vec![], false));
    }

    #[test]
    fn first_sight_of_one_that_said_more_than_its_ring_holds_asks_for_a_full_read_unless_one_has_just_begun() {
        let (own, other) = (ReplicaId::random(), ReplicaId::random());
        let mut cursors = Cursors::new(own.clone());
        assert!(!looked(&mut cursors, &[head(&own, 1, 1, &[]), head(&other, 9, 9, &[8, 9])]).2);
        let (whole, trimmed) = (ReplicaId::random(), ReplicaId::random());
        assert!(!looked(&mut cursors, &[head(&own, 2, 2, &[]), head(&whole, 1, 1, &[1, 2])]).2);
        assert!(looked(&mut cursors, &[head(&own, 3, 3, &[]), head(&trimmed, 1, 1, &[8, 9])]).2);
    }

    #[test]
    fn each_announcement_has_its_teller() {
        let (one, other) = (ReplicaId::random(), ReplicaId::random());
        let wanted = Cursors::new(ReplicaId::random())
            .look(vec![head(&one, 1, 1, &[1]), head(&other, 1, 1, &[2])], Doubted::default());
        assert_eq!(wanted.tellers, HashMap::from([(key(1), one), (key(2), other)]));
    }

    #[test]
    fn a_wiped_table_shows_by_our_own_header() {
        let own = ReplicaId::random();
        let mut cursors = Cursors::new(own.clone());
        assert!(!looked(&mut cursors, &[]).2, "not written yet");
        assert!(!looked(&mut cursors, &[head(&own, 1, 1, &[])]).2);
        assert!(looked(&mut cursors, &[]).2);
        assert!(!looked(&mut cursors, &[]).2, "once is enough");
    }

    #[test]
    fn a_round_that_failed_is_made_again() {
        let other = ReplicaId::random();
        let mut cursors = Cursors::new(ReplicaId::random());
        looked(&mut cursors, &[head(&other, 1, 1, &[1])]);
        drop(cursors.look(vec![head(&other, 2, 2, &[1, 2])], Doubted::default()));
        assert_eq!(looked(&mut cursors, &[head(&other, 2, 2, &[1, 2])]), (vec![2], vec![2], false));
    }
}
