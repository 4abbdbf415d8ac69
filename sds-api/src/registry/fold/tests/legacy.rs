//! Clients that know no incarnation: their place in the order, what is a heartbeat, and lyft's merge.

use super::*;
use crate::{
    instance::Content,
    registry::judge::{Said, Unsaid},
};

const DIALECTS: [Origin; 3] = [Origin::Cookpad, Origin::Lyft, Origin::Kumonos];

fn content(revision: &str, tags: &[(&str, &str)]) -> Content {
    let tags = tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Content {
        revision: sds_types::Label::parse("revision", revision).unwrap(),
        tags: sds_types::Tags::parse(tags).unwrap(),
        ..Content::default()
    }
}

fn said(origin: Origin, revision: &str) -> Said {
    Said { origin, content: content(revision, &[]), unsaid: None }
}

/// The row as the store would have it.
fn written(key: Key, at: Sequence, origin: Origin, content: Content) -> Row {
    let row = live(1, at, at.seq, Status::Healthy);
    let registration = row.registration().unwrap().clone();
    let standing = Standing::In(Registration { origin, content: Arc::new(content), ..registration });
    Row { key, standing, ..row }
}

fn row(at: Sequence, origin: Origin, revision: &str) -> Row {
    written(key(1), at, origin, content(revision, &[]))
}

fn judge(story: &mut Story, said: &Said) -> Verdict {
    story.fold.legacy(&key(1), said, now()).unwrap().verdict
}

#[test]
fn each_finds_its_place_in_the_order() {
    for origin in DIALECTS {
        let mut story = Story::new();
        let said = said(origin, "r");
        assert_eq!(judge(&mut story, &said), Verdict::Write(at(1, 1)), "nothing stands there");
        story.row(row(at(1, 1), origin, "r"), Source::Written);
        assert_eq!(judge(&mut story, &said), Verdict::Heard);
        story.row(row(at(1, 4), origin, "other"), Source::Written);
        assert_eq!(judge(&mut story, &said), Verdict::Write(at(1, 5)), "a change");
        story.pass(121);
        assert_eq!(judge(&mut story, &said), Verdict::Write(at(1, 5)), "a change of what fell silent");
        story.row(tombstone(1, at(7, 3), 1), Source::Written);
        assert_eq!(judge(&mut story, &said), Verdict::Write(at(8, 1)), "gone");
        story.row(live(1, at(9, 1), 1, Status::Healthy), Source::Written);
        assert_eq!(judge(&mut story, &said), Verdict::Ignored, "the sidecar there is alive");
        story.pass(31);
        assert_eq!(judge(&mut story, &said), Verdict::Write(at(10, 1)), "the sidecar there is silent");
    }
}

#[test]
fn the_same_words_after_silence_are_news() {
    let mut story = Story::new();
    story.row(row(at(3, 1), Origin::Lyft, "r"), Source::Written).pass(121);
    assert_eq!(judge(&mut story, &said(Origin::Lyft, "r")), Verdict::Write(at(3, 2)), "others must know");
}

#[test]
fn another_dialect_with_the_same_words_is_a_change() {
    let mut story = Story::new();
    story.row(row(at(3, 1), Origin::Cookpad, "r"), Source::Written);
    assert_eq!(judge(&mut story, &said(Origin::Kumonos, "r")), Verdict::Write(at(3, 2)));
}

#[test]
fn another_registrys_row_gets_its_first_incarnation() {
    for expires in [60, 0] {
        let mut foreign = row(at(0, 0), Origin::Cookpad, "r");
        foreign.registration_mut().unwrap().expire_time = Timestamp::now().seconds() + expires;
        let mut story = Story::new();
        story.row(foreign, Source::Start);
        assert_eq!(judge(&mut story, &said(Origin::Cookpad, "r")), Verdict::Write(at(1, 1)), "{expires}");
    }
}

#[test]
fn a_heartbeat_keeps_the_legacy_lease() {
    let mut story = Story::new();
    story.row(row(at(1, 1), Origin::Kumonos, "r"), Source::Written);
    for _ in 0..3 {
        story.pass(100);
        assert_eq!(judge(&mut story, &said(Origin::Kumonos, "r")), Verdict::Heard);
    }
    assert_eq!(story.pass(119).served().0, [1]);
    assert_eq!(story.pass(2).served().0, Vec::<u8>::new());
}

#[test]
fn a_change_is_a_sign_of_life_also_when_it_cannot_be_written() {
    let mut story = Story::new();
    story.row(row(at(1, 1), Origin::Cookpad, "r"), Source::Written).pass(100);
    assert_eq!(judge(&mut story, &said(Origin::Cookpad, "new")), Verdict::Write(at(1, 2)));
    assert_eq!(story.pass(100).served().0, [1]);
}

#[test]
fn next_to_a_living_sidecar_it_is_not_heard() {
    let mut story = Story::new();
    story.row(live(1, at(5, 1), 1, Status::Healthy), Source::Written).pass(20);
    assert_eq!(judge(&mut story, &said(Origin::Cookpad, "")), Verdict::Ignored);
    assert_eq!(story.pass(11).served().0, Vec::<u8>::new());
}

