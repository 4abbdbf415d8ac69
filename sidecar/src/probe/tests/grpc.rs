//! gRPC: a real HTTP/2 server that answers by hand, and bytes that are no HTTP/2.

use ::http::{HeaderMap, Request, Response};
use bytes::Bytes;
use h2::{RecvStream, SendStream, server, server::SendResponse};
use tokio::sync::mpsc;

use super::{
    certificates::{Age, Authority, secured},
    connect::Stream,
    *,
};

const SERVING: &[u8] = &[0, 0, 0, 0, 2, 8, 1];

/// What the app answers to a call.
#[derive(Debug, Clone, Default)]
struct Say {
    /// 200 if it is 0.
    status: u16,
    head: Vec<(&'static str, &'static str)>,
    data: Vec<&'static [u8]>,
    trailers: Option<Vec<(&'static str, &'static str)>>,
    /// Neither data's nor trailers' end comes.
    hang: bool,
}

/// A call as the app saw it: `:authority`, path, headers, message.
type Heard = (String, String, HeaderMap, Vec<u8>);

const GRPC: (&str, &str) = ("content-type", "application/grpc");

fn told(data: &'static [u8], trailers: &[(&'static str, &'static str)]) -> Say {
    Say { head: vec![GRPC], data: vec![data], trailers: Some(trailers.to_vec()), ..Say::default() }
}

fn only_trailers(trailers: &[(&'static str, &'static str)]) -> Say {
    Say { head: [&[GRPC], trailers].concat(), ..Say::default() }
}

async fn serve(stream: impl Stream + 'static, say: Say, heard: mpsc::Sender<Heard>) -> std::io::Result<()> {
    let mut connection = server::handshake(stream).await.map_err(std::io::Error::other)?;
    // A call is answered while the connection is read on, which is what sends the answer.
    while let Some(call) = connection.accept().await {
        let (request, respond) = call.map_err(std::io::Error::other)?;
        tokio::spawn(answer(request, respond, say.clone(), heard.clone()));
    }
    Ok(())
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, say: Say, heard: mpsc::Sender<Heard>) {
    let (head, mut body) = request.into_parts();
    let mut message = Vec::new();
    while let Some(data) = body.data().await {
        message.extend_from_slice(&data.unwrap());
    }
    let authority = head.uri.authority().unwrap().to_string();
    heard.send((authority, head.uri.path().to_owned(), head.headers, message)).await.unwrap();

    let mut response = Response::builder().status(if say.status == 0 { 200 } else { say.status });
    for (name, value) in say.head {
        response = response.header(name, value);
    }
    let ends = say.data.is_empty() && say.trailers.is_none() && !say.hang;
    let mut stream: SendStream<Bytes> = respond.send_response(response.body(()).unwrap(), ends).unwrap();
    let last = say.data.len();
    for (n, data) in say.data.into_iter().enumerate() {
        let ends = n + 1 == last && say.trailers.is_none() && !say.hang;
        stream.send_data(Bytes::from_static(data), ends).unwrap();
    }
    if say.hang {
        std::future::pending::<()>().await;
    }
    if let Some(trailers) = say.trailers {
        let trailers = trailers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        stream.send_trailers(trailers.collect::<HeaderMap>()).unwrap();
    }
}

async fn calling(say: Say) -> (SocketAddr, mpsc::Receiver<Heard>) {
    let (sender, heard) = mpsc::channel(8);
    let script = move |stream: TcpStream| serve(stream, say.clone(), sender.clone());
    (app(script).await.0, heard)
}

