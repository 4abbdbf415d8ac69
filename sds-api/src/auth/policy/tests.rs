//! What a policy says, and what no policy may say.

use super::*;

/// Of `sds_token_abc`.
const HASH: &str = "864f4e7b0f579e860301703eb601381bc16d0cf61eed931a964dd8f8e40e36ff";

fn policy(text: &str) -> Policy {
    Policy::parse(text).unwrap()
}

#[test]
fn the_most_precise_rule_counts_and_none_is_no_open_door() {
    let policy = policy(
        "[[services]]\nnames = ['pay-*']\nmode = 'aws'\n[[services]]\nnames = ['pay-old', 'w*']\nmode = 'off'\n\
         [[services]]\nnames = ['web']\nmode = 'token'\nobserve = true",
    );
    let guards = |service| {
        let Guarded { mode, observe, .. } = *policy.guards(service);
        (mode, observe)
    };
    assert_eq!(guards("pay-api"), (Mode::Aws, false));
    assert_eq!(guards("pay-old"), (Mode::Off, false));
    assert_eq!(guards("web"), (Mode::Token, true));
    assert_eq!(guards("web2"), (Mode::Off, false));
    assert_eq!(guards("else"), (Mode::Token, false));
    assert!(policy.is_open() && policy.asks_aws());
    assert_eq!(Policy::open().guards("web").mode, Mode::Off);
    let closed = Policy::parse("").unwrap();
    assert!(!closed.is_open() && !closed.asks_aws());
}

#[test]
fn json_and_toml_say_the_same() {
    let toml = format!("[[tokens]]\nname = 'ci'\nsha256 = ['{HASH}']\nregister = ['web']\ncidrs = ['10.0.0.0/8']");
    let json = format!(
        r#"{{"tokens": [{{"name": "ci", "sha256": ["{HASH}"], "register": ["web"], "cidrs": ["10.0.0.0/8"]}}]}}"#
    );
    assert_eq!(policy(&toml), policy(&json));
}

#[test]
fn tokens_are_known_by_their_hash_and_two_of_one_live() {
    let other = Hash::of("sds_token_other").to_string();
    let policy = policy(&format!("[[tokens]]\nname = 'ci'\nsha256 = ['{HASH}', '{other}']"));
    let known = [("sds_token_abc", true), ("sds_token_other", true)];
    for (token, known) in known.into_iter().chain([("sds_token_abcd", false), ("", false), (HASH, false)]) {
        assert_eq!(policy.token(token).is_some_and(|grant| grant.name == "ci"), known, "{token}");
    }
}

#[test]
fn a_password_is_no_token() {
    let policy = policy(&format!("[[tokens]]\nname = 'ci'\nsha256 = ['{}']", Hash::of("foo")));
    assert!(policy.token("foo").is_none());
}

#[test]
fn a_task_is_known_by_its_role_and_place() {
    let policy = policy(
        "[[tasks]]\nrole = 'arn:aws:iam::123456789012:role/pay-*'\ncluster = 'prod'\nfamily = 'pay'\n\
         group = 'service:pay'\nregister = ['pay-*']\ncidrs = ['10.0.0.0/8']\n\
         [[tasks]]\nrole = 'arn:aws:iam::123456789012:role/web'\n\
         cluster = 'arn:aws:ecs:eu-west-1:123456789012:cluster/prod'\nregister = ['web']",
    );
    let good = TaskFacts {
        role: "arn:aws:iam::123456789012:role/pay-api",
        cluster: "arn:aws:ecs:eu-west-1:123456789012:cluster/prod",
        family: "pay",
        group: "service:pay",
        has_address: true,
    };
    let may = |task, service, ip: &str| policy.task_may(task, service, ip.parse().unwrap());
    assert!(may(good, "pay-api", "10.0.0.1"));
    assert!(!may(good, "web", "10.0.0.1") && !may(good, "pay-api", "192.168.0.1"));
    for bad in [
        TaskFacts { role: "arn:aws:iam::123456789012:role/web-api", ..good },
        TaskFacts { role: "arn:aws:iam::999999999999:role/pay-api", ..good },
        TaskFacts { cluster: "arn:aws:ecs:eu-west-1:123456789012:cluster/staging", ..good },
        TaskFacts { cluster: "arn:aws:ecs:eu-west-1:123456789012:cluster/not-prod", ..good },
        TaskFacts { family: "pay2", ..good },
        TaskFacts { group: "family:pay", ..good },
    ] {
        assert!(!may(bad, "pay-api", "10.0.0.1"), "{bad:?}");
    }
    let web = TaskFacts { role: "arn:aws:iam::123456789012:role/web", family: "any", group: "any", ..good };
    assert!(may(web, "web", "192.168.0.1"));
    let elsewhere = TaskFacts { cluster: "arn:aws:ecs:us-east-1:123456789012:cluster/prod", ..web };
    assert!(!may(elsewhere, "web", "192.168.0.1"));
    assert!(!may(TaskFacts { has_address: false, ..good }, "pay-api", "10.0.0.1"), "ECS does not tell where it is");
    let place = |cluster, service, ip: &str| policy.knows_place(cluster, service, ip.parse().unwrap());
    assert!(place("prod", "pay-api", "10.0.0.1") && place("prod", "web", "192.168.0.1"));
    assert!(!place("test", "pay-api", "10.0.0.1") && !place("prod", "db", "10.0.0.1"));
    assert!(!place("prod", "pay-api", "192.168.0.1"));
    assert!(policy.knows_role(good.role) && !policy.knows_role("arn:aws:iam::123456789012:role/else"));
}

