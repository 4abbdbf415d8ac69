//! The store is away: what leaves, leaves at once, and what the store says later is not believed before it has caught up.

use super::*;
use crate::instance::Content;

fn owe(story: &mut Story, at: Sequence, status: Status) -> Owing {
    story.fold.owe_status(&key(1), at, status, &Content::default())
}

fn status(story: &mut Story) -> Option<Status> {
    story.served();
    story.seen.services.get("web").map(|service| service.instances[0].status)
}

#[test]
fn unfit_and_leaving_count_at_once_and_fit_does_not() {
    let mut story = Story::new();
    story.row(live(1, at(5, 1), 1, Status::Healthy), Source::Written);
    assert_eq!(owe(&mut story, at(5, 2), Status::Unhealthy), Owing::Kept);
    assert_eq!(status(&mut story), Some(Status::Unhealthy));
    assert_eq!(owe(&mut story, at(5, 3), Status::Healthy), Owing::Refused);
    assert_eq!(owe(&mut story, at(5, 4), Status::Draining), Owing::Kept);
    assert_eq!(owe(&mut story, at(5, 5), Status::Unhealthy), Owing::Kept, "a late word of one that drains");
    assert_eq!(status(&mut story), Some(Status::Draining));
    assert_eq!(story.fold.owe_goodbye(&key(1), at(5, 6), Gone::Deregistered), Owing::Kept);
    assert_eq!(status(&mut story), None);
    assert_eq!(story.fold.owed().len(), 1, "one change each");
    assert_eq!(owe(&mut story, at(5, 7), Status::Draining), Owing::Superseded(at(5, 6)));
}

#[test]
fn who_is_not_known_cannot_be_added() {
    let mut story = Story::new();
    assert_eq!(owe(&mut story, at(5, 1), Status::Unhealthy), Owing::Refused);
    assert_eq!(story.fold.owe_goodbye(&key(1), at(5, 2), Gone::Deregistered), Owing::Kept);
    assert_eq!(status(&mut story), None);
    story.row(live(1, at(5, 1), 9, Status::Healthy), Source::Announced(Hearer::SELF));
    assert_eq!(status(&mut story), None, "its own registration, that the goodbye overtook");
}

#[test]
fn the_store_is_believed_when_it_has_caught_up() {
    let mut story = Story::new();
    story.row(live(1, at(5, 1), 1, Status::Healthy), Source::Written);
    owe(&mut story, at(5, 3), Status::Draining);
    let behind = vec![live(1, at(5, 2), 7, Status::Healthy)];
    story.full_read(behind, Source::Read);
    assert_eq!(status(&mut story), Some(Status::Draining));
    assert_eq!(story.put(1, at(5, 4), Status::Draining), Verdict::Rewrite(at(5, 4)));
    story.row(live(1, at(5, 4), 8, Status::Draining), Source::Written);
    assert!(story.fold.owed().is_empty());
    assert_eq!(story.put(1, at(5, 5), Status::Draining), Verdict::Heard);
}

#[test]
fn a_new_tenant_ends_what_is_owed() {
    let mut story = Story::new();
    story.row(live(1, at(5, 1), 1, Status::Healthy), Source::Written);
    owe(&mut story, at(5, 2), Status::Draining);
    story.row(live(1, at(6, 1), 2, Status::Healthy), Source::Announced(Hearer::SELF));
    assert_eq!(status(&mut story), Some(Status::Healthy));
    assert!(story.fold.owed().is_empty());
}

#[test]
fn what_is_owed_is_not_forgotten_for_being_absent() {
    let mut story = Story::new();
    story.fold.owe_goodbye(&key(1), at(5, 2), Gone::Deregistered);
    story.full_read(vec![], Source::Read);
    assert_eq!(story.fold.owed().len(), 1);
}

#[test]
fn a_goodbye_that_is_owed_stands_above_all_that_its_incarnation_said() {
    let mut story = Story::new();
    story.row(live(1, at(5, 9), 1, Status::Healthy), Source::Written);
    assert_eq!(story.fold.owe_goodbye(&key(1), at(5, 8), Gone::Deregistered), Owing::Kept);
    story.full_read(vec![live(1, at(5, 9), 1, Status::Healthy)], Source::Read);
    story.row(live(1, at(5, 10), 2, Status::Healthy), Source::Announced(Hearer::SELF));
    assert_eq!((status(&mut story), story.fold.owed().len()), (None, 1));
}
