//! Against an endpoint at the wire.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
};

use super::*;
use crate::stand_in::{Heard, Reply, StandIn, say};

/// 2026-11-29T12:00:00Z
const NOW: u64 = 1_795_953_600_000;
const MINUTE: u64 = 60_000;

fn document(nth: usize, expires: &str) -> String {
    format!(
        r#"{{"RoleArn":"r","AccessKeyId":"ASIA{nth}","SecretAccessKey":"s3cret","Token":"t0ken","Expiration":"{expires}"}}"#
    )
}

async fn endpoint(
    token: Token,
    rule: impl Fn(usize, &Heard) -> Reply + Clone + Send + Sync + 'static,
) -> (Credentials, StandIn) {
    let server = StandIn::start(rule).await;
    let url = full(&format!("http://{}/v2/credentials/1", server.address)).unwrap();
    (Credentials::new(Source::Endpoint(url, token)).unwrap(), server)
}

async fn id(credentials: &Credentials, now: u64) -> Result<String, String> {
    credentials.key(now).await.map(|key| key.id.clone())
}

#[tokio::test]
async fn a_key_is_fetched_before_it_ends_and_kept_until_then() {
    let away = Arc::new(AtomicBool::new(false));
    let told = away.clone();
    let rule = move |nth, _: &Heard| match (told.load(Ordering::SeqCst), nth) {
        (true, _) => say(500, ""),
        (_, 0) => say(200, &document(0, "2026-11-29T13:00:00Z")),
        (_, nth) => say(200, &document(nth, "2026-11-29T18:00:00.000Z")),
    };
    let (credentials, mut server) = endpoint(Token::None, rule).await;
    for (minute, expected) in [(0, "ASIA0"), (54, "ASIA0")] {
        assert_eq!(id(&credentials, NOW + minute * MINUTE).await.as_deref(), Ok(expected));
    }
    assert_eq!(server.rest().len(), 1);
    away.store(true, Ordering::SeqCst);
    assert_eq!(id(&credentials, NOW + 55 * MINUTE).await.as_deref(), Ok("ASIA0"));
    assert_eq!(id(&credentials, NOW + 60 * MINUTE - 1000).await.as_deref(), Ok("ASIA0"));
    assert!(id(&credentials, NOW + 60 * MINUTE).await.unwrap_err().contains("500"));
    away.store(false, Ordering::SeqCst);
    assert_eq!(id(&credentials, NOW + 60 * MINUTE).await.as_deref(), Ok("ASIA4"));
    assert!(id(&credentials, NOW + 600 * MINUTE).await.unwrap_err().contains("have ended"));
}

#[tokio::test]
async fn a_key_that_was_refused_is_not_used_again() {
    let rule = |nth, _: &Heard| say(200, &document(nth, "2026-11-29T18:00:00Z"));
    let (credentials, _server) = endpoint(Token::None, rule).await;
    assert_eq!(id(&credentials, NOW).await.as_deref(), Ok("ASIA0"));
    credentials.doubt();
    assert_eq!(id(&credentials, NOW).await.as_deref(), Ok("ASIA1"));
    assert_eq!(id(&credentials, NOW).await.as_deref(), Ok("ASIA1"));
}

#[tokio::test]
async fn what_is_no_key_is_said_without_its_words() {
    for answer in [
        say(200, "<html>s3cret"),
        say(200, r#"{"AccessKeyId":"ASIA","SecretAccessKey":"s3cret","Token":"t"}"#),
        say(200, r#"{"AccessKeyId":"ASIA","SecretAccessKey":"s3cret","Token":"","Expiration":"2026-11-29T13:00:00Z"}"#),
        say(200, r#"{"AccessKeyId":7,"SecretAccessKey":"s3cret","Token":"t","Expiration":"2026-11-29T13:00:00Z"}"#),
        say(200, &document(1, "tomorrow")),
        say(200, &"x".repeat(LIMIT + 1)),
        say(404, "s3cret"),
        Reply::Say(302, Some(("location", "/s3cret")), String::new()),
        Reply::Hang,
    ] {
        let (credentials, mut server) = endpoint(Token::None, move |_, _| answer.clone()).await;
        let why = id(&credentials, NOW).await.unwrap_err();
        assert!(why.starts_with("no credentials") && !why.contains("s3cret"), "{why}");
        assert_eq!(server.rest().len(), 1);
    }
    let nowhere = Credentials::new(Source::Nowhere).unwrap();
    assert!(id(&nowhere, NOW).await.unwrap_err().contains("RELATIVE_URI"));
}

#[tokio::test]
async fn the_endpoint_s_token_is_read_each_time() {
    let rule = |nth, heard: &Heard| match heard.authorization.as_str() {
        "one" | "two" => say(200, &document(nth, "2026-11-29T12:01:00Z")),
        _ => say(401, ""),
    };
    let (credentials, _server) = endpoint(Token::Text(Secret::new("one")), rule).await;
    assert!(id(&credentials, NOW).await.is_ok());
    let path = std::env::temp_dir().join(format!("sds-token-{}", std::process::id()));
    fs::write(&path, "one\n").unwrap();
    let (credentials, mut server) = endpoint(Token::File(path.clone()), rule).await;
    assert!(id(&credentials, NOW).await.is_ok());
    fs::write(&path, "two").unwrap();
    assert!(id(&credentials, NOW).await.is_ok());
    let heard: Vec<_> = server.rest().into_iter().map(|heard| heard.authorization).collect();
    assert_eq!(heard, ["one", "two"]);
    fs::write(&path, "a\nb").unwrap();
    assert!(id(&credentials, NOW + 60_000).await.is_err());
    fs::remove_file(&path).unwrap();
    assert!(id(&credentials, NOW + 60_000).await.unwrap_err().contains("TOKEN_FILE"));
}

#[tokio::test]
async fn variables_serve_as_they_are() {
    let [one, two, three] = ["ASIA", "s3cret", "t0ken"].map(Secret::new);
    let source = Source::Given(one, two, three);
    let shown = format!("{source:?}");
    assert!(!shown.contains("s3cret") && !shown.contains("t0ken"), "{shown}");
    let credentials = Credentials::new(source).unwrap();
    assert_eq!(id(&credentials, NOW).await.as_deref(), Ok("ASIA"));
}

#[test]
fn where_a_token_may_be_sent() {
    for good in [
        "http://127.0.0.1:5000/x",
        "http://[::1]/x",
        "http://169.254.170.2/v2",
        "http://169.254.170.23/v1",
        "http://[fd00:ec2::23]/v1",
        "https://credentials.example/x",
    ] {
        assert!(full(good).is_ok(), "{good}");
    }
    for bad in
        ["", "/x", "http://10.0.0.1/", "http://credentials.example/", "http://127.0.0.1.example/", "ftp://127.0.0.1/"]
    {
        assert!(full(bad).is_err(), "{bad}");
    }
    assert_eq!(relative("/v2/credentials/1").unwrap().as_str(), "http://169.254.170.2/v2/credentials/1");
    for bad in ["", "v2", "@evil.example/", ":80/", ".evil.example/"] {
        assert!(relative(bad).is_err(), "{bad}");
    }
}
