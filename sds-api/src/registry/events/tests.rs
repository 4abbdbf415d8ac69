use std::time::Duration;

use sds_types::{Label, Sequence};

use super::{diff::diff, *};
use crate::{
    instance::{Content, Origin, Registration, Row, Standing},
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

fn key(n: u16) -> Key {
    Key { service: "web".parse().unwrap(), endpoint: format!("10.0.{}.{}:80", n / 250, n % 250 + 1).parse().unwrap() }
}

fn row(n: u16, incarnation: u64, rev: u64, status: Status, change: impl FnOnce(&mut Content)) -> Row {
    let mut content = Content { task_arn: Label::parse("task_arn", "task-1").unwrap(), ..Content::default() };
    change(&mut content);
    let content = Arc::new(content);
    let standing = Registration { status, content, origin: Origin::Native, lost: false, expire_time: u64::MAX };
    let at = Sequence { incarnation, seq: rev };
    Row { key: key(n), at, rev, standing: Standing::In(standing), operator: None }
}

fn same(_: &mut Content) {}

fn laid_over(row: Row, rev: u64, until: u64) -> Row {
    let said = Override {
        status: None,
        weight: Some(7.try_into().unwrap()),
        canary: None,
        reason: Label::parse("reason", "test").unwrap(),
        who: Label::default(),
        until: wall().seconds() + until,
        tenant: row.tenant(),
    };
    Row { rev, operator: Some(Arc::new(said)), ..row }
}

/// A fold, what it published last, and the pen.
struct Story {
    fold: Fold,
    seen: Snapshot,
    recorder: Recorder,
    events: Events,
    wall: Timestamp,
    told: u64,
}

impl Story {
    fn new() -> Self {
        let events = Events::default();
        let recorder = Recorder::new(events.clone());
        Self { fold: Fold::new(LEASES), seen: Snapshot::default(), recorder, events, wall: wall(), told: 0 }
    }

    fn row(&mut self, row: Row) -> &mut Self {
        self.fold.row(row, Source::Written, self.wall);
        self
    }

    fn pass(&mut self, seconds: u64) -> &mut Self {
        for _ in 0..seconds {
            self.wall = self.wall.plus(Duration::from_secs(1));
            let swept = self.fold.pass(Duration::from_secs(1), self.wall);
            self.recorder.swept(&swept, &self.fold, self.wall);
            self.publish();
        }
        self
    }

    fn publish(&mut self) {
        if let Some(after) = self.fold.publish(&self.seen, self.wall) {
            self.recorder.published(&self.seen, &after, &self.fold, self.wall);
            self.seen = after;
        }
    }

    /// What happened since the last call.
    fn told(&mut self) -> Vec<What> {
        self.publish();
        let page = self.events.page(Some(self.told), usize::MAX, |_| true);
        self.told = page.last;
        page.events.into_iter().map(|event| event.what).collect()
    }
}

#[test]
fn a_life_as_it_is_told() {
    let mut story = Story::new();
    story.row(row(1, 5, 1, Status::Healthy, same));
    assert_eq!(story.told(), [What::Registered(Status::Healthy)]);
    // A heartbeat that had to be written, and one that had not: nothing that a poller would see.
    story.row(row(1, 5, 2, Status::Healthy, same));
    assert_eq!(story.told(), []);
    let weighed = |content: &mut Content| {
        content.weight = Some(9.try_into().unwrap());
        content.canary = true;
        content.revision = Label::parse("revision", "r2").unwrap();
        content.locality.zone = Label::parse("zone", "b").unwrap();
    };
    story.row(row(1, 5, 3, Status::Unhealthy, weighed));
    let weight = Changed::Weight(None, Some(9.try_into().unwrap()));
    let revision = Changed::Revision(String::new(), "r2".into());
    assert_eq!(
        story.told(),
        [
            What::Status { from: Status::Healthy, to: Status::Unhealthy },
            What::Changed(vec![weight, Changed::Canary(true), revision, Changed::Other("locality")]),
        ]
    );
    story.row(row(1, 6, 4, Status::Unhealthy, weighed));
    assert_eq!(story.told(), [What::Restarted(6)], "the same task, its sidecar started anew");
    story.row(row(1, 7, 5, Status::Healthy, |content| content.task_arn = Label::parse("task_arn", "task-2").unwrap()));
    let told = story.told();
    assert_eq!(told[0], What::NewTenant { from: "task-1".into(), to: "task-2".into() });
    assert_eq!(told[1], What::Status { from: Status::Unhealthy, to: Status::Healthy });
    story.row(Row { standing: Standing::Gone(Gone::Unhealthy), ..row(1, 7, 6, Status::Healthy, same) });
    assert_eq!(story.told(), [What::Deregistered(Gone::Unhealthy)]);
}

#[test]
fn an_override_begins_and_ends() {
    let mut story = Story::new();
    let plain = row(1, 5, 1, Status::Healthy, same);
    story.row(plain.clone()).told();
    let laid = laid_over(plain.clone(), 2, 60);
    let said = laid.operator.clone().unwrap();
    story.row(laid);
    let weight = |from: Option<i64>, to: Option<i64>| {
        let weight = |weight: Option<i64>| weight.map(|weight| weight.try_into().unwrap());
        What::Changed(vec![Changed::Weight(weight(from), weight(to))])
    };
    assert_eq!(story.told(), [What::Overridden(said), weight(None, Some(7))]);
    story.row(Row { rev: 3, ..plain.clone() });
    assert_eq!(story.told(), [What::OverrideEnded(Ended::TakenBack), weight(Some(7), None)]);
    story.row(laid_over(plain.clone(), 4, 20)).told();
    story.pass(25);
    assert_eq!(story.told(), [What::OverrideEnded(Ended::RanOut), weight(Some(7), None)]);
    story.row(laid_over(plain, 5, 3600)).told();
    let operator = story.fold.known(&key(1)).unwrap().row.operator.clone();
    let tenant = |content: &mut Content| content.task_arn = Label::parse("task_arn", "task-2").unwrap();
    story.row(Row { operator, ..row(1, 6, 6, Status::Healthy, tenant) });
    assert_eq!(story.told()[1], What::OverrideEnded(Ended::NewTenant));
}

#[test]
fn silence_and_the_return_from_it() {
    let mut story = Story::new();
    let alive = row(1, 5, 1, Status::Healthy, same);
    story.row(alive.clone()).told();
    assert_eq!(story.pass(31).told(), [What::Silent]);
    let now = crate::clock::Now { wall: wall(), mono: Duration::ZERO };
    let at = Sequence { incarnation: 5, seq: 2 };
    let content = alive.registration().unwrap().content.clone();
    story.fold.native(&key(1), at, Status::Healthy, &content, now);
    assert_eq!(story.told(), [What::HeardAgain]);
    assert_eq!(story.pass(31).told(), [What::Silent]);
    story.row(row(1, 6, 3, Status::Healthy, same));
    assert_eq!(story.told(), [What::Registered(Status::Healthy)], "another start is no return");
}

#[test]
fn who_is_held_and_who_is_heard_again() {
    let mut story = Story::new();
    for n in 1..=4 {
        story.row(row(n, 5, 1, Status::Healthy, same));
    }
    story.told();
    assert_eq!(story.pass(40).told(), vec![What::Held; 4]);
    story.row(row(1, 5, 2, Status::Healthy, same));
    story.row(Row { standing: Standing::Gone(Gone::Deregistered), ..row(2, 5, 2, Status::Healthy, same) });
    let told = story.pass(1).told();
    assert_eq!(told, [What::HeardAgain, What::Deregistered(Gone::Deregistered)]);
    // Half an hour beyond the cap nobody is held, and those that were are silent.
    let told = story.pass(3700).told();
    assert_eq!(told.iter().filter(|what| **what == What::Silent).count(), 3, "{told:?}");
    assert!(story.recorder.is_idle(), "somebody is remembered for ever");
}

#[test]
fn a_page_is_the_newest_or_what_comes_after() {
    let mut story = Story::new();
    for n in 1..=9 {
        story.row(row(n, 5, 1, Status::Healthy, same));
    }
    story.told();
    let numbers = |after, limit| {
        let page = story.events.page(after, limit, |_| true);
        (page.events.iter().map(|event| event.n).collect::<Vec<_>>(), page.more, page.last)
    };
    assert_eq!(numbers(None, 3), (vec![7, 8, 9], false, 9));
    assert_eq!(numbers(Some(0), 3), (vec![1, 2, 3], true, 9));
    assert_eq!(numbers(Some(6), 3), (vec![7, 8, 9], false, 9));
    assert_eq!(numbers(Some(9), 3), (vec![], false, 9));
    assert_eq!(numbers(Some(1_000), 3), (vec![1, 2, 3], true, 9), "a number of another run");
    let odd = story.events.page(Some(2), 2, |event| event.n % 2 == 1);
    assert_eq!((odd.events.len(), odd.events[1].n, odd.more), (2, 5, true));
}

#[test]
fn only_the_last_ones_are_kept() {
    let mut story = Story::new();
    story.row(row(0, 5, 1, Status::Healthy, same)).pass(31).told();
    for rev in 0..6 {
        for n in 1..=2_000 {
            let status = if rev % 2 == 0 { Status::Unhealthy } else { Status::Healthy };
            story.row(row(n, 5, rev + 1, status, same));
        }
        story.told();
    }
    let ring = story.events.ring();
    assert_eq!((ring.events.len(), ring.last, ring.events[0].n), (10_000, 12_002, 2_003));
    assert!(ring.silent.is_empty(), "who fell silent before all of them is remembered for ever");
}

#[test]
fn services_that_are_shared_are_not_looked_into() {
    let mut fold = Fold::new(LEASES);
    fold.row(row(1, 5, 1, Status::Healthy, same), Source::Written, wall());
    let snapshot = fold.publish(&Snapshot::default(), wall()).unwrap();
    let shared = Snapshot { services: snapshot.services.clone(), known: snapshot.known.clone() };
    assert_eq!(diff(&snapshot, &shared, |_| panic!("asked"), wall()), []);
    assert_eq!(diff(&snapshot, &Snapshot::default(), |_| None, wall())[0].what, What::Silent);
}
