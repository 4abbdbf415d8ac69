use super::*;
use std::sync::Arc;

use super::super::snapshot::{Instance, Snapshot};
use crate::instance::{Gone, Origin, Registration, Standing};

mod away;
mod ecs;
mod legacy;
mod loss;
mod operator;
mod replicas;

const LEASES: Leases =
    Leases { native: Duration::from_secs(30), legacy: Duration::from_secs(120), hold: Duration::from_secs(3600) };

fn now() -> Now {
    Now { wall: Timestamp::now(), mono: Duration::ZERO }
}

fn key(n: u8) -> Key {
    Key { service: "web".parse().unwrap(), endpoint: format!("10.0.0.{n}:80").parse().unwrap() }
}

fn at(incarnation: u64, seq: u64) -> Sequence {
    Sequence { incarnation, seq }
}

fn live(n: u8, at: Sequence, rev: u64, status: Status) -> Row {
    let registration = Registration {
        status,
        content: Arc::default(),
        origin: Origin::Native,
        lost: false,
        expire_time: Timestamp::now().plus(Duration::from_secs(86400)).seconds(),
    };
    Row { key: key(n), at, rev, standing: Standing::In(registration), operator: None }
}

fn lost(row: Row) -> Row {
    let Standing::In(registration) = row.standing else { panic!("a tombstone cannot be lost") };
    Row { rev: row.rev + 1, standing: Standing::In(Registration { lost: true, ..registration }), ..row }
}

fn tombstone(n: u8, at: Sequence, rev: u64) -> Row {
    Row { key: key(n), at, rev, standing: Standing::Gone(Gone::Deregistered), operator: None }
}

/// A fold with what it published last; the tests read as what happens to it, line by line.
struct Story {
    fold: Fold,
    seen: Snapshot,
}

impl Story {
    fn new() -> Self {
        Self { fold: Fold::new(LEASES), seen: Snapshot::default() }
    }

    fn row(&mut self, row: Row, source: Source) -> &mut Self {
        self.fold.row(row, source, Timestamp::now());
        self
    }

    fn full_read(&mut self, rows: Vec<Row>, source: Source) -> &mut Self {
        self.fold.read_begins();
        self.fold.read(rows, source, Timestamp::now());
        self
    }

    fn put(&mut self, n: u8, at: Sequence, status: Status) -> Verdict {
        self.fold.native(&key(n), at, status, &Content::default(), now())
    }

    fn pass(&mut self, seconds: u64) -> &mut Self {
        for _ in 0..seconds * 2 {
            self.fold.pass(Duration::from_millis(500), Timestamp::now());
        }
        self
    }

    /// The last numbers of the addresses in service, and whether the version moved since the last look.
    fn served(&mut self) -> (Vec<u8>, bool) {
        let version = |snapshot: &Snapshot| snapshot.services.get("web").map(|service| service.version);
        let before = version(&self.seen);
        if let Some(snapshot) = self.fold.publish(&self.seen, Timestamp::now()) {
            self.seen = snapshot;
        }
        let instances = self.seen.services.get("web").map_or(&[][..], |service| &service.instances);
        let last = |i: &Instance| i.endpoint.ip().to_string().rsplit('.').next().unwrap().parse().unwrap();
        (instances.iter().map(last).collect(), version(&self.seen) != before)
    }
}

#[test]
fn a_heartbeat_keeps_the_lease_and_moves_nothing() {
    let mut story = Story::new();
    story.row(live(1, at(5, 1), 1, Status::Healthy), Source::Written);
    assert_eq!(story.served(), (vec![1], true));
    for seq in 2..8 {
        story.pass(20);
        assert_eq!(story.put(1, at(5, seq), Status::Healthy), Verdict::Heard);
        assert_eq!(story.served(), (vec![1], false));
    }
    assert_eq!(story.pass(29).served(), (vec![1], false));
    assert_eq!(story.pass(2).served(), (vec![], true));
}

