//! Against a server at the wire: what it is sent, and what becomes of answers that do not end or lead elsewhere.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Router, body::Body, extract::Request as Seen, response::Response};
use tokio::net::TcpListener;

use super::*;

const RIGHT: &str = r#"<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>arn:aws:sts::111122223333:assumed-role/web-task/0123456789abcdef0123456789abcdef</Arn>
<UserId>AROAEXAMPLE:0123456789abcdef0123456789abcdef</UserId><Account>111122223333</Account></GetCallerIdentityResult>
</GetCallerIdentityResponse>"#;

fn proof() -> Proof {
    Proof {
        access_key_id: "ASIAEXAMPLE012345678".into(),
        date: "20261129T120000Z".into(),
        session_token: "t0ken//".into(),
        signature: "0f".repeat(32),
    }
}

fn claims() -> Claims {
    Claims {
        service: "web".parse().unwrap(),
        endpoint: "10.0.0.1:80".parse().unwrap(),
        task: "arn:aws:ecs:eu-west-1:111122223333:task/prod/0123456789abcdef0123456789abcdef".parse().unwrap(),
        incarnation: 7,
    }
}

fn audience() -> Audience {
    "sds.internal".parse().unwrap()
}

#[test]
fn the_request_is_the_constants_and_the_claims() {
    let request = request(&proof(), &claims(), &audience(), None).unwrap();
    assert_eq!(request.method(), "POST");
    assert_eq!(request.uri(), "https://sts.eu-west-1.amazonaws.com/");
    let mut headers: Vec<_> =
        request.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    headers.sort();
    let signature = "0f".repeat(32);
    let hash = claims().hash();
    let expected = [
        &format!(
            "authorization: AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE012345678/20261129/eu-west-1/sts/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-sds-audience;x-sds-claims, \
             Signature={signature}"
        ),
        "content-type: application/x-www-form-urlencoded; charset=utf-8",
        "host: sts.eu-west-1.amazonaws.com",
        "x-amz-date: 20261129T120000Z",
        "x-amz-security-token: t0ken//",
        "x-sds-audience: sds.internal",
        &format!("x-sds-claims: {hash}"),
    ];
    assert_eq!(headers, expected);
    let shown = format!("{request:?}");
    assert!(!shown.contains("t0ken") && !shown.contains(&signature), "{shown}");
}

#[test]
fn another_endpoint_changes_where_and_not_what() {
    let at: Uri = "http://127.0.0.1:5000/path?query".parse().unwrap();
    let request = request(&proof(), &claims(), &audience(), Some(&at)).unwrap();
    assert_eq!(request.uri(), "http://127.0.0.1:5000/");
    assert_eq!(request.headers()["host"], "sts.eu-west-1.amazonaws.com");
}

/// A server that answers by `rule` and counts.
async fn served(rule: fn(usize) -> Response) -> (Sts, Arc<AtomicUsize>, tokio::task::JoinHandle<()>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let router = Router::new().fallback(async move |seen: Seen| {
        assert_eq!((seen.method().as_str(), seen.uri().to_string().as_str()), ("POST", "/"));
        assert_eq!(seen.headers()["host"], "sts.eu-west-1.amazonaws.com");
        let body = axum::body::to_bytes(seen.into_body(), 1024).await.unwrap();
        assert_eq!(body, proof::BODY);
        rule(counted.fetch_add(1, Ordering::SeqCst))
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (Sts::new(audience(), Some(at.parse().unwrap())).unwrap(), calls, server)
}

fn say(status: u16, kind: &str, body: impl Into<Body>) -> Response {
    Response::builder().status(status).header("content-type", kind).body(body.into()).unwrap()
}

async fn asked(sts: &Sts) -> Result<Caller, Unproven> {
    sts.caller(&proof(), &claims(), Instant::now() + Duration::from_secs(2)).await
}

#[tokio::test]
async fn a_caller_is_told_and_asked_for_again() {
    let (sts, calls, _server) = served(|_| say(200, "text/xml", RIGHT)).await;
    for nth in 1..3 {
        let caller = asked(&sts).await.unwrap();
        assert_eq!((caller.role.as_str(), calls.load(Ordering::SeqCst)), ("web-task", nth));
    }
}

#[tokio::test]
async fn many_with_one_bad_proof_make_one_call() {
    let rule = |_| {
        let error = "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code></Error></ErrorResponse>";
        say(403, "text/xml", error)
    };
    let (sts, calls, _server) = served(rule).await;
    let all = futures_util::future::join_all((0..100).map(|_| asked(&sts))).await;
    let refused = Err(Unproven::Refused("AWS says that its signature is wrong"));
    assert!(all.iter().all(|said| *said == refused));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    let other = Claims { incarnation: 8, ..claims() };
    assert_eq!(sts.caller(&proof(), &other, Instant::now() + Duration::from_secs(2)).await, refused);
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn what_does_not_end_or_leads_elsewhere_is_away() {
    let endless = || {
        let chunk = || Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 65536]));
        Body::from_stream(futures_util::stream::repeat_with(chunk))
    };
    let rules: [fn(usize) -> Response; 4] = [
        |nth| match nth {
            0 => Response::builder().status(307).header("location", "/").body(Body::empty()).unwrap(),
            _ => say(200, "text/xml", RIGHT),
        },
        |_| say(200, "text/xml", Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>())),
        |_| say(503, "text/xml", RIGHT),
        |_| say(200, "application/json", "{}"),
    ];
    for rule in rules {
        let (sts, calls, _server) = served(rule).await;
        let began = Instant::now();
        assert_eq!(asked(&sts).await, Err(Unproven::Away));
        assert!(began.elapsed() < Duration::from_secs(3));
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(async move || say(200, "text/xml", endless()));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let sts = Sts::new(audience(), Some(at.parse().unwrap())).unwrap();
    let began = Instant::now();
    assert_eq!(asked(&sts).await, Err(Unproven::Away));
    assert!(began.elapsed() < Duration::from_millis(1900), "it stops reading, and does not wait for the end");
}

#[tokio::test]
async fn nobody_there_is_away() {
    let sts = Sts::new(audience(), Some("http://127.0.0.1:1".parse().unwrap())).unwrap();
    assert_eq!(asked(&sts).await, Err(Unproven::Away));
}

#[tokio::test]
async fn https_alone_goes_to_aws() {
    // Without an endpoint, nothing but https is spoken: certificate authorities are loaded, and nobody is called.
    assert!(Sts::new(audience(), None).is_ok());
}
