//! Plays the rules for endpoints on a `Subscription`.

use std::collections::BTreeMap;

use super::{
    Story, names,
    rules::{RULES, Step},
};

/// Which variant a script is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variant {
    Sotw,
    Delta,
}

#[test]
fn every_rule_holds_in_both_variants() {
    let mut failures = Vec::new();
    for rule in RULES {
        assert!(!rule.source.is_empty() && !rule.delta.is_empty(), "{rule:?}");
        for (variant, script) in [(Variant::Sotw, rule.sotw), (Variant::Delta, rule.delta)] {
            if let Err(error) = play(variant, script) {
                failures.push(format!("{variant:?}: {} ({}): {error}", rule.rule, rule.source));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn play(variant: Variant, script: &[Step]) -> Result<(), String> {
    let mut story = Story::default();
    // The latest response's number, and the versions that were told, on whatever stream.
    let (mut latest, mut told) = (0, BTreeMap::new());
    for (what, expected) in script {
        let (verb, words) = what.split_once(' ').unwrap_or((what, ""));
        let (refused, nonce) = match verb {
            "ack" => (false, latest.to_string()),
            "nack" => (true, latest.to_string()),
            "old" => (false, (latest - 1).to_string()),
            "odd" => (false, "odd".to_owned()),
            _ => (false, String::new()),
        };
        if ["gone", "back"].contains(&verb) {
            (story.it, latest) = Default::default();
        }
        let sent = match verb {
            "change" | "leave" => {
                for name in names(words) {
                    story.change(&name);
                }
                story.pushed()
            }
            "gone" => String::new(),
            _ if variant == Variant::Sotw => {
                story.it.hear(&names(words), &nonce, refused, false).map_err(|error| format!("{what}: {error:?}"))?;
                story.pushed()
            }
            _ => {
                let (go, come): (Vec<_>, Vec<_>) = words.split_whitespace().partition(|word| word.starts_with('-'));
                let held = if verb == "back" { told.clone() } else { BTreeMap::new() };
                story.delta_of(&come.join(" "), &go.join(" ").replace('-', ""), &nonce, &held, refused).1
            }
        };
        let sent = match sent.split_once(": ") {
            Some((nonce, sent)) => {
                latest = nonce.parse::<u64>().map_err(|error| error.to_string())?;
                sent
            }
            None => "",
        };
        for name in names(sent) {
            let version = Story::current(&story.versions)(&name).map_or_else(String::new, |it| it.to_string());
            told.insert(name, version);
        }
        if sent != *expected {
            return Err(format!("after '{what}' '{sent}' is sent, not '{expected}'"));
        }
    }
    Ok(())
}