#[test]
fn a_repeated_request_is_no_new_sign_of_life() {
    let mut story = Story::new();
    story.row(live(1, at(5, 1), 1, Status::Healthy), Source::Written).pass(20);
    for _ in 0..3 {
        assert_eq!(story.put(1, at(5, 1), Status::Healthy), Verdict::Heard);
    }
    assert_eq!(story.pass(11).served().0, Vec::<u8>::new());
}

#[test]
fn a_pause_of_the_replica_kills_nobody() {
    let mut story = Story::new();
    story.row(live(1, at(5, 1), 1, Status::Healthy), Source::Written);
    story.fold.pass(Duration::from_secs(3600), Timestamp::now());
    assert_eq!(story.served().0, [1]);
}

#[test]
fn a_silent_instance_returns_with_its_next_heartbeat() {
    let mut story = Story::new();
    let row = live(1, at(5, 1), 1, Status::Healthy);
    story.row(row.clone(), Source::Written).pass(31);
    assert_eq!(story.served().0, Vec::<u8>::new());
    assert_eq!(story.put(1, at(5, 2), Status::Healthy), Verdict::Heard);
    assert_eq!(story.served().0, [1]);
    // Once the hint stands in the store, the heartbeat has to take it away.
    story.row(lost(row), Source::Read);
    assert_eq!(story.put(1, at(5, 3), Status::Healthy), Verdict::Rewrite(at(5, 3)));
    assert_eq!(story.served().0, [1]);
}

#[test]
fn late_writes_change_nothing() {
    let mut story = Story::new();
    story.row(tombstone(1, at(5, 9), 4), Source::Written).row(live(1, at(5, 8), 3, Status::Healthy), Source::Written);
    assert_eq!(story.served().0, Vec::<u8>::new());
    story.row(live(1, at(4, 99), 99, Status::Healthy), Source::Written);
    assert_eq!(story.served().0, Vec::<u8>::new());
    story.row(live(1, at(6, 1), 5, Status::Healthy), Source::Written);
    assert_eq!(story.served().0, [1]);
}

#[test]
fn a_write_counts_as_life_also_when_a_refused_request_told_of_it_first() {
    let mut story = Story::new();
    let row = live(1, at(5, 1), 1, Status::Healthy);
    assert_eq!(story.row(row.clone(), Source::Read).served().0, Vec::<u8>::new());
    assert_eq!(story.row(row.clone(), Source::Written).served().0, [1]);
    // Told twice, it is still one sign of life.
    assert_eq!(story.pass(20).row(row, Source::Written).pass(11).served().0, Vec::<u8>::new());
}

#[test]
fn only_the_first_read_takes_rows_for_alive() {
    let dead = lost(live(2, at(5, 1), 1, Status::Healthy));
    let rows = vec![live(1, at(5, 1), 1, Status::Healthy), dead, tombstone(3, at(5, 1), 1)];
    let mut story = Story::new();
    assert_eq!(story.full_read(rows.clone(), Source::Start).served().0, [1]);
    assert_eq!(story.pass(31).served().0, Vec::<u8>::new());
    assert_eq!(story.full_read(rows, Source::Read).served().0, Vec::<u8>::new());
    assert_eq!(story.full_read(vec![live(4, at(5, 1), 1, Status::Healthy)], Source::Read).served().0, Vec::<u8>::new());
    assert_eq!(story.put(4, at(5, 2), Status::Healthy), Verdict::Heard);
    assert_eq!(story.served().0, [4]);
}

#[test]
fn an_empty_read_removes_nobody_and_the_next_heartbeat_writes() {
    let mut story = Story::new();
    story.row(live(1, at(5, 1), 7, Status::Healthy), Source::Written);
    assert_eq!(story.full_read(vec![], Source::Read).served().0, [1]);
    assert_eq!(story.put(1, at(5, 2), Status::Healthy), Verdict::Rewrite(at(5, 2)));
    // The table counts anew, here below what is known.
    story.row(live(1, at(5, 2), 2, Status::Healthy), Source::Written);
    assert_eq!(story.put(1, at(5, 3), Status::Healthy), Verdict::Heard);
}

