//! Answers, right and wrong.

use super::*;
use crate::corpus::play;

const AWAY: Result<Caller, Unproven> = Err(Unproven::Away);

const RIGHT: &str = r#"<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <GetCallerIdentityResult>
    <Arn>arn:aws:sts::111122223333:assumed-role/web-task/0123456789abcdef0123456789abcdef</Arn>
    <UserId>AROAEXAMPLE:0123456789abcdef0123456789abcdef</UserId>
    <Account>111122223333</Account>
  </GetCallerIdentityResult>
  <ResponseMetadata>
    <RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId>
  </ResponseMetadata>
</GetCallerIdentityResponse>"#;

fn error(code: &str) -> String {
    format!(
        r#"<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>{code}</Code>
        <Message>words</Message></Error><RequestId>1</RequestId></ErrorResponse>"#
    )
}

fn said(status: u16, body: &str) -> Result<Caller, Unproven> {
    judge(StatusCode::from_u16(status).unwrap(), Some(&HeaderValue::from_static("text/xml")), body.as_bytes())
}

#[test]
fn the_right_one_names_a_role() {
    let caller = said(200, RIGHT).unwrap();
    assert_eq!((caller.partition, caller.account.as_str(), caller.role.as_str()), ("aws", "111122223333", "web-task"));
    assert_eq!(caller.session, "0123456789abcdef0123456789abcdef");
    let declared = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{RIGHT}\n");
    assert_eq!(said(200, &declared), Ok(caller));
}

#[test]
fn nothing_else_does() {
    let result = &RIGHT[RIGHT.find("  <GetCallerIdentityResult").unwrap()..RIGHT.find("  <ResponseMetadata").unwrap()];
    let edit = |from: &str, to: &str| {
        assert!(RIGHT.contains(from), "{from}");
        RIGHT.replacen(from, to, 1)
    };
    let json = r#"{"GetCallerIdentityResponse":{"GetCallerIdentityResult":{"Arn":"arn:aws:sts::1:assumed-role/a/b"}}}"#;
    for body in [
        String::new(),
        json.to_owned(),
        format!("<!-- {json} -->"),
        RIGHT[..RIGHT.len() - 1].to_owned(),
        format!("{RIGHT}{RIGHT}"),
        format!("{RIGHT} more"),
        format!("more {RIGHT}"),
        format!("{RIGHT}<!-- more -->"),
        format!("<!DOCTYPE a [<!ENTITY e \"x\">]>{RIGHT}"),
        edit(result, &result.repeat(2)),
        edit(result, ""),
        edit("<Arn>", "<Arn>x</Arn><Arn>"),
        edit("<Arn>", "<Arn><!-- x -->"),
        edit("web-task/", "web<!-- x -->-task/"),
        edit("web-task/", "web<b>x</b>-task/"),
        edit("web-task/", "web<?x y?>-task/"),
        edit("web-task/", "&e;/"),
        edit("<Arn>", "<Arn a=\"b\">"),
        edit("<Arn>", "<Arn xmlns=\"urn:other\">"),
        edit("<UserId>", "x<UserId>"),
        edit("  <ResponseMetadata>", "  <Other/><ResponseMetadata>"),
        edit("  <GetCallerIdentityResult>", "x<GetCallerIdentityResult>"),
        edit(" xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"", ""),
        RIGHT.replace("GetCallerIdentityResponse", "GetSessionTokenResponse"),
        RIGHT.replace("GetCallerIdentityResult", "GetSessionTokenResult"),
        edit("<Account>111122223333", "<Account>111122223334"),
        RIGHT.replace("111122223333", "11112222333"),
        RIGHT.replace("111122223333", "11112222333x"),
        edit("AROAEXAMPLE:0", "AROAEXAMPLE:1"),
        edit("AROAEXAMPLE:", ""),
        edit("arn:aws:", "arn:aws-x:"),
        edit("web-task/", "web task/"),
        edit("web-task/", &format!("{}/", "x".repeat(65))),
        edit("web-task/", "/"),
        "<a>".repeat(1000),
    ] {
        assert_eq!(said(200, &body), AWAY, "{body}");
    }
    let no = Err(Unproven::Refused("it is not a role's"));
    for (from, to) in [
        ("assumed-role/web-task/0123456789abcdef0123456789abcdef", "user/web"),
        ("assumed-role/web-task/0123456789abcdef0123456789abcdef", "root"),
        ("assumed-role/", "federated-user/"),
        ("web-task/", "path/web-task/"),
        ("arn:aws:sts:", "arn:aws:iam:"),
        ("arn:aws:sts::", "arn:aws:sts:us-east-1:"),
    ] {
        assert_eq!(said(200, &edit(from, to)), no, "{to}");
    }
    let kind = |kind: Option<&'static str>| {
        judge(StatusCode::OK, kind.map(HeaderValue::from_static).as_ref(), RIGHT.as_bytes()).is_ok()
    };
    assert!(kind(Some("text/xml; charset=utf-8")) && kind(Some("application/xml")));
    assert!(!kind(None) && !kind(Some("application/json")) && !kind(Some("text/html")));
}

#[test]
fn fuzz_sts() {
    let raw = |status, body: &[u8]| judge(status, Some(&HeaderValue::from_static("text/xml")), body);
    play("sts", |body| {
        let Ok(caller) = raw(StatusCode::OK, body) else { return };
        let text = str::from_utf8(body).expect("we read what is no text");
        assert_eq!(text.matches("<GetCallerIdentityResult").count(), 1, "{text}");
        assert!(!text.contains("<!DOCTYPE") && !text.contains("<!--") && !text.contains("<!ENTITY"), "{text}");
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b));
        assert!(plain(&caller.role) && plain(&caller.session) && caller.account.len() == 12, "{caller:?}");
    });
    play("sts", |body| assert!(raw(StatusCode::FORBIDDEN, body).is_err()));
}

#[test]
fn a_no_is_a_no_and_all_else_proves_nothing() {
    for (status, code, expected) in [
        (403, "SignatureDoesNotMatch", Err(Unproven::Refused("AWS says that its signature is wrong"))),
        (403, "ExpiredToken", Err(Unproven::Refused("AWS says that its key has expired"))),
        (403, "InvalidClientTokenId", Err(Unproven::Refused("AWS does not accept it"))),
        (400, "IncompleteSignature", Err(Unproven::Refused("AWS does not accept it"))),
        (400, "Throttling", AWAY),
        (403, "", AWAY),
        (429, "Throttling", AWAY),
        (500, "InternalFailure", AWAY),
        (503, "ServiceUnavailable", AWAY),
        (302, "SignatureDoesNotMatch", AWAY),
        (404, "SignatureDoesNotMatch", AWAY),
    ] {
        assert_eq!(said(status, &error(code)), expected, "{status} {code}");
    }
    for status in [201, 204, 206, 301, 302, 307, 400, 401, 403, 429, 500, 503] {
        assert_eq!(said(status, RIGHT), AWAY, "{status}");
        assert_eq!(said(status, "<html>"), AWAY, "{status}");
    }
}
