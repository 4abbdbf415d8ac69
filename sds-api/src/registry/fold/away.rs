//! While the store is away: what leaves, leaves this replica's answers at once, and is kept to be written first on its
//! return. Only what takes traffic from an instance may be owed; what adds must be in the store before it is believed.

use sds_types::Sequence;

use super::{Fold, InstanceHash, Known, rows_insert};
use crate::instance::{Content, Gone, Key, Registration, Row, Standing, Status};

/// How many instances may be owed; one change each.
const OWED: usize = 10_000;

/// What became of a change that the store did not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owing {
    /// In these answers, and owed to the store.
    Kept,
    /// Something newer stands there.
    Superseded(Sequence),
    /// Not to be believed before the store has it.
    Refused,
}

impl Fold {
    /// An instance says that it is unfit or leaving.
    pub fn owe_status(&mut self, key: &Key, at: Sequence, status: Status, content: &Content) -> Owing {
        if status == Status::Healthy {
            return Owing::Refused;
        }
        let Some(known) = self.known(key).filter(|known| known.row.at.incarnation == at.incarnation) else {
            return Owing::Refused;
        };
        let (Some(standing), true) = (known.row.registration(), known.served) else {
            return Owing::Superseded(known.row.at);
        };
        // A repeat, or a late word of one that drains.
        if at <= known.row.at || (standing.status == Status::Draining && status != Status::Draining) {
            return if known.owed { Owing::Kept } else { Owing::Refused };
        }
        let standing = Registration { status, content: content.clone().into(), ..standing.clone() };
        let row = Row { at, standing: Standing::In(standing), ..known.row.clone() };
        self.owe(row)
    }

    /// An instance has left.
    pub fn owe_goodbye(&mut self, key: &Key, at: Sequence, why: Gone) -> Owing {
        let standing = Standing::Gone(why);
        let row = match self.known(key) {
            Some(known) if known.row.at.incarnation > at.incarnation => return Owing::Superseded(known.row.at),
            Some(known) => Row { at: at.max(known.row.at), standing, ..known.row.clone() },
            None => Row { key: key.clone(), at, rev: 0, standing, operator: None },
        };
        self.owe(row)
    }

    fn owe(&mut self, row: Row) -> Owing {
        if self.owed.len() >= OWED && !self.owed.contains(&row.key) {
            return Owing::Refused;
        }
        let (key, reads) = (row.key.clone(), self.reads);
        let (was_served, held, heard) =
            self.known(&key).map_or((false, false, None), |old| (old.served, old.held, old.heard));
        let served = was_served && row.registration().is_some();
        if was_served {
            self.changed.insert(key.service.clone());
        }
        let held = held && served;
        let hash = InstanceHash::of(&key, row.at.incarnation);
        if let Some(former) = self.known(&key).map(|old| old.hash).filter(|former| *former != hash) {
            self.by_hash.remove(&former);
        }
        rows_insert(
            &mut self.services,
            Known {
                hash,
                row,
                dirty: false,
                owed: true,
                served,
                held,
                runs: false,
                kept: false,
                overridden: false,
                reads,
                heard,
            },
        );
        self.owed.insert(key);
        Owing::Kept
    }

    /// What the store has yet to be told.
    pub fn owed(&self) -> Vec<Row> {
        self.owed.iter().filter_map(|key| self.known(key)).map(|known| known.row.clone()).collect()
    }

    /// How many rows that are.
    pub fn owes(&self) -> usize {
        self.owed.len()
    }

    /// What was owed is not wanted any more: the store has something newer that could not be read.
    pub fn forgive(&mut self, key: &Key) {
        self.owed.remove(key);
        if let Some(known) = self.known_mut(key) {
            (known.owed, known.dirty) = (false, true);
        }
    }
}
