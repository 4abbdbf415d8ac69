//! Several replicas: what another one heard or announced counts here, and no more than it should.

use super::*;
use crate::{registry::pages::Page, replica::ReplicaId};

/// A page of another replica, whose header has come to `beat`, that heard instance 1 of this incarnation so long before.
fn vouch(story: &mut Story, id: &ReplicaId, beat: u64, page: u64, incarnation: u64, age: u64) {
    let hash = InstanceHash::of(&key(1), incarnation);
    let page = Page { beat: page, chunk: 0, chunks: 1, heard: vec![(hash, Duration::from_secs(age))] };
    story.fold.replica(id, beat, false);
    story.fold.page(id, beat, &page, Timestamp::now());
}

#[test]
fn whom_another_replica_hears_lives_here_too() {
    let (mut story, other) = (Story::new(), ReplicaId::random());
    story.row(live(1, at(5, 1), 1, Status::Healthy), Source::Announced(Hearer::SELF));
    for beat in 1..20 {
        story.pass(10);
        vouch(&mut story, &other, beat, beat, 5, 1);
        assert_eq!(story.served(), (vec![1], beat == 1));
    }
    // Its replica goes on and heard nothing more: the last sign of life was a second old.
    let mut beat = 20;
    for second in 1..=30 {
        beat += second % 2;
        story.fold.replica(&other, beat, false);
        assert_eq!(story.served().0, if second < 30 { vec![1] } else { vec![] }, "after {second} s");
        story.pass(1);
    }
}

#[test]
fn an_older_page_and_a_former_tenant_keep_nobody_alive() {
    let (mut story, other) = (Story::new(), ReplicaId::random());
    story.row(live(1, at(5, 1), 1, Status::Healthy), Source::Announced(Hearer::SELF)).pass(20);
    // Fifteen flushes of 2 s ago, and a second before that.
    vouch(&mut story, &other, 20, 5, 5, 1);
    vouch(&mut story, &other, 20, 20, 4, 0);
    story.fold.replica(&other, 25, true);
    assert_eq!(story.pass(11).served().0, Vec::<u8>::new());
}

#[test]
fn a_stopped_replica_does_not_take_those_along_that_it_heard() {
    let lives = |bye: bool| {
        let (mut story, other) = (Story::new(), ReplicaId::random());
        story.row(live(1, at(5, 1), 1, Status::Healthy), Source::Announced(Hearer::SELF)).pass(1);
        vouch(&mut story, &other, 1, 1, 5, 0);
        story.fold.replica(&other, 1, bye);
        (0..100).take_while(|_| !story.pass(1).served().0.is_empty()).count()
    };
    assert_eq!(lives(true), 29, "it said goodbye");
    assert_eq!(lives(false), 29 + 15, "half a lease for a load balancer to see it");
}

#[test]
fn an_announced_move_is_a_sign_of_life_and_an_announced_repair_is_not() {
    let mut story = Story::new();
    story.row(live(1, at(5, 1), 1, Status::Healthy), Source::Announced(Hearer::SELF)).pass(20);
    story.row(live(1, at(5, 2), 2, Status::Unhealthy), Source::Announced(Hearer::SELF)).pass(20);
    assert_eq!(story.served().0, [1]);
    // Only `rev` moved: an operator's word, or a hint.
    story.row(live(1, at(5, 2), 3, Status::Unhealthy), Source::Announced(Hearer::SELF));
    assert_eq!(story.pass(11).served().0, Vec::<u8>::new());
    story.row(live(1, at(5, 2), 4, Status::Unhealthy), Source::Announced(Hearer::SELF));
    assert_eq!(story.served().0, Vec::<u8>::new());
}

#[test]
fn a_change_that_must_be_written_is_passed_on_as_a_sign_of_life() {
    let mut story = Story::new();
    story.row(live(1, at(5, 1), 1, Status::Healthy), Source::Written);
    assert!(story.fold.take_vouches().is_empty(), "the announcement tells it");
    assert_eq!(story.put(1, at(5, 2), Status::Unhealthy), Verdict::Write(at(5, 2)));
    let vouches = story.fold.take_vouches();
    assert_eq!(vouches.keys().copied().collect::<Vec<_>>(), [InstanceHash::of(&key(1), 5)]);
    story.fold.give_back(vouches);
    assert_eq!(story.fold.take_vouches().len(), 1, "the flush failed, the next one tells it");
}

#[test]
fn what_a_repair_read_finds_new_is_told_to_the_others() {
    let mut story = Story::new();
    story.full_read(vec![live(1, at(5, 1), 1, Status::Healthy)], Source::Start);
    story.fold.read_begins();
    let rows = vec![live(1, at(5, 1), 1, Status::Healthy), live(2, at(5, 1), 1, Status::Healthy)];
    let found = story.fold.read(rows, Source::Read, Timestamp::now());
    assert_eq!((found.news.as_slice(), found.missed), (&[key(2)][..], 0));
    story.fold.read_begins();
    let rows = vec![live(1, at(5, 1), 1, Status::Healthy)];
    assert_eq!(
        story.fold.read(rows.clone(), Source::Read, Timestamp::now()).missed,
        1,
        "and who is not there any more"
    );
    story.fold.read_begins();
    assert_eq!(story.fold.read(rows, Source::Read, Timestamp::now()).missed, 0, "told once");
}

#[test]
fn whom_a_page_told_of_before_its_row_was_read_is_served_with_its_row() {
    let (mut story, other) = (Story::new(), ReplicaId::random());
    // A cut has ended: the new tenant's announcement was missed, the page of its heartbeat was not.
    story.row(live(1, at(5, 1), 1, Status::Healthy), Source::Announced(Hearer::SELF));
    vouch(&mut story, &other, 1, 1, 6, 4);
    let found = live(1, at(6, 1), 9, Status::Healthy);
    assert_eq!(story.full_read(vec![found], Source::Read).served().0, [1]);
    story.fold.replica(&other, 2, true);
    assert_eq!(story.pass(25).served().0, [1]);
    assert_eq!(story.pass(2).served().0, Vec::<u8>::new(), "by the age that the page told");
    // Nor is one told of that nobody registered remembered for ever.
    vouch(&mut story, &other, 3, 3, 7, 0);
    story.pass(121);
    assert_eq!(
        story.full_read(vec![live(1, at(7, 1), 10, Status::Healthy)], Source::Read).served().0,
        Vec::<u8>::new()
    );
}

#[test]
fn an_announcement_counts_also_when_a_full_read_was_faster() {
    let mut story = Story::new();
    story.row(live(1, at(5, 1), 1, Status::Healthy), Source::Announced(Hearer::SELF));
    let new = live(1, at(6, 1), 2, Status::Healthy);
    story.full_read(vec![new.clone()], Source::Read).row(new.clone(), Source::Announced(Hearer::SELF));
    assert_eq!(story.served().0, [1]);
    assert_eq!(story.pass(20).row(new, Source::Announced(Hearer::SELF)).pass(11).served().0, Vec::<u8>::new(), "once");
}
