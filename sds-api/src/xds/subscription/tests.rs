//! The protocol's rules: for endpoints as a table; here what requests turn out to be, the bounds, and the types of which all
//! can be asked for. Names in brackets are the tests of go-control-plane that check the same.

mod rules;
mod table;

use std::{cell::RefCell, collections::HashMap};

use super::*;
use crate::registry::Version;

/// A world of versions, and one subscription to it.
#[derive(Default)]
struct Story {
    versions: RefCell<HashMap<String, u64>>,
    it: Subscription,
    /// Whether this type has a wildcard; then all is what has a version.
    wildcards: bool,
}

fn names(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Some version for a number.
fn version(n: u64) -> Version {
    Version::of(&n.to_string(), &[])
}

impl Story {
    fn change(&mut self, name: &str) -> &mut Self {
        *self.versions.borrow_mut().entry(name.to_owned()).or_default() += 1;
        self
    }

    fn current(versions: &RefCell<HashMap<String, u64>>) -> impl Fn(&str) -> Sent + '_ {
        |name| Some(version(versions.borrow().get(name).copied().unwrap_or(0)))
    }

    /// A request, and what is sent after it: the names, and its nonce.
    fn ask(&mut self, wanted: &str, nonce: &str) -> (Heard, String) {
        let heard = self.it.hear(&names(wanted), nonce, false, self.wildcards).unwrap();
        (heard, self.pushed())
    }

    fn refuse(&mut self, wanted: &str, nonce: &str) -> (Heard, String) {
        let heard = self.it.hear(&names(wanted), nonce, true, self.wildcards).unwrap();
        (heard, self.pushed())
    }

    fn delta(&mut self, come: &str, go: &str, nonce: &str) -> (Heard, String) {
        self.delta_of(come, go, nonce, &BTreeMap::new(), false)
    }

    fn delta_of(
        &mut self,
        come: &str,
        go: &str,
        nonce: &str,
        held: &BTreeMap<String, String>,
        refused: bool,
    ) -> (Heard, String) {
        let (come, go) = (names(come), names(go));
        let current = Self::current(&self.versions);
        let heard = self.it.hear_delta((&come, &go), held, nonce, refused, self.wildcards, current).unwrap();
        (heard, self.pushed())
    }

    /// What is sent now, as "nonce: names".
    fn pushed(&mut self) -> String {
        let all = || self.versions.borrow().keys().map(|name| name.as_str().into()).collect();
        let push = self.it.push(false, all, Self::current(&self.versions));
        push.map_or_else(String::new, |push| {
            let gone = |sent: &Option<Version>| if sent.is_none() { "-" } else { "" };
            let names: Vec<_> = push.resources.iter().map(|(name, sent)| format!("{}{name}", gone(sent))).collect();
            format!("{}: {}", push.nonce, names.join(" "))
        })
    }
}

fn sent(heard: Heard, text: &str) -> (Heard, String) {
    (heard, text.to_owned())
}

/// What is counted and listed of a client.
#[test]
fn a_request_is_a_wish_or_an_answer_and_an_answer_counts_once() {
    let mut story = Story::default();
    assert_eq!(story.ask("a b", ""), sent(Heard::Asked, "1: a b"));
    assert_eq!(story.ask("a b", "1"), sent(Heard::Accepted, ""));
    assert_eq!(story.ask("a b", "1"), sent(Heard::Asked, "2: a b"));
    assert_eq!(story.ask("a b c", "1"), sent(Heard::Stale, ""));
    assert_eq!(story.refuse("a b", "2"), sent(Heard::Refused, ""));
    assert_eq!(story.refuse("a b", "2"), sent(Heard::Stale, ""), "told twice");
    let refused = |story: &mut Story| story.delta_of("", "", "1", &BTreeMap::new(), true);
    let mut story = Story::default();
    assert_eq!(story.delta("a", "", ""), sent(Heard::Asked, "1: a"));
    assert_eq!(refused(&mut story), sent(Heard::Refused, ""));
    assert_eq!(refused(&mut story), sent(Heard::Stale, ""), "told twice");
    assert_eq!(story.change("a").pushed(), "2: a");
    assert_eq!(story.delta("b", "", "1"), sent(Heard::Asked, "3: b"), "its names count");
    assert_eq!(story.delta("", "", "1"), sent(Heard::Stale, ""));
    assert_eq!(story.delta("", "", "3"), sent(Heard::Accepted, ""));
}