#[test]
fn what_the_store_lost_is_written_again_and_heard_whatever_becomes_of_that() {
    let mut story = Story::new();
    story.row(row(at(1, 1), Origin::Lyft, "r"), Source::Written).pass(100);
    story.full_read(vec![], Source::Read);
    assert_eq!(judge(&mut story, &said(Origin::Lyft, "r")), Verdict::Rewrite(at(1, 2)));
    assert_eq!(story.pass(100).served().0, [1]);
}

#[test]
fn lyft_merges_tags_and_replaces_all_else() {
    let mut story = Story::new();
    let stood =
        Content { weight: Some(7.try_into().unwrap()), ..content("old", &[("a", "1"), ("b", "1"), ("c", "1")]) };
    story.row(written(key(1), at(1, 1), Origin::Lyft, stood), Source::Written);
    let unsaid = Unsaid { weight: true, canary: false, but: vec!["c".into()] };
    let said = Said {
        origin: Origin::Lyft,
        content: Content { canary: true, ..content("new", &[("b", "2"), ("d", "2")]) },
        unsaid: Some(unsaid),
    };
    let judged = story.fold.legacy(&key(1), &said, now()).unwrap();
    assert_eq!(judged.verdict, Verdict::Write(at(1, 2)));
    let merged = content("new", &[("a", "1"), ("b", "2"), ("d", "2")]);
    let merged = Content { weight: Some(7.try_into().unwrap()), canary: true, ..merged };
    assert_eq!(judged.content, merged);
    // What is merged already is a heartbeat; what is gone is not merged onto.
    story.row(written(key(1), at(1, 2), Origin::Lyft, merged), Source::Written);
    assert_eq!(judge(&mut story, &said), Verdict::Heard);
    story.row(tombstone(1, at(1, 3), 9), Source::Written);
    assert_eq!(story.fold.legacy(&key(1), &said, now()).unwrap().content, said.content);
}

#[test]
fn an_operators_weight_is_not_merged_into_the_registration() {
    let mut story = Story::new();
    let mut stood = row(at(1, 1), Origin::Lyft, "r");
    stood.operator = Some(Arc::new(crate::instance::Override {
        status: None,
        weight: Some(9.try_into().unwrap()),
        canary: Some(true),
        reason: Default::default(),
        who: Default::default(),
        until: u64::MAX,
        tenant: stood.tenant(),
    }));
    story.row(stood, Source::Written);
    let unsaid = Some(Unsaid { weight: true, canary: true, but: vec![] });
    assert_eq!(judge(&mut story, &Said { unsaid, ..said(Origin::Lyft, "r") }), Verdict::Heard);
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let mut story = Story::new();
    let big = "x".repeat(3000);
    story.row(written(key(1), at(1, 1), Origin::Lyft, content("r", &[("a", &big)])), Source::Written);
    let said =
        Said { content: content("r", &[("b", &big)]), unsaid: Some(Unsaid::default()), ..said(Origin::Lyft, "") };
    assert_eq!(story.fold.legacy(&key(1), &said, now()).unwrap_err().id, "InvalidTags");
}

#[test]
fn a_new_port_of_lyfts_is_the_same_host() {
    let on = |port: u16| Key { endpoint: format!("10.0.0.1:{port}").parse().unwrap(), ..key(1) };
    let mut story = Story::new();
    let tags = content("r", &[("a", "1")]);
    story.row(written(on(80), at(1, 1), Origin::Lyft, tags.clone()), Source::Written);
    story.row(written(on(82), at(1, 1), Origin::Cookpad, tags.clone()), Source::Written);
    story.row(written(key(2), at(1, 1), Origin::Lyft, tags.clone()), Source::Written);
    let said = Said { unsaid: Some(Unsaid::default()), ..said(Origin::Lyft, "r") };
    let judged = story.fold.legacy(&on(81), &said, now()).unwrap();
    assert_eq!(judged.verdict, Verdict::Write(at(1, 1)));
    assert_eq!((judged.former, judged.content), (vec![on(80).endpoint], tags));
    // A crash between the two writes leaves both: the next heartbeat finds the old one again.
    story.row(written(on(81), at(1, 1), Origin::Lyft, content("r", &[("a", "1")])), Source::Written);
    let judged = story.fold.legacy(&on(81), &said, now()).unwrap();
    assert_eq!((judged.verdict, judged.former), (Verdict::Heard, vec![on(80).endpoint]));
    // Other dialects know hosts by their port.
    let other = Said { origin: Origin::Cookpad, unsaid: None, ..said };
    assert!(story.fold.legacy(&on(81), &other, now()).unwrap().former.is_empty());
}

#[test]
fn who_may_be_said_to_have_gone() {
    let mut story = Story::new();
    let stands = |story: &Story, row: &Row| story.fold.look(&key(1)).is_in_service(row);
    let fresh = row(at(1, 1), Origin::Lyft, "r");
    assert!(stands(&story, &fresh), "another replica registered it a moment ago");
    assert!(!stands(&story, &lost(fresh.clone())), "it fell silent before this replica started");
    assert!(!stands(&story, &tombstone(1, at(1, 1), 1)));
    story.row(fresh.clone(), Source::Written);
    assert!(stands(&story, &fresh));
    story.pass(121);
    assert!(!stands(&story, &fresh) && !stands(&story, &tombstone(1, at(1, 2), 2)), "silent");
    assert!(stands(&story, &row(at(1, 2), Origin::Lyft, "r")), "it is back, as another replica knows");
}
