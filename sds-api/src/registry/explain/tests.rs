use std::{sync::Arc, time::Duration};

use sds_types::{Label, Sequence};

use super::*;
use crate::{
    instance::{Content, Key, Origin, Override, Registration, Row},
    registry::{
        fold::{Fold, Source},
        lease::Leases,
        snapshot::Snapshot,
    },
};

const LEASES: Leases =
    Leases { native: Duration::from_secs(30), legacy: Duration::from_secs(120), hold: Duration::from_secs(3600) };

fn wall() -> Timestamp {
    Timestamp::of_seconds(1_800_000_000)
}

fn key(n: usize) -> Key {
    Key { service: "web".parse().unwrap(), endpoint: format!("10.0.0.{n}:80").parse().unwrap() }
}

fn row(n: usize, status: Status) -> Row {
    let standing = Registration {
        status,
        content: Arc::new(Content { task_arn: Label::parse("task_arn", "task-1").unwrap(), ..Content::default() }),
        origin: Origin::Native,
        lost: false,
        expire_time: wall().seconds() + 60,
    };
    let at = Sequence { incarnation: 5, seq: 1 };
    Row { key: key(n), at, rev: 1, standing: Standing::In(standing), operator: None }
}

fn laid_over(row: Row, status: Status) -> Row {
    let said = Override {
        status: Some(status),
        weight: None,
        canary: None,
        reason: Label::parse("reason", "bad disk").unwrap(),
        who: Label::default(),
        until: wall().seconds() + 60,
        tenant: row.tenant(),
    };
    Row { operator: Some(Arc::new(said)), ..row }
}

/// A fold, and the first instance of it explained as it is answered.
struct World(Fold);

impl World {
    fn of(rows: impl IntoIterator<Item = Row>) -> Self {
        let mut fold = Fold::new(LEASES);
        for row in rows {
            fold.row(row, Source::Written, wall());
        }
        Self(fold)
    }

    fn pass(mut self, seconds: u64) -> Self {
        (0..seconds).for_each(|_| drop(self.0.pass(Duration::from_secs(1), wall())));
        self
    }

    fn explain(mut self, n: usize, fail_open: bool) -> (Explained, Snapshot) {
        // From nothing, as at a start: what is served does not depend on what was.
        let snapshot = self.0.publish(&Snapshot::default(), wall()).unwrap_or_default();
        let service = snapshot.services.get("web").map(Arc::as_ref);
        (explain(&self.0.facts(&key(n), wall()).unwrap(), service, fail_open, wall()), snapshot)
    }

    fn state(self) -> (State, String) {
        let explained = self.explain(1, true).0;
        (explained.state, explained.because)
    }
}

#[test]
fn how_an_instance_stands() {
    let healthy = || row(1, Status::Healthy);
    let told = World::of([healthy()]).pass(12).state();
    assert_eq!(told, (State::InService, "heard 12.0s ago, its lease is 30.0s".into()));
    let told = World::of([healthy()]).pass(22).state();
    assert_eq!(told, (State::InService, "heard 22.0s ago, overdue, its lease is 30.0s".into()));
    let told = World::of([healthy()]).pass(45).state();
    assert_eq!(told, (State::Silent, "silent: last heard 45.0s ago, its lease is 30.0s".into()));
    let held = World::of((1..=3).map(|n| row(n, Status::Healthy))).pass(130).state();
    assert_eq!(held.0, State::Held);
    assert!(held.1.starts_with("silent for 2m10s together with many others, held until"), "{}", held.1);
    let gone = Row { standing: Standing::Gone(Gone::Unhealthy), ..healthy() };
    let told = World::of([gone]).state();
    assert_eq!(told, (State::Gone, "deregistered: its owner left because the app stayed unfit".into()));
}

fn found(row: Row, source: Source) -> (State, String) {
    let mut fold = Fold::new(LEASES);
    fold.read_begins();
    fold.read(vec![row], source, wall());
    World(fold).state()
}

#[test]
fn what_was_only_found_is_silent_and_says_so() {
    let mut lost = row(1, Status::Healthy);
    lost.registration_mut().unwrap().lost = true;
    let (state, because) = found(lost, Source::Start);
    assert_eq!((state, because.contains("a replica marked it so")), (State::Silent, true), "{because}");
    let (state, because) = found(row(1, Status::Healthy), Source::Read);
    assert_eq!((state, because.contains("found by a repair read")), (State::Silent, true), "{because}");
}

