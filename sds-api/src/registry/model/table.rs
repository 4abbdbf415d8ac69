//! The table as the plan words it: each write's condition once more, in a few lines, against which the real code is run.
//! Every read here is strongly consistent; what makes life hard (latency, loss, lateness) is laid over it in `net`.

use std::collections::BTreeMap;

use sds_types::Sequence;

use crate::{
    instance::{Gone, Key, Override, Registration, Row, Standing, Status},
    replica::{Head, PageKey, ReplicaId, SLOTS},
    store::{HeadWrite, Write},
};

#[derive(Default)]
pub struct Table {
    pub rows: BTreeMap<Key, Row>,
    heads: BTreeMap<ReplicaId, Head>,
    pages: BTreeMap<(ReplicaId, u64, u16), Vec<u8>>,
    pub meta: bool,
}

impl Table {
    /// `attribute_not_exists(incarnation) OR incarnation < :i OR (incarnation = :i AND seq < :q AND
    /// attribute_not_exists(gone) AND (status <> DRAINING OR :status = DRAINING))`.
    pub fn register(&mut self, key: &Key, at: Sequence, new: &Registration, wall_ms: u64) -> Write {
        let takes = self.rows.get(key).is_none_or(|old| {
            let follows = old.registration().is_some_and(|standing| {
                old.at.seq < at.seq && (standing.status != Status::Draining || new.status == Status::Draining)
            });
            old.at.incarnation < at.incarnation || (old.at.incarnation == at.incarnation && follows)
        });
        if !takes {
            return self.refused(key);
        }
        self.put(key, at, Standing::In(Registration { lost: false, expire_time: u64::MAX, ..new.clone() }), wall_ms)
    }

    /// An upsert, if `attribute_not_exists(incarnation) OR incarnation <= :i`.
    pub fn deregister(&mut self, key: &Key, at: Sequence, why: Gone, wall_ms: u64) -> Write {
        if self.rows.get(key).is_some_and(|old| old.at.incarnation > at.incarnation) {
            return self.refused(key);
        }
        self.put(key, at, Standing::Gone(why), wall_ms)
    }

    /// `rev = :seen AND attribute_not_exists(gone)`.
    pub fn mark_lost(&mut self, read: &Row) -> Write {
        let Some(row) = self.rows.get_mut(&read.key).filter(|row| row.rev == read.rev) else {
            return self.refused(&read.key);
        };
        let Some(standing) = row.registration_mut() else { return self.refused(&read.key) };
        standing.lost = true;
        row.rev += 1;
        Write::Done(row.clone())
    }

    /// `attribute_exists(incarnation) AND attribute_not_exists(gone)`.
    pub fn set_override(&mut self, key: &Key, new: Option<Override>) -> Write {
        let Some(row) = self.rows.get_mut(key).filter(|row| row.registration().is_some()) else {
            return self.refused(key);
        };
        row.operator = new.map(Into::into);
        row.rev += 1;
        Write::Done(row.clone())
    }

    fn put(&mut self, key: &Key, at: Sequence, standing: Standing, wall_ms: u64) -> Write {
        let old = self.rows.get(key);
        let rev = old.map_or(wall_ms, |old| old.rev) + 1;
        let operator = old.and_then(|old| old.operator.clone());
        let row = Row { key: key.clone(), at, rev, standing, operator };
        self.rows.insert(key.clone(), row.clone());
        Write::Done(row)
    }

    fn refused(&self, key: &Key) -> Write {
        let row = self.rows.get(key).cloned();
        let at = row.as_ref().map(|row| row.at);
        Write::Refused { row, at }
    }

    /// `attribute_not_exists(hseq) OR hseq < :h`.
    pub fn write_head(&mut self, head: Head) -> HeadWrite {
        let stood = self.heads.get(&head.id);
        if stood.is_some_and(|old| old.hseq >= head.hseq) {
            return HeadWrite::Refused;
        }
        let write = if stood.is_some() { HeadWrite::Done } else { HeadWrite::Anew };
        self.heads.insert(head.id.clone(), head);
        write
    }

    pub fn heads(&self) -> Vec<Head> {
        self.heads.values().cloned().collect()
    }

    pub fn write_page(&mut self, key: PageKey, body: Vec<u8>) {
        self.pages.insert((key.replica, key.beat % SLOTS, key.chunk), body);
    }

    pub fn pages(&self, keys: &[PageKey]) -> Vec<(PageKey, Vec<u8>)> {
        let body = |key: &PageKey| self.pages.get(&(key.replica.clone(), key.beat % SLOTS, key.chunk)).cloned();
        keys.iter().filter_map(|key| Some((key.clone(), body(key)?))).collect()
    }

    pub fn rows(&self, keys: &[Key]) -> Vec<Row> {
        keys.iter().filter_map(|key| self.rows.get(key).cloned()).collect()
    }

    /// A page of a scan, and whether there is more.
    pub fn scan(&self, after: Option<&Key>, rows: usize) -> (Vec<Row>, bool) {
        let mut rest = self.rows.values().filter(|row| after.is_none_or(|after| row.key > *after));
        let page: Vec<_> = rest.by_ref().take(rows).cloned().collect();
        (page, rest.next().is_some())
    }
}