#[test]
fn too_many_names_and_too_long_ones_are_refused() {
    let many: Vec<_> = (0..=NAMES).map(|n| n.to_string()).collect();
    assert_eq!(Subscription::default().hear(&many, "", false, false), Err(TooMuch));
    let heard =
        Subscription::default().hear_delta((&many, &[]), &BTreeMap::new(), "", false, false, |_| Some(version(0)));
    assert_eq!(heard, Err(TooMuch));
    assert_eq!(Subscription::default().hear(&many[1..], "", false, false), Ok(Heard::Asked));
    let long = ["x".repeat(LONGEST + 1)];
    assert_eq!(Subscription::default().hear(&long, "", false, false), Err(TooMuch));
    let heard = Subscription::default().hear_delta((&long, &[]), &BTreeMap::new(), "", false, false, |_| None);
    assert_eq!(heard, Err(TooMuch));
}

#[test]
fn the_version_is_that_of_all_that_is_wanted() {
    let of = |wanted: &str| {
        let mut it = Subscription::default();
        it.hear(&names(wanted), "", false, false).unwrap();
        it.push(false, BTreeSet::new, |name| Some(version(name.len() as u64))).unwrap().version
    };
    assert_eq!(of("a bb"), of("bb a"));
    assert_ne!(of("a bb"), of("a"));
}

/// [TestLinearSotwWatches: watches return full state for types requesting it]: of listeners and clusters, what a response leaves out is gone.
#[test]
fn where_all_must_be_told_all_is_and_what_there_is_not_is_none() {
    let mut it = Subscription::default();
    let mut told = |wanted: &str, nonce: &str| {
        it.hear(&names(wanted), nonce, false, false).unwrap();
        let push = it.push(true, BTreeSet::new, |name| (name != "none").then(|| version(0)))?;
        Some(push.resources.iter().map(|(name, sent)| format!("{name} {}", sent.is_some())).collect::<Vec<_>>())
    };
    assert_eq!(told("a none", "").unwrap(), ["a true", "none false"]);
    assert_eq!(told("a none", "1"), None);
    assert_eq!(told("a b none", "1").unwrap(), ["a true", "b true", "none false"]);
}

fn wild() -> Story {
    Story { wildcards: true, ..Story::default() }
}

/// [TestSotwSubscriptions: legacy mode, TestDeltaResponseHandlersWildcard, TestLinearDeltaWildcard]
#[test]
fn who_names_nothing_at_first_wants_all_and_is_answered_also_if_there_is_nothing() {
    let mut story = wild();
    assert_eq!(story.ask("", ""), sent(Heard::Asked, "1: "));
    assert_eq!(story.ask("", "1"), sent(Heard::Accepted, ""));
    assert_eq!(story.change("a").pushed(), "2: a");
    assert_eq!(story.ask("", "2"), sent(Heard::Accepted, ""));
    let mut story = wild();
    assert_eq!(story.delta("", "", ""), sent(Heard::Asked, "1: "));
    assert_eq!(story.delta("", "", "1"), sent(Heard::Accepted, ""));
    assert_eq!(story.change("a").pushed(), "2: a");
}

/// [TestLinearDeltaMultiResourceUpdates: wildcard update/delete]
#[test]
fn what_there_is_not_any_more_is_told_once() {
    let mut story = wild();
    story.change("a").change("b").delta("*", "", "");
    story.versions.borrow_mut().remove("a");
    assert_eq!((story.pushed(), story.pushed()), ("2: -a".to_owned(), String::new()));
    // By its name it is still wanted.
    let mut story = wild();
    story.change("a").delta("* a", "", "");
    story.versions.borrow_mut().clear();
    assert_eq!(story.pushed(), "2: a");
}

