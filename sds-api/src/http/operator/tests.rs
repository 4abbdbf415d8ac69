use super::*;

fn now() -> Timestamp {
    Timestamp::of_seconds(1_800_000_000)
}

fn refused(body: &str) -> String {
    match parse(body.as_bytes(), now()) {
        Err(ApiError::Invalid(invalid)) => format!("{} {}", invalid.id, invalid.field),
        other => panic!("{body}: {other:?}"),
    }
}

#[test]
fn a_word_says_what_it_does_and_why() {
    let body = r#"{"status":"draining","weight":7,"canary":false,"reason":"bad disk","who":"ann","for":"2h","x":1}"#;
    let (said, ignored) = parse(body.as_bytes(), now()).unwrap();
    assert_eq!(
        (said.status, said.weight.map(Weight::get), said.canary),
        (Some(Status::Draining), Some(7), Some(false))
    );
    assert_eq!((said.until, ignored), (now().seconds() + 7200, vec!["x".to_owned()]));
    assert_eq!(words(&said), "draining, weight 7, canary false by ann until 2027-01-15T10:00:00Z: bad disk");
    for (body, told) in [
        (r#"{"reason":"x"}"#, "InvalidOverride status"),
        (r#"{"status":"healthy","reason":"x"}"#, "InvalidStatus status"),
        (r#"{"status":1,"reason":"x"}"#, "InvalidType status"),
        (r#"{"weight":0,"reason":"x"}"#, "InvalidWeight weight"),
        (r#"{"weight":"7","reason":"x"}"#, "InvalidWeight weight"),
        (r#"{"canary":"true","reason":"x"}"#, "InvalidType canary"),
        (r#"{"canary":true}"#, "InvalidText reason"),
        (r#"{"canary":true,"reason":" "}"#, "InvalidText reason"),
        (r#"{"canary":true,"reason":"a\u001b[2J"}"#, "InvalidText reason"),
        (r#"{"canary":true,"reason":"x","who":7}"#, "InvalidType who"),
    ] {
        assert_eq!(refused(body), told, "{body}");
    }
}

#[test]
fn it_ends_in_the_future_and_within_a_week() {
    let lasts = |when: &str| {
        let body = format!(r#"{{"canary":true,"reason":"x"{when}}}"#);
        parse(body.as_bytes(), now()).map(|(said, _)| said.until - now().seconds())
    };
    for (when, seconds) in [
        ("", 3600),
        (r#","for":"15m""#, 900),
        (r#","for":"7d""#, 604_800),
        (r#","for":90"#, 90),
        (r#","for":"100ms""#, 1),
        (r#","until":"2027-01-15T08:00:30Z""#, 30),
        (r#","until":"2027-01-15T17:00:30+09:00""#, 30),
        (r#","until":null,"for":null"#, 3600),
    ] {
        assert_eq!(lasts(when).unwrap(), seconds, "{when}");
    }
    for (when, field) in [
        (r#","for":"8d""#, "for"),
        (r#","for":0"#, "for"),
        (r#","for":-5"#, "for"),
        (r#","for":1.5"#, "for"),
        (r#","for":"soon""#, "for"),
        (r#","for":18446744073709551615"#, "for"),
        (r#","until":"2027-01-15T08:00:00Z""#, "until"),
        (r#","until":"2027-01-22T08:00:01Z""#, "until"),
        (r#","until":"9999-01-01T00:00:00Z""#, "until"),
        (r#","until":"tomorrow""#, "until"),
        (r#","until":1800003600"#, "until"),
        (r#","until":"2027-01-15T09:00:00Z","for":"1h""#, "until"),
    ] {
        let body = format!(r#"{{"canary":true,"reason":"x"{when}}}"#);
        assert_eq!(refused(&body), format!("InvalidTime {field}"), "{when}");
    }
}
