//! Every way an app can answer, by real listeners; one file per kind of check.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::Instant,
};

use super::*;

mod certificates;
mod grpc;
mod http;
mod tls;

const TIMEOUT: Duration = Duration::from_millis(300);
const APP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// An app that treats each connection by `script`; counts them.
async fn app<F>(script: impl Fn(TcpStream) -> F + Send + 'static) -> (SocketAddr, Arc<AtomicUsize>)
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, connections) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(script(stream));
        }
    });
    (address, connections)
}

/// An app that reads once, says `answer` and then keeps the connection open or not.
async fn saying(answer: impl Into<Vec<u8>>, keep: bool) -> SocketAddr {
    let answer: Arc<[u8]> = answer.into().into();
    let script = move |mut stream: TcpStream| {
        let answer = Arc::clone(&answer);
        async move {
            let _ = stream.read(&mut [0; 4096]).await?;
            stream.write_all(&answer).await?;
            if keep { std::future::pending().await } else { Ok(()) }
        }
    };
    app(script).await.0
}

/// An app that says `head`, then `piece` for ever, without a pause or with one.
async fn endless(head: impl Into<Vec<u8>>, piece: impl Into<Vec<u8>>, pause: Duration) -> SocketAddr {
    let (head, piece): (Arc<[u8]>, Arc<[u8]>) = (head.into().into(), piece.into().into());
    let script = move |mut stream: TcpStream| {
        let (head, piece) = (Arc::clone(&head), Arc::clone(&piece));
        async move {
            let _ = stream.read(&mut [0; 4096]).await?;
            stream.write_all(&head).await?;
            loop {
                stream.write_all(&piece).await?;
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
            }
        }
    };
    app(script).await.0
}

/// An app that reads once, says `answer` and resets the connection.
async fn resetting(answer: &'static [u8]) -> SocketAddr {
    let script = move |mut stream: TcpStream| async move {
        let _ = stream.read(&mut [0; 4096]).await?;
        stream.write_all(answer).await?;
        // What is not read yet would be lost with the reset.
        tokio::time::sleep(Duration::from_millis(50)).await;
        stream.set_zero_linger()
    };
    app(script).await.0
}

/// Where nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// One round of these checks, each a text or an object.
async fn probe(checks: Value) -> Probe {
    let checks: Vec<Check> = match checks {
        Value::Array(checks) => checks,
        check => vec![check],
    }
    .into_iter()
    .map(|check| serde_json::from_value(check).unwrap())
    .collect();
    let began = Instant::now();
    let probe = Prober::new(&checks, TIMEOUT).unwrap().probe(APP, None).await;
    assert!(began.elapsed() < TIMEOUT * 4, "one deadline for all of it");
    probe
}

#[track_caller]
fn fails(probe: &Probe, reason: &str) {
    assert!(matches!(probe, Probe::Fail(why) if why.contains(reason)), "{probe:?}, not {reason}");
}

#[track_caller]
fn is_late(probe: &Probe) {
    fails(probe, "no answer within 300ms");
}

#[tokio::test]
async fn tcp_needs_a_listener_and_no_more() {
    let silent = saying("", true).await;
    assert_eq!(probe(json!(format!("tcp://{silent}"))).await, Probe::Pass);
    assert_eq!(probe(json!(format!("tcp://localhost:{}", silent.port()))).await, Probe::Pass);
    let nobody = nobody().await;
    fails(&probe(json!(format!("tcp://{nobody}"))).await, &format!("tcp://{nobody}: Connection refused"));
    fails(&probe(json!(format!("tcp://localhost:{}", nobody.port()))).await, "Connection refused");
}

#[tokio::test]
async fn a_host_that_is_not_written_is_the_app_of_this_round() {
    let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let prober = Prober::new(&[format!("tcp://:{port}").parse().unwrap()], TIMEOUT).unwrap();
    fails(&prober.clone().probe(APP, None).await, "refused");
    assert_eq!(prober.probe([127, 0, 0, 2].into(), None).await, Probe::Pass);
}

#[tokio::test]
async fn the_first_address_tells_why_not() {
    let refused = nobody().await;
    let impossible = "255.255.255.255:80".parse().unwrap();
    for (addresses, by_refusal) in [([refused, impossible], true), ([impossible, refused], false)] {
        let Err(Probe::Fail(reason)) = connect::tcp(&addresses).await else { panic!("connected to {addresses:?}") };
        assert_eq!(reason.contains("refused"), by_refusal, "{addresses:?}: {reason}");
    }
    assert!(matches!(connect::tcp(&[]).await, Err(Probe::Unknown(_))));
}

#[tokio::test]
async fn all_checks_must_pass() {
    let well = saying(OK, false).await;
    let sick = saying("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n", false).await;
    let port = well.port();
    let passing = [format!("tcp://:{port}"), format!("http://localhost:{port}/"), format!("http://:{port}/a")];
    assert_eq!(probe(json!(passing)).await, Probe::Pass);
    let one_fails = [format!("http://{well}/"), format!("http://{sick}/"), format!("tcp://{well}")];
    fails(&probe(json!(one_fails)).await, &format!("http://{sick}/: status 503"));
}

#[tokio::test]
async fn unknown_is_not_unhealthy_and_hides_no_failure() {
    let well = saying(OK, false).await;
    let (well, unknown, sick) = (format!("http://{well}/"), "ecs://app", format!("tcp://{}", nobody().await));
    let reason = "ecs://app: the task's metadata is not known";
    assert_eq!(probe(json!([well, unknown])).await, Probe::Unknown(reason.into()));
    assert_eq!(probe(json!([unknown, well])).await, Probe::Unknown(reason.into()));
    fails(&probe(json!([unknown, sick, well])).await, "refused");
    fails(&probe(json!([sick, unknown])).await, "refused");
}

#[tokio::test]
async fn a_container_is_looked_up_in_the_task() {
    let task = r#"{"Containers":[{"Name":"app","Health":{"status":"HEALTHY"}}]}"#;
    let task: Option<Arc<Task>> = Some(Arc::new(serde_json::from_str(task).unwrap()));
    let prober = |text: &str| Prober::new(&[text.parse().unwrap()], TIMEOUT).unwrap();
    assert_eq!(prober("ecs://app").probe(APP, task.clone()).await, Probe::Pass);
    assert!(matches!(prober("ecs://db").probe(APP, task).await, Probe::Unknown(_)));
}

#[test]
fn our_own_wants_say_nothing_about_the_app() {
    for (code, unknown) in [(24, true), (23, true), (99, true), (111, false), (104, false)] {
        let probe = failure(&std::io::Error::from_raw_os_error(code));
        assert_eq!(matches!(probe, Probe::Unknown(_)), unknown, "{probe:?}");
    }
}

#[tokio::test]
async fn what_comes_besides_the_answer_is_bounded_too() {
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    let information = endless("", "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100), Duration::ZERO).await;
    let pings = endless(settings, ping.repeat(100), Duration::ZERO).await;
    for url in [format!("http://{information}/"), format!("grpc://{pings}")] {
        let probe = probe(json!(url)).await;
        let Probe::Fail(reason) = &probe else { panic!("{probe:?}") };
        assert!(!reason.contains("no answer within"), "it was read for as long as the time allows: {reason}");
    }
}