/// [TestSotwSubscriptions: new wildcard mode from start]
#[test]
fn who_has_named_something_and_names_nothing_wants_nothing() {
    let mut story = wild();
    assert_eq!(story.change("a").change("b").ask("a", ""), sent(Heard::Asked, "1: a"));
    assert_eq!(story.ask("", "1"), sent(Heard::Accepted, ""));
    assert_eq!(story.change("b").pushed(), "");
    assert_eq!(story.ask("*", "1"), sent(Heard::Asked, "2: a b"));
}

/// [TestDeltaWildcardSubscriptions: * subscription/unsubscription support]
#[test]
fn a_wildcard_goes_and_names_stay() {
    let mut story = wild();
    story.change("a").change("b").delta("* a", "", "");
    assert_eq!(story.delta("", "*", "1"), sent(Heard::Accepted, ""));
    assert_eq!(story.change("b").pushed(), "");
    assert_eq!(story.change("a").pushed(), "2: a");
}

#[test]
fn who_wants_all_is_not_sent_what_it_holds_and_hears_what_is_gone() {
    let mut story = wild();
    story.change("a").change("b");
    let held = [("a", 1), ("b", 7), ("c", 1)].map(|(name, n)| (name.to_owned(), version(n).to_string())).into();
    assert_eq!(story.delta_of("", "", "", &held, false), sent(Heard::Asked, "1: -c b"));
}

/// Whether it is to keep that, a client cannot know. [TestDeltaWildcardSubscriptions: resource specific subscriptions while
/// using wildcard, TestDeltaSubscriptions]
#[test]
fn of_a_name_that_goes_beside_a_wildcard_it_is_told_whether_the_wildcard_has_it() {
    let mut story = wild();
    story.change("a").delta("* a none", "", "");
    assert_eq!(story.delta("", "a", "1"), sent(Heard::Accepted, "2: a"));
    assert_eq!(story.delta("", "none", "2"), sent(Heard::Accepted, "3: -none"));
    assert_eq!(story.delta("", "a none other", "3"), sent(Heard::Accepted, ""), "it had not named them");
    assert_eq!(story.change("a").pushed(), "4: a");
}

/// What is held after a story, of `web`.
#[test]
fn a_client_holds_what_it_has_accepted() {
    let held = |it: &Subscription| match it.held("web") {
        Held::Version(it) => (1..9).find(|n| version(*n) == it).map_or("another".to_owned(), |n| n.to_string()),
        other => format!("{other:?}"),
    };
    let mut story = Story::default();
    assert_eq!(held(&story.it), "Unwanted");
    story.change("web").ask("web", "");
    assert_eq!(held(&story.it), "Unknown", "it has not answered");
    story.ask("web", "1");
    assert_eq!(held(&story.it), "1");
    story.change("web").pushed();
    assert_eq!(held(&story.it), "Unknown", "it may hold either");
    story.refuse("web", "2");
    story.ask("web shop", "2");
    story.ask("web shop", "3");
    assert_eq!(held(&story.it), "Unknown", "what it refused is not held for what it accepts later");
    story.change("web").pushed();
    story.ask("web shop", "4");
    assert_eq!(held(&story.it), "3");
    story.ask("shop", "4");
    assert_eq!(held(&story.it), "Unwanted");

    let mut delta = Story::default();
    delta.change("web").change("web");
    let before = BTreeMap::from([("web".to_owned(), version(2).to_string())]);
    delta.delta_of("web", "", "", &before, false);
    assert_eq!(held(&delta.it), "2", "it came with it");
    delta.change("web").pushed();
    delta.change("shop").delta("shop", "", "");
    delta.delta_of("", "", "1", &BTreeMap::new(), true);
    delta.delta("", "", "2");
    assert_eq!(held(&delta.it), "Unknown", "also a response that is not the latest can be refused");
    delta.change("web").pushed();
    delta.change("shop").pushed();
    delta.delta("", "", "3");
    assert_eq!(held(&delta.it), "4", "or accepted");
    let mut other = Story::default();
    other.change("web").delta_of("web", "", "", &before, false);
    assert_eq!(held(&other.it), "Unknown", "what it came with is not current");
}
