//! What a round of the reader means for what is believed.
//!
//! A round that failed half-way still brings rows, and they are taken; but no lease runs in it, nor while this replica cannot
//! tell the others whom it hears: who is blind or mute finds nobody dead.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use super::{
    fold::{Fold, Source, Swept},
    hearers::Hearer,
    pages::Page,
};
use crate::{
    clock::Timestamp,
    instance::{Key, Row},
    replica::{InstanceHash, ReplicaId},
    store::StoreError,
};

/// What one round brought.
#[derive(Debug, Default)]
pub struct Round {
    /// Since the end of the one before.
    pub elapsed: Duration,
    /// When the headers were asked for.
    pub began: Option<Instant>,
    /// Of which draining instances all clients of each replica know.
    pub seen: HashMap<ReplicaId, Vec<InstanceHash>>,
    /// The other replicas: who, its beat, whether it has stopped.
    pub beats: Vec<(ReplicaId, u64, bool)>,
    /// Announced rows, and those in doubt.
    pub rows: Vec<Row>,
    /// Who announced them: it heard them, not this replica.
    pub tellers: HashMap<Key, ReplicaId>,
    /// Which were in doubt.
    pub doubted: Vec<Key>,
    /// Whom the others heard, each with the beat that its header has come to.
    pub pages: Vec<(ReplicaId, u64, Page)>,
    /// Announcements were missed, or the table was wiped.
    pub full_read: bool,
    /// Why it is not complete.
    pub failed: Option<StoreError>,
}

/// What it changed.
#[derive(Debug, Default)]
pub struct Folded {
    /// What the time that passed brought, if it counts.
    pub swept: Option<Swept>,
    /// Writes of this replica that turn out to have been made: the others may have looked too early.
    pub found: Vec<Key>,
}

impl Round {
    /// Takes it in.
    pub fn fold(self, fold: &mut Fold, mute: bool, wall: Timestamp) -> Folded {
        let mut found = Vec::new();
        for (id, beat, bye) in &self.beats {
            fold.replica(id, *beat, *bye);
        }
        for row in self.rows {
            let key = self.doubted.contains(&row.key).then(|| row.key.clone());
            let by = self.tellers.get(&row.key).map_or(Hearer::SELF, |id| fold.hearer(id));
            if fold.row(row, Source::Announced(by), wall) {
                found.extend(key);
            }
        }
        for (id, beat, page) in &self.pages {
            fold.page(id, *beat, page, wall);
        }
        let swept = (self.failed.is_none() && !mute).then(|| fold.pass(self.elapsed, wall));
        Folded { swept, found }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::lease::Leases, *};
    use crate::{
        instance::{Gone, Origin, Registration, Standing, Status},
        store::StoreError,
    };

    const LEASES: Leases =
        Leases { native: Duration::from_secs(30), legacy: Duration::from_secs(120), hold: Duration::from_secs(3600) };

    #[test]
    fn only_a_round_that_saw_all_and_can_tell_lets_leases_run() {
        let mut fold = Fold::new(LEASES);
        let mut ran = |failed: bool, mute| {
            let before = fold.lease_now();
            let failed = failed.then(|| StoreError::away("Query", "cut"));
            let round = Round { elapsed: Duration::from_secs(1), failed, ..Round::default() };
            round.fold(&mut fold, mute, Timestamp::now());
            fold.lease_now() > before
        };
        assert_eq!([ran(false, false), ran(true, false), ran(false, true)], [true, false, false]);
    }

    /// An announced registration; how long it is served while its teller is frozen and everybody else is well.
    fn served_for(tellers: HashMap<Key, ReplicaId>, teller: &ReplicaId) -> u64 {
        let mut fold = Fold::new(LEASES);
        let key = Key { service: "web".parse().unwrap(), endpoint: "10.0.0.1:80".parse().unwrap() };
        let at = sds_types::Sequence { incarnation: 1, seq: 1 };
        let registration = Registration {
            status: Status::Healthy,
            content: std::sync::Arc::default(),
            origin: Origin::Native,
            lost: false,
            expire_time: u64::MAX,
        };
        let row = Row { key: key.clone(), at, rev: 1, standing: Standing::In(registration), operator: None };
        let round = Round { rows: vec![row], tellers, beats: vec![(teller.clone(), 1, false)], ..Round::default() };
        round.fold(&mut fold, false, Timestamp::now());
        let second = || Round { elapsed: Duration::from_secs(1), ..Round::default() };
        (0..100)
            .take_while(|_| second().fold(&mut fold, false, Timestamp::now()).swept.unwrap().silent.is_empty())
            .count() as u64
    }

    #[test]
    fn who_announced_is_who_heard_so_its_freeze_is_forgiven() {
        let teller = ReplicaId::random();
        let key = Key { service: "web".parse().unwrap(), endpoint: "10.0.0.1:80".parse().unwrap() };
        let plain = served_for(HashMap::new(), &teller);
        let forgiven = served_for(HashMap::from([(key, teller.clone())]), &teller);
        assert!((29..=31).contains(&plain) && (44..=46).contains(&forgiven), "{plain} {forgiven}");
    }

    #[test]
    fn a_write_of_unknown_outcome_that_was_made_is_told_once() {
        let mut fold = Fold::new(LEASES);
        let key = Key { service: "web".parse().unwrap(), endpoint: "10.0.0.1:80".parse().unwrap() };
        let at = sds_types::Sequence { incarnation: 1, seq: 1 };
        let row = Row { key: key.clone(), at, rev: 1, standing: Standing::Gone(Gone::Stopped), operator: None };
        let mut found = |doubted| {
            let round = Round { rows: vec![row.clone()], doubted, ..Round::default() };
            round.fold(&mut fold, false, Timestamp::now()).found
        };
        assert_eq!([found(vec![key.clone()]), found(vec![key.clone()])], [vec![key.clone()], vec![]]);
    }
}