#[test]
fn what_is_wrong_is_said_in_one_line_with_its_place() {
    let token = |rest: &str| format!("[[tokens]]\nname = 'ci'\n{rest}");
    let task = |role: &str| format!("[[tasks]]\nrole = '{role}'\ncluster = 'prod'\nregister = ['web']");
    for (text, part) in [
        ("[[services]]\nnames = ['web']\nmode = 'on'".to_owned(), "line 3"),
        ("[[services]]\nnames = ['web']\nmode = 'off'\nobserv = true".to_owned(), "observ"),
        ("[[services]]\nnames = ['w*b']\nmode = 'off'".to_owned(), "services[0].names"),
        ("[[services]]\nnames = ['web', 'web']\nmode = 'off'".to_owned(), "twice"),
        ("[[service]]\nnames = ['web']\nmode = 'off'".to_owned(), "service"),
        ("mode = off".to_owned(), "line 1"),
        ("{\"services\": [], \"services\": []}".to_owned(), "duplicate"),
        (token("sha256 = []"), "tokens[0].sha256"),
        (token(&format!("sha256 = ['{HASH}', '{HASH}', '{HASH}']")), "two"),
        (token("sha256 = ['sds_token_abc']"), "the token itself"),
        (token("sha256 = ['abc']"), "64 hexadecimal"),
        (token(&format!("sha256 = ['{HASH}']\ncidrs = ['10.0.0.0/33']")), "line 4"),
        (format!("{}\n[[tokens]]\nname = 'b'\nsha256 = ['{HASH}']", token(&format!("sha256 = ['{HASH}']"))), "twice"),
        (task("pay"), "tasks[0].role"),
        (task("*"), "tasks[0].role"),
        (task("arn:aws:iam::*"), "tasks[0].role"),
        (task("arn:aws:iam::123456789012:role/path/pay"), "no path"),
        (task("arn:aws:iam::123456789012:user/pay"), "tasks[0].role"),
        (task("arn:aws:iam::123456789012:role/pay").replace("prod", "*"), "tasks[0].cluster"),
        (task("arn:aws:iam::123456789012:role/pay") + "\nhost_address = true", "tasks[0].cidrs"),
    ] {
        let reason = Policy::parse(&text).unwrap_err();
        assert!(reason.contains(part) && reason.lines().count() == 1, "{text}: {reason}");
    }
}

#[test]
fn a_token_in_the_wrong_place_is_not_repeated() {
    for text in [
        "[[tokens]]\nname = 'a'\nsha256 = 'sds_token_CANARY'".to_owned(),
        "[[tokens]]\nname = 'a'\nsds_token_CANARY = 1".to_owned(),
        r#"{"tokens": [{"name": "a", "sha256": "sds_token_CANARY"}]}"#.to_owned(),
        "[[tokens]]\nname = 'a'\nsha256 = ['sds_token_CANARY']".to_owned(),
    ] {
        let reason = Policy::parse(&text).unwrap_err();
        assert!(!reason.contains("CANARY"), "{reason}");
    }
}

#[test]
fn the_published_schema_is_that_of_the_types() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/policy.schema.json");
    let generated = serde_json::to_string_pretty(&schemars::schema_for!(File)).unwrap() + "\n";
    if std::fs::read_to_string(path).unwrap_or_default() != generated {
        std::fs::write(path, generated).unwrap();
        panic!("{path} was not that of the types, and is now");
    }
}
