//! Every way an app can answer, by real listeners.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::Instant,
};

use super::*;

const TIMEOUT: Duration = Duration::from_millis(300);

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

/// An app that reads the request, says `answer` and then keeps the connection open or not.
async fn saying(answer: &'static str, keep: bool) -> SocketAddr {
    let script = move |mut stream: TcpStream| async move {
        let _ = stream.read(&mut [0; 1024]).await?;
        stream.write_all(answer.as_bytes()).await?;
        if keep { std::future::pending().await } else { Ok(()) }
    };
    app(script).await.0
}

async fn probe(checks: &str) -> Probe {
    let checks: Vec<Check> = checks.split(',').map(|check| check.parse().unwrap()).collect();
    let began = Instant::now();
    let probe = Prober::new(&checks, TIMEOUT).unwrap().probe([127, 0, 0, 1].into(), None).await;
    assert!(began.elapsed() < TIMEOUT * 4, "one deadline for all of it");
    probe
}

#[track_caller]
fn fails(probe: &Probe, reason: &str) {
    assert!(matches!(probe, Probe::Fail(why) if why.contains(reason)), "{probe:?}, not {reason}");
}

#[tokio::test]
async fn statuses() {
    for (answer, passes) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", true),
        ("HTTP/1.1 204 No Content\r\n\r\n", true),
        ("HTTP/1.1 301 Moved\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", false),
        ("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n", false),
        ("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n", false),
        ("SSH-2.0-OpenSSH\r\n", false),
        ("", false),
    ] {
        let address = saying(answer, false).await;
        let probe = probe(&format!("http://{address}/health")).await;
        assert_eq!(probe == Probe::Pass, passes, "{answer:?}: {probe:?}");
    }
}

#[tokio::test]
async fn hung_at_each_stage() {
    for answer in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab"] {
        let address = saying(answer, true).await;
        fails(&probe(&format!("http://{address}/")).await, "no answer within 300ms");
    }
}

#[tokio::test]
async fn cut_off_in_the_body() {
    let address = saying("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab", false).await;
    fails(&probe(&format!("http://{address}/")).await, "broke off");
}

#[tokio::test]
async fn endless() {
    let endless = |head: &'static str, piece: &'static str| {
        move |mut stream: TcpStream| async move {
            let _ = stream.read(&mut [0; 1024]).await?;
            stream.write_all(head.as_bytes()).await?;
            loop {
                stream.write_all(piece.as_bytes()).await?;
            }
        }
    };
    let (body, _) = app(endless("HTTP/1.1 200 OK\r\n\r\n", "0123456789")).await;
    assert_eq!(probe(&format!("http://{body}/")).await, Probe::Pass, "64 KB of it are enough");
    let (headers, _) = app(endless("HTTP/1.1 200 OK\r\n", "x-a: b\r\n")).await;
    fails(&probe(&format!("http://{headers}/")).await, "");
}

#[tokio::test]
async fn refused_and_reset() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    fails(&probe(&format!("http://{nobody}/")).await, "refused");
    fails(&probe(&format!("tcp://{nobody}")).await, "refused");
    let (reset, _) = app(|stream| async move {
        stream.set_zero_linger()?;
        Ok(())
    })
    .await;
    fails(&probe(&format!("http://{reset}/")).await, "");
}

#[tokio::test]
async fn each_probe_has_a_connection_of_its_own() {
    let (address, connections) = app(|mut stream| async move {
        loop {
            let _ = stream.read(&mut [0; 1024]).await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
        }
    })
    .await;
    let prober = Prober::new(&[format!("http://{address}/").parse().unwrap()], TIMEOUT).unwrap();
    for n in 1..=3 {
        assert_eq!(prober.clone().probe([127, 0, 0, 1].into(), None).await, Probe::Pass);
        assert_eq!(connections.load(Ordering::SeqCst), n);
    }
}

#[tokio::test]
async fn all_checks_must_pass() {
    let well = saying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false).await;
    let sick = saying("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n", false).await;
    let port = well.port();
    assert_eq!(probe(&format!("tcp://:{port},http://localhost:{port}/,http://:{port}/a")).await, Probe::Pass);
    fails(&probe(&format!("http://{well}/,http://{sick}/,tcp://{well}")).await, &format!("http://{sick}/: status 503"));
}

#[test]
fn our_own_wants_say_nothing_about_the_app() {
    for (code, unknown) in [(24, true), (23, true), (99, true), (111, false), (104, false)] {
        let probe = failure(&std::io::Error::from_raw_os_error(code));
        assert_eq!(matches!(probe, Probe::Unknown(_)), unknown, "{probe:?}");
    }
}