#[test]
fn another_registrys_row_lives_by_its_own_time() {
    let foreign = |expire_time| {
        let mut row = row(1, Status::Healthy);
        row.at = Sequence { incarnation: 0, seq: 0 };
        row.registration_mut().unwrap().expire_time = expire_time;
        found(row, Source::Read)
    };
    let now = wall().seconds();
    assert_eq!(foreign(now + 60), (State::InService, "another registry's row: its expire_time is 60.0s ahead".into()));
    assert_eq!(foreign(now - 60), (State::Silent, "another registry's row: its expire_time passed 60.0s ago".into()));
}

#[test]
fn what_the_store_has_yet_to_be_told() {
    let mut world = World::of([row(1, Status::Healthy)]);
    world.0.owe_goodbye(&key(1), Sequence { incarnation: 5, seq: 2 }, Gone::Deregistered);
    assert_eq!(world.state(), (State::Gone, "deregistered: its owner left; the store is yet to be told".into()));
}

#[test]
fn an_operators_word_is_named_and_a_drain_beats_it() {
    let eds = |row| World::of([row]).explain(1, true).0.eds.because;
    let healthy = row(1, Status::Healthy);
    assert_eq!(eds(laid_over(healthy.clone(), Status::Unhealthy)), "unhealthy: an operator says so, bad disk");
    assert_eq!(eds(healthy), "healthy: its registrant says so");
    let drained = laid_over(row(1, Status::Draining), Status::Unhealthy);
    assert_eq!(eds(drained), "draining: its registrant leaves, which beats an operator's word");
}

/// One instance per letter, and why the first one is or is not in the v1 list.
fn v1_of(statuses: &str, fail_open: bool) -> (bool, String) {
    let explained = World::of(rows(statuses)).explain(1, fail_open).0;
    (explained.v1.listed, explained.v1.because)
}

fn rows(statuses: &str) -> impl Iterator<Item = Row> {
    statuses.bytes().enumerate().map(|(n, letter)| {
        let status = match letter {
            b'h' => Status::Healthy,
            b'u' => Status::Unhealthy,
            _ => Status::Draining,
        };
        row(n + 1, status)
    })
}

#[test]
fn the_rule_that_left_it_out_of_v1() {
    for (statuses, fail_open, listed, because) in [
        ("hu", true, true, "healthy"),
        ("uhh", true, false, "unhealthy, and 2 healthy are there"),
        ("dh", true, false, "draining, and 1 healthy is there"),
        ("uu", true, true, "fail-open: nobody is healthy, so all 2 unhealthy ones are listed"),
        ("uu", false, false, "unhealthy, and SDS_FAIL_OPEN=false lists the healthy alone"),
        ("duu", true, false, "draining, and fail-open lists the 2 unhealthy ones before it"),
        ("u", true, false, "a single unhealthy instance leaves the list, also when nobody is healthy"),
        ("ud", true, false, "a single unhealthy instance leaves the list, also when nobody is healthy"),
        ("du", true, true, "fail-open: nobody else is left, so the draining are listed"),
    ] {
        assert_eq!(v1_of(statuses, fail_open), (listed, because.to_owned()), "{statuses}");
    }
}

#[test]
fn it_says_of_every_answer_what_that_answer_says() {
    for statuses in ["h", "u", "d", "hh", "hu", "uu", "ud", "hud", "uud", "udd", "huud"] {
        for (fail_open, seconds) in [(true, 0), (false, 0), (true, 40)] {
            for n in 1..=statuses.len() {
                let (explained, snapshot) = World::of(rows(statuses)).pass(seconds).explain(n, fail_open);
                let service = snapshot.services.get("web");
                let served = service.is_some_and(|s| s.instances.iter().any(|i| i.endpoint == key(n).endpoint));
                let listed = service.is_some_and(|service| {
                    view::v1(service, fail_open).hosts.iter().any(|host| host.endpoint == key(n).endpoint)
                });
                let told = [explained.v1.listed, explained.eds.listed, explained.native.listed];
                assert_eq!(told, [listed, served, served], "{statuses} {n} {fail_open} {seconds}");
                assert!(!explained.because.is_empty() && explained.status.is_some() == served);
            }
        }
    }
}
