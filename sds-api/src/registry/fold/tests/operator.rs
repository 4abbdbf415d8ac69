//! An operator's word: it wins, it is meant for one tenant, and it ends by itself.

use super::*;
use crate::instance::{Content, Override};

fn laid_over(row: Row, change: impl Fn(&mut Override)) -> Row {
    let until = Timestamp::now().plus(Duration::from_secs(3600)).seconds();
    let mut operator = Override {
        status: None,
        weight: None,
        canary: None,
        reason: "test".parse_label(),
        who: "test".parse_label(),
        until,
        tenant: row.tenant(),
    };
    change(&mut operator);
    Row { rev: row.rev + 1, operator: Some(Arc::new(operator)), ..row }
}

trait ParseLabel {
    fn parse_label<const N: usize>(&self) -> sds_types::Label<N>;
}

impl ParseLabel for str {
    fn parse_label<const N: usize>(&self) -> sds_types::Label<N> {
        sds_types::Label::parse("label", self).unwrap()
    }
}

fn shown(story: &mut Story) -> (Status, Option<u8>, bool) {
    story.served();
    let instance = &story.seen.services["web"].instances[0];
    (instance.status, instance.content.weight.map(|weight| weight.get()), instance.content.canary)
}

#[test]
fn it_wins_over_the_registrant_until_it_is_taken_back() {
    let weight = |operator: &mut Override| {
        (operator.weight, operator.canary, operator.status) =
            (Some(7.try_into().unwrap()), Some(true), Some(Status::Unhealthy));
    };
    let mut story = Story::new();
    let row = live(1, at(5, 1), 1, Status::Healthy);
    story.row(row.clone(), Source::Written).row(laid_over(row, weight), Source::Read);
    assert_eq!(shown(&mut story), (Status::Unhealthy, Some(7), true));
    assert_eq!(story.put(1, at(5, 2), Status::Healthy), Verdict::Heard, "the heartbeat says nothing new");
    assert_eq!(shown(&mut story), (Status::Unhealthy, Some(7), true));
    story.row(live(1, at(5, 2), 3, Status::Healthy), Source::Read);
    assert_eq!(shown(&mut story), (Status::Healthy, None, false));
}

#[test]
fn a_drain_beats_it() {
    let mut story = Story::new();
    let row = laid_over(live(1, at(5, 1), 1, Status::Draining), |o| o.status = Some(Status::Unhealthy));
    assert_eq!(shown(story.row(row, Source::Written)).0, Status::Draining);
}

#[test]
fn it_ends_by_itself() {
    let mut story = Story::new();
    let row = laid_over(live(1, at(5, 1), 1, Status::Healthy), |o| o.status = Some(Status::Draining));
    assert_eq!(shown(story.row(row, Source::Written)).0, Status::Draining);
    story.fold.pass(Duration::from_millis(300), Timestamp::now().plus(Duration::from_secs(3601)));
    story.seen = story.fold.publish(&story.seen, Timestamp::now().plus(Duration::from_secs(3601))).unwrap();
    assert_eq!(story.seen.services["web"].instances[0].status, Status::Healthy);
}

#[test]
fn it_survives_a_restart_of_the_sidecar_and_not_the_reuse_of_the_address() {
    let of_task = |row: Row, task: &str| {
        let Standing::In(registration) = row.standing else { panic!("gone") };
        let content = Content { task_arn: task.parse_label(), ..Content::default() };
        Row { standing: Standing::In(Registration { content: Arc::new(content), ..registration }), ..row }
    };
    let mut story = Story::new();
    let first =
        laid_over(of_task(live(1, at(5, 1), 1, Status::Healthy), "task-1"), |o| o.status = Some(Status::Unhealthy));
    let operator = first.operator.clone();
    assert_eq!(shown(story.row(first, Source::Written)).0, Status::Unhealthy);
    let restarted = Row { operator: operator.clone(), ..of_task(live(1, at(6, 1), 3, Status::Healthy), "task-1") };
    assert_eq!(shown(story.row(restarted, Source::Written)).0, Status::Unhealthy);
    let reused = Row { operator, ..of_task(live(1, at(7, 1), 4, Status::Healthy), "task-2") };
    assert_eq!(shown(story.row(reused, Source::Written)).0, Status::Healthy);
}

#[test]
fn it_revives_nobody() {
    let mut story = Story::new();
    let row = live(1, at(5, 1), 1, Status::Healthy);
    story.row(row.clone(), Source::Written).pass(31);
    story.row(laid_over(row, |o| o.canary = Some(true)), Source::Read);
    assert_eq!(story.served().0, Vec::<u8>::new());
}