#[tokio::test]
async fn what_the_app_is_asked() {
    let (address, mut heard) = calling(told(SERVING, &[("grpc-status", "0")])).await;
    assert_eq!(probe(json!(format!("grpc://:{}", address.port()))).await, Probe::Pass);
    let (authority, path, headers, message) = heard.recv().await.unwrap();
    assert_eq!((authority, path.as_str()), (address.to_string(), "/grpc.health.v1.Health/Check"));
    assert_eq!(message, [0, 0, 0, 0, 0]);
    let of = |name: &str| headers[name].to_str().unwrap();
    assert_eq!((of("content-type"), of("te"), headers.len()), ("application/grpc", "trailers", 3));
    assert!(of("user-agent").starts_with("sds-sidecar/"));

    let url = format!("grpc://{address}/ab");
    let check = json!({"url": url, "host": "app.example.com", "headers": {"x-tenant": "probe"}});
    assert_eq!(probe(check).await, Probe::Pass);
    let (authority, _, headers, message) = heard.recv().await.unwrap();
    assert_eq!((authority.as_str(), headers["x-tenant"].to_str().unwrap()), ("app.example.com", "probe"));
    assert_eq!(message, [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
}

#[tokio::test]
async fn answers() {
    const WELL: &[(&str, &str)] = &[("grpc-status", "0")];
    const LONG: &[u8] = &[0; 9000];
    let typed = |kind| Say { head: vec![("content-type", kind)], ..told(SERVING, WELL) };
    for (say, expected) in [
        (told(SERVING, WELL), None),
        (typed("application/grpc+proto"), None),
        (Say { data: vec![&SERVING[..3], &SERVING[3..]], ..told(b"", WELL) }, None),
        (told(&[0, 0, 0, 0, 2, 8, 0], WELL), Some("the health service says UNKNOWN")),
        (told(&[0, 0, 0, 0, 0], WELL), Some("the health service says UNKNOWN")),
        (told(&[0, 0, 0, 0, 2, 8, 2], WELL), Some("the health service says NOT_SERVING")),
        (told(&[0, 0, 0, 0, 2, 8, 3], WELL), Some("the health service says SERVICE_UNKNOWN")),
        (told(&[0, 0, 0, 0, 2, 8, 9], WELL), Some("the health service says 9")),
        (only_trailers(&[("grpc-status", "12")]), Some("this app has no health service (grpc.health.v1)")),
        (told(b"", &[("grpc-status", "12")]), Some("this app has no health service (grpc.health.v1)")),
        (only_trailers(&[("grpc-status", "5")]), Some("the app does not know the service 'pkg.S'")),
        (
            only_trailers(&[("grpc-status", "14"), ("grpc-message", "come back%20later")]),
            Some("grpc-status 14: come back%20later"),
        ),
        (told(SERVING, &[("grpc-status", "2")]), Some("grpc-status 2:")),
        (told(SERVING, &[("grpc-status", "00")]), Some("grpc-status 00:")),
        (told(SERVING, &[]), Some("the answer ends without a grpc-status")),
        (Say { trailers: None, ..told(SERVING, WELL) }, Some("the answer ends without a grpc-status")),
        (only_trailers(&[]), Some("the answer ends without a grpc-status")),
        (only_trailers(WELL), Some("not a HealthCheckResponse: there is no message")),
        (told(b"", WELL), Some("not a HealthCheckResponse: there is no message")),
        (told(&[1, 0, 0, 0, 2, 8, 1], WELL), Some("not a HealthCheckResponse: it is compressed, unasked")),
        (told(b"\0\0\0\0\x05garbage", WELL), Some("not a HealthCheckResponse: it is not as long as it says")),
        (told(b"\0\0\0\0\x07garbage", WELL), Some("not a HealthCheckResponse: ")),
        (Say { data: vec![LONG; 2], ..told(b"", WELL) }, Some("the answer is longer than 16384 bytes")),
        (typed("text/html"), Some("not gRPC: content-type 'text/html'")),
        (Say { head: vec![], ..told(SERVING, WELL) }, Some("not gRPC: content-type ''")),
        (Say { head: vec![GRPC, ("x-long", "x".repeat(20_000).leak())], ..told(SERVING, WELL) }, Some("HTTP/2: ")),
        (Say { status: 404, ..told(b"", WELL) }, Some("not gRPC: status 404 Not Found")),
        (Say { status: 302, ..only_trailers(&[("location", "/")]) }, Some("not gRPC: status 302 Found")),
    ] {
        let (address, _heard) = calling(say.clone()).await;
        let probe = probe(json!(format!("grpc://{address}/pkg.S"))).await;
        match expected {
            None => assert_eq!(probe, Probe::Pass, "{say:?}"),
            Some(reason) => fails(&probe, reason),
        }
    }
}

#[tokio::test]
async fn hung_at_each_stage() {
    for say in [
        Say { head: vec![GRPC], hang: true, ..Say::default() },
        Say { hang: true, ..told(b"", &[]) },
        Say { hang: true, ..told(&SERVING[..4], &[]) },
        Say { hang: true, ..told(SERVING, &[]) },
    ] {
        let (address, _heard) = calling(say).await;
        is_late(&probe(json!(format!("grpc://{address}"))).await);
    }
    let silent = saying("", true).await;
    is_late(&probe(json!(format!("grpc://{silent}"))).await);
    let settings = saying(frame(4, 0, 0, b""), true).await;
    is_late(&probe(json!(format!("grpc://{settings}"))).await);
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

#[tokio::test]
async fn no_http_2() {
    let settings = frame(4, 0, 0, b"");
    let after = |next: Vec<u8>| [settings.clone(), next].concat();
    for (what, answer) in [
        ("HTTP/1.1", b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec()),
        ("garbage", b"\xff\xfe\xfd".repeat(1000)),
        ("nothing", Vec::new()),
        ("settings, then nothing", settings.clone()),
        ("data of a stream that nobody opened", after(frame(0, 1, 7, b"x"))),
        ("headers that are no HPACK", after(frame(1, 5, 1, &[0xff; 30]))),
        ("headers without a status", after(frame(1, 5, 1, b""))),
        ("data before headers", after(frame(0, 1, 1, SERVING))),
        ("a push", after(frame(5, 4, 1, &[0, 0, 0, 2]))),
        ("a reset", after(frame(3, 0, 1, &[0, 0, 0, 7]))),
        ("a goodbye", after(frame(7, 0, 0, &[0; 8]))),
        ("half of a frame", after(vec![0, 0, 9, 0, 0])),
        ("a frame that is too long", after(frame(0, 0, 1, &[0; 17_000]))),
        ("settings of a wrong length", frame(4, 0, 0, b"12345")),
    ] {
        let address = saying(answer, false).await;
        let probe = probe(json!(format!("grpc://{address}"))).await;
        assert!(matches!(&probe, Probe::Fail(reason) if !reason.contains("no answer")), "{what}: {probe:?}");
    }
}

#[tokio::test]
async fn endless_and_dripped() {
    let settings = frame(4, 0, 0, b"");
    // Literal header fields without indexing, `a: b`, that never end.
    let field = [0, 1, b'a', 1, b'b'].repeat(100);
    let head = [settings.clone(), frame(1, 0, 1, &[0x88])].concat();
    let headers = endless(head, frame(9, 0, 1, &field), Duration::ZERO).await;
    fails(&probe(json!(format!("grpc://{headers}"))).await, "");
    let pings = endless(settings.clone(), frame(6, 0, 0, &[0; 8]), Duration::from_millis(1)).await;
    is_late(&probe(json!(format!("grpc://{pings}"))).await);
    let flood = endless(settings.clone(), frame(4, 0, 0, b""), Duration::ZERO).await;
    fails(&probe(json!(format!("grpc://{flood}"))).await, "");
    let drip = endless("", "\0", Duration::from_millis(20)).await;
    fails(&probe(json!(format!("grpc://{drip}"))).await, "");
}

#[tokio::test]
async fn refused_and_reset() {
    let nobody = nobody().await;
    fails(&probe(json!(format!("grpc://{nobody}"))).await, "Connection refused");
    let settings = Box::leak(frame(4, 0, 0, b"").into_boxed_slice());
    let address = resetting(settings).await;
    fails(&probe(json!(format!("grpc://{address}"))).await, "reset");
}

#[tokio::test]
async fn over_tls() {
    let ours = Authority::new();
    let (sender, mut calls) = mpsc::channel(8);
    let script = move |stream| serve(stream, told(SERVING, &[("grpc-status", "0")]), sender.clone());
    let (address, mut heard) = secured(ours.leaf(&["app.internal"], Age::Good), &["h2"], script.clone()).await;
    let check = json!({"url": format!("grpcs://:{}", address.port()), "ca": ours.pem(), "server_name": "app.internal"});
    assert_eq!(probe(check).await, Probe::Pass);
    assert_eq!(heard.recv().await.unwrap().as_deref(), Some("app.internal"));
    assert_eq!(calls.recv().await.unwrap().0, address.to_string());
    fails(&probe(json!(format!("grpcs://{address}"))).await, "'ca' says who signed it");

    for protocols in [&[][..], &["http/1.1"]] {
        let (address, _heard) = secured(ours.leaf(&["a"], Age::Good), protocols, script.clone()).await;
        fails(&probe(json!({"url": format!("grpcs://{address}"), "skip_verify": true})).await, "");
    }
}