#[test]
fn what_the_store_took_for_a_row_that_it_lost_is_served() {
    let mut story = Story::new();
    story.row(live(1, at(1000, 1), 7, Status::Healthy), Source::Written);
    story.put(1, at(1000, 9), Status::Healthy);
    story.full_read(vec![], Source::Read);
    // The store has nothing to compare with, so an older incarnation came in.
    story.row(live(1, at(500, 1), 9, Status::Healthy), Source::Written);
    assert_eq!(story.served().0, [1]);
    assert_eq!(story.put(1, at(500, 2), Status::Healthy), Verdict::Heard);
    assert_eq!(story.served().0, [1]);
}

#[test]
fn who_is_silent_and_absent_is_forgotten() {
    let mut story = Story::new();
    story.row(live(1, at(5, 1), 1, Status::Healthy), Source::Written).pass(31);
    story.full_read(vec![], Source::Read);
    assert!(story.fold.known(&key(1)).is_none());
    assert!(story.fold.services.is_empty());
}

#[test]
fn a_heartbeat_is_heard_also_when_the_store_must_be_told_again() {
    let mut story = Story::new();
    story.row(live(1, at(5, 1), 1, Status::Healthy), Source::Written);
    story.full_read(vec![], Source::Read).pass(20);
    // The write that this asks for may fail, with the store away; the sidecar lives all the same.
    assert_eq!(story.put(1, at(5, 2), Status::Healthy), Verdict::Rewrite(at(5, 2)));
    assert_eq!(story.pass(20).served().0, [1]);
}

#[test]
fn after_a_write_of_unknown_outcome_the_store_is_asked() {
    let mut story = Story::new();
    story.row(live(1, at(5, 1), 1, Status::Healthy), Source::Written);
    story.fold.doubt(&key(1));
    assert_eq!(story.put(1, at(5, 2), Status::Healthy), Verdict::Rewrite(at(5, 2)));
}

#[test]
fn a_row_written_during_a_read_is_not_missed_by_it() {
    let mut story = Story::new();
    story.fold.read_begins();
    story.row(live(1, at(5, 1), 1, Status::Healthy), Source::Written);
    story.row(tombstone(2, at(5, 1), 1), Source::Written);
    story.fold.read(vec![], Source::Read, Timestamp::now());
    assert_eq!(story.put(1, at(5, 2), Status::Healthy), Verdict::Heard);
    assert!(story.fold.known(&key(2)).is_some());
    // The next read, that began later, has the last word: the collected tombstone is forgotten.
    story.full_read(vec![], Source::Read);
    assert!(story.fold.known(&key(2)).is_none());
}

#[test]
fn a_drain_ends_only_with_a_new_incarnation() {
    let mut story = Story::new();
    story.row(live(1, at(5, 2), 2, Status::Draining), Source::Written);
    assert_eq!(story.put(1, at(5, 3), Status::Healthy), Verdict::Heard);
    assert_eq!(story.put(1, at(6, 1), Status::Healthy), Verdict::Write(at(6, 1)));
}

#[test]
fn a_row_near_its_collection_is_refreshed_once() {
    let day = Duration::from_secs(86400);
    let mut story = Story::new();
    story.row(live(1, at(5, 1), 1, Status::Healthy), Source::Written);
    let later = Timestamp::now().plus(day / 2);
    assert_eq!(story.fold.refresh(day * 2 / 3, day, later).len(), 1);
    assert_eq!(story.fold.refresh(day * 2 / 3, day, later).len(), 0);
}

#[test]
fn a_version_is_the_same_for_ever() {
    let mut story = Story::new();
    story.row(live(1, at(5, 1), 1, Status::Healthy), Source::Written).served();
    // A replica of another release must come to the same version, or each failover resends everything.
    let version = story.seen.services["web"].version;
    assert_eq!(version.to_string(), "45d111576075bfcc");
    assert!(version.is("45d111576075bfcc") && !version.is("45d111576075bfcd") && !version.is(""));
}
