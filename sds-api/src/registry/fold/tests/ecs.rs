//! ECS's word: whose task runs is not thrown out by silence, is not healthy either, and comes back with its next heartbeat.

use super::*;
use crate::registry::fold::Whose;

fn of(n: u8, status: Status, task: &str) -> Row {
    let mut row = live(n, at(5, 1), 1, status);
    let content = Content { task_arn: sds_types::Label::parse("task_arn", task).unwrap(), ..Content::default() };
    row.registration_mut().unwrap().content = Arc::new(content);
    row
}

/// Two instances, of which the first has been silent for so long.
fn silent_for(seconds: u64) -> Story {
    let mut story = Story::new();
    story.row(of(1, Status::Healthy, "t1"), Source::Written).row(of(2, Status::Healthy, "t2"), Source::Written);
    for second in 0..seconds {
        if second % 5 == 0 {
            speak(&mut story, 2, 2 + second);
        }
        story.pass(1);
    }
    story
}

fn speak(story: &mut Story, n: u8, seq: u64) {
    let content = of(n, Status::Healthy, &format!("t{n}")).registration().unwrap().content.clone();
    story.fold.native(&key(n), at(5, seq), Status::Healthy, &content, now());
}

fn says(story: &mut Story, runs: bool) {
    story.fold.ecs_says(&[(key(1), 5)], runs, Timestamp::now());
}

/// The first one in the answers.
fn first(story: &mut Story) -> Option<Status> {
    story.served();
    let service = story.seen.services.get("web")?;
    service.instances.iter().find(|instance| instance.endpoint == key(1).endpoint).map(|instance| instance.status)
}

#[test]
fn whose_task_runs_stays_as_unhealthy_until_it_speaks() {
    let mut story = silent_for(25);
    assert!(story.fold.roll(&Whose::Late, Timestamp::now()).entries.iter().all(|entry| entry.task() == "t1"));
    says(&mut story, true);
    assert_eq!(first(&mut story), Some(Status::Healthy), "its lease is not over");
    story.pass(10);
    assert_eq!(first(&mut story), Some(Status::Unhealthy));
    story.pass(7200);
    assert_eq!(first(&mut story), Some(Status::Unhealthy), "however long");
    assert!(story.fold.facts(&key(1), Timestamp::now()).unwrap().kept);
    speak(&mut story, 1, 9);
    assert_eq!(first(&mut story), Some(Status::Healthy));
    story.pass(40);
    assert_eq!(first(&mut story), None, "the next silence needs a word of its own");
}

#[test]
fn a_word_from_before_its_silence_is_worth_nothing() {
    let mut story = silent_for(10);
    says(&mut story, true);
    story.pass(30);
    assert_eq!(first(&mut story), None);
    says(&mut story, true);
    assert_eq!(first(&mut story), Some(Status::Unhealthy), "a later one brings it back");
}

#[test]
fn a_word_is_of_one_incarnation_and_can_be_taken_back() {
    let mut story = silent_for(25);
    story.fold.ecs_says(&[(key(1), 4), (key(7), 1)], true, Timestamp::now());
    story.pass(10);
    assert_eq!(first(&mut story), None);
    says(&mut story, true);
    says(&mut story, false);
    story.pass(1);
    assert_eq!(first(&mut story), None);
    story.row(tombstone(1, at(5, 2), 9), Source::Read);
    says(&mut story, true);
    assert_eq!(first(&mut story), None, "who has left is not called back");
}

#[test]
fn what_drains_goes_on_draining_and_a_hint_changes_nothing() {
    let mut story = silent_for(25);
    says(&mut story, true);
    story.pass(10);
    let mut row = of(1, Status::Draining, "t1");
    row.rev = 2;
    story.row(row.clone(), Source::Read);
    assert_eq!(first(&mut story), Some(Status::Draining));
    story.row(lost(row), Source::Read);
    assert_eq!(first(&mut story), Some(Status::Draining));
}

#[test]
fn a_drain_by_ecs_is_no_sign_of_life() {
    let mut story = silent_for(25);
    let mut row = of(1, Status::Draining, "t1");
    row.rev = 2;
    story.row(row, Source::Announced(Hearer::SELF));
    assert_eq!(first(&mut story), Some(Status::Draining));
    story.pass(6);
    assert_eq!(first(&mut story), None);
}

#[test]
fn the_guard_holds_longer_while_ecs_says_that_tasks_run() {
    let mut story = Story::new();
    for n in 1..=3 {
        story.row(of(n, Status::Healthy, &format!("t{n}")), Source::Written);
    }
    story.pass(60);
    assert_eq!((first(&mut story), story.fold.holding()), (Some(Status::Healthy), 3));
    says(&mut story, true);
    story.pass(3600);
    assert_eq!((first(&mut story), story.fold.holding()), (Some(Status::Healthy), 1), "held, and not only kept");
    says(&mut story, false);
    story.pass(1);
    assert_eq!((first(&mut story), story.fold.holding()), (None, 0));
}

#[test]
fn whom_ecs_keeps_the_guard_does_not_count() {
    let mut story = Story::new();
    for n in 1..=9 {
        story.row(of(n, Status::Healthy, &format!("t{n}")), Source::Written);
    }
    let others = |story: &mut Story, silent: u8, seconds: u64| {
        for second in 0..seconds {
            if second % 5 == 0 {
                let seq = 2 + story.fold.clock.now().as_secs();
                (silent + 1..=9).for_each(|n| speak(story, n, seq));
            }
            story.pass(1);
        }
    };
    others(&mut story, 2, 25);
    story.fold.ecs_says(&[(key(1), 5), (key(2), 5)], true, Timestamp::now());
    others(&mut story, 2, 20);
    assert_eq!((first(&mut story), story.fold.holding()), (Some(Status::Unhealthy), 0));
    others(&mut story, 4, 60);
    assert_eq!((story.served().0.len(), story.fold.holding()), (7, 0), "two more are no loss of a service");
}

#[test]
fn the_roll_is_of_those_who_name_a_task() {
    let mut story = silent_for(25);
    story.row(live(3, at(5, 1), 1, Status::Healthy), Source::Written);
    story.row(tombstone(4, at(5, 1), 1), Source::Read);
    let tasks = |whose| {
        let roll = story.fold.roll(&whose, Timestamp::now());
        let mut tasks: Vec<_> = roll.entries.iter().map(|entry| (entry.task().to_owned(), entry.late)).collect();
        tasks.sort();
        tasks
    };
    assert_eq!(tasks(Whose::All), [("t1".to_owned(), true), ("t2".to_owned(), false)]);
    assert_eq!(tasks(Whose::Late), [("t1".to_owned(), true)]);
    assert_eq!(tasks(Whose::Task("t2".into())), [("t2".to_owned(), false)]);
}
