//! The loss guard: many that fall silent together stay, a few do not, and nobody stays for ever.

use super::*;

/// Instances 1 to `n` that spoke a second ago.
fn fleet(n: u8) -> Story {
    let mut story = Story::new();
    for n in 1..=n {
        story.row(live(n, at(5, 1), 1, Status::Healthy), Source::Written);
    }
    story.served();
    story
}

/// Seconds in which those from `first` on speak, every ten.
fn speak(story: &mut Story, first: u8, n: u8, seconds: u64) {
    for second in 0..seconds {
        if second % 10 == 0 {
            for n in first..=n {
                story.put(n, at(5, 2 + story.fold.clock.now().as_secs()), Status::Healthy);
            }
        }
        story.pass(1);
    }
}

fn count(story: &mut Story) -> usize {
    story.served().0.len()
}

#[test]
fn few_go_and_many_stay() {
    for (silent, stay) in [(1, 19), (2, 18), (6, 14), (7, 20), (20, 20)] {
        let mut story = fleet(20);
        speak(&mut story, silent + 1, 20, 60);
        assert_eq!(count(&mut story), stay, "{silent} of 20 are silent");
        assert_eq!(story.fold.holding(), if stay == 20 { silent.into() } else { 0 });
    }
}

#[test]
fn the_held_are_told_and_go_when_they_leave_or_come_back_when_they_speak() {
    let mut story = fleet(10);
    story.pass(60);
    assert_eq!((count(&mut story), story.fold.holding()), (10, 10));
    let lives = story.fold.lives(&key(1).service, Timestamp::now());
    assert!(lives[&key(1).endpoint].held && lives[&key(1).endpoint].age >= Duration::from_secs(60));
    // A word of the owner is never held.
    story.row(tombstone(1, at(5, 2), 2), Source::Announced(Hearer::SELF));
    assert_eq!(count(&mut story), 9);
    speak(&mut story, 2, 9, 11);
    assert_eq!((count(&mut story), story.fold.holding()), (9, 1), "the last one is still held: it never came back");
}

#[test]
fn the_hold_ends_by_itself() {
    let mut story = fleet(10);
    story.pass(3590);
    assert_eq!(count(&mut story), 10);
    story.pass(20);
    assert_eq!((count(&mut story), story.fold.holding()), (0, 0));
}

#[test]
fn many_small_services_are_a_loss_of_the_registry() {
    let mut story = Story::new();
    let row = |n: u8| {
        let mut row = live(n, at(5, 1), 1, Status::Healthy);
        row.key.service = format!("service-{n}").parse().unwrap();
        row
    };
    for n in 1..=5 {
        story.row(row(n), Source::Written);
    }
    story.pass(60);
    assert_eq!(story.fold.holding(), 5);
}

#[test]
fn spread_over_a_heartbeat_they_are_counted_before_the_first_is_due() {
    let mut story = Story::new();
    for n in 1..=10 {
        story.row(live(n, at(5, 1), 1, Status::Healthy), Source::Written).pass(1);
    }
    assert_eq!(count(story.pass(60)), 10);
}
