//! HTTP: statuses, bodies, what the app is sent, and apps that never come to an end.

use tokio::sync::mpsc;

use super::*;

/// An app that says 200 and hands over what it was asked.
async fn listening(answer: &'static str) -> (SocketAddr, mpsc::Receiver<String>) {
    let (sender, heard) = mpsc::channel(8);
    let script = move |mut stream: TcpStream| {
        let sender = sender.clone();
        async move {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut request).await?;
            }
            sender.send(String::from_utf8(request).unwrap()).await.unwrap();
            stream.write_all(answer.as_bytes()).await
        }
    };
    (app(script).await.0, heard)
}

#[tokio::test]
async fn statuses() {
    for (answer, expect, passes) in [
        (OK, json!(null), true),
        ("HTTP/1.1 204 No Content\r\n\r\n", json!(null), true),
        ("HTTP/1.0 200 OK\r\n\r\nuntil the end", json!(null), true),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", json!(null), true),
        ("HTTP/1.1 301 Moved\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", json!(null), false),
        ("HTTP/1.1 301 Moved\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", json!(["300-399"]), true),
        ("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n", json!(null), false),
        ("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n", json!([200, 401]), true),
        ("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n", json!(null), false),
        ("HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n", json!(null), false),
        (OK, json!([204]), false),
        ("SSH-2.0-OpenSSH\r\n", json!(null), false),
        ("HTTP/2 200\r\n\r\n", json!(null), false),
        ("", json!(null), false),
    ] {
        let address = saying(answer, false).await;
        let probe = probe(json!({"url": format!("http://{address}/health"), "expect": expect})).await;
        assert_eq!(probe == Probe::Pass, passes, "{answer:?}: {probe:?}");
        assert!(matches!(probe, Probe::Pass | Probe::Fail(_)), "{answer:?}: {probe:?}");
    }
}

#[tokio::test]
async fn what_the_app_is_asked() {
    let (address, mut heard) = listening(OK).await;
    assert_eq!(probe(json!(format!("http://:{}/a?b=c", address.port()))).await, Probe::Pass);
    let agent = concat!("sds-sidecar/", env!("CARGO_PKG_VERSION"));
    let expected = format!("GET /a?b=c HTTP/1.1\r\nhost: {address}\r\nuser-agent: {agent}\r\n\r\n");
    assert_eq!(heard.recv().await.unwrap(), expected);

    assert_eq!(probe(json!(format!("http://localhost:{}", address.port()))).await, Probe::Pass);
    let request = heard.recv().await.unwrap();
    assert!(request.starts_with(&format!("GET / HTTP/1.1\r\nhost: localhost:{}\r\n", address.port())), "{request}");

    let url = format!("http://{address}/a/../b");
    let headers = json!({"Authorization": "Bearer x", "user-agent": "me"});
    for method in ["GET", "HEAD", "OPTIONS", "POST"] {
        let check = json!({"url": url, "method": method, "headers": headers, "host": "app.example.com"});
        assert_eq!(probe(check).await, Probe::Pass);
        let request = heard.recv().await.unwrap();
        let (line, rest) = request.split_once("\r\n").unwrap();
        assert_eq!(line, format!("{method} /a/../b HTTP/1.1"), "as written");
        let mut lines: Vec<_> = rest.trim_end().split("\r\n").filter(|line| *line != "content-length: 0").collect();
        lines.sort_unstable();
        assert_eq!(lines, ["authorization: Bearer x", "host: app.example.com", "user-agent: me"]);
        assert_eq!(rest.contains("content-length: 0"), method == "POST");
    }
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let (elsewhere, mut heard) = listening(OK).await;
    let moved = format!("HTTP/1.1 302 Found\r\nlocation: http://{elsewhere}/\r\ncontent-length: 0\r\n\r\n");
    let address = saying(moved, false).await;
    fails(&probe(json!(format!("http://{address}/"))).await, "status 302");
    assert!(heard.try_recv().is_err());
}

#[tokio::test]
async fn bodies() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nall\r\n5\r\n well\r\n0\r\n\r\n";
    let filled = |before: usize, text: &str, after: usize| {
        let body = ["x".repeat(before), text.to_owned(), "x".repeat(after)].concat();
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    const LIMIT: usize = 64 * 1024;
    for (answer, passes) in [
        (chunked.to_owned(), true),
        (filled(0, "all well", 0), true),
        (filled(LIMIT - 8, "all well", 10_000), true),
        (filled(LIMIT - 7, "all well", 10_000), false),
        (filled(LIMIT, "all well", 0), false),
        (filled(0, "all  well", 0), false),
        (filled(0, "All well", 0), false),
        (filled(0, "all we", 0), false),
        ("HTTP/1.1 204 No Content\r\n\r\n".to_owned(), false),
        ("HTTP/1.1 500 No\r\ncontent-length: 8\r\n\r\nall well".to_owned(), false),
    ] {
        let address = saying(answer.clone(), false).await;
        let url = format!("http://{address}/");
        let probe = probe(json!({"url": url, "body": "all well"})).await;
        assert_eq!(probe == Probe::Pass, passes, "{}: {probe:?}", &answer[..answer.len().min(80)]);
    }
    let address = saying(filled(0, "no", 0), false).await;
    let expected = "the answer's first 64 KB do not contain 'all well'";
    fails(&probe(json!({"url": format!("http://{address}/"), "body": "all well"})).await, expected);
}

#[tokio::test]
async fn hung_at_each_stage() {
    for answer in [
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n",
        "HTTP/1.1 200 OK\r\n\r\nuntil the end",
        "HTTP/1.1 100 Continue\r\n\r\n",
    ] {
        let address = saying(answer, true).await;
        is_late(&probe(json!(format!("http://{address}/"))).await);
    }
    let (deaf, _) = app(|stream| async move {
        let _held = stream;
        std::future::pending().await
    })
    .await;
    is_late(&probe(json!(format!("http://{deaf}/"))).await);
}

#[tokio::test]
async fn cut_off_in_the_body() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
    ] {
        let address = saying(answer, false).await;
        fails(&probe(json!(format!("http://{address}/"))).await, "broke off");
    }
    let address = resetting(b"HTTP/1.1 200 OK\r\n\r\nab").await;
    fails(&probe(json!(format!("http://{address}/"))).await, "broke off: Connection reset");
}

#[tokio::test]
async fn endless_answers() {
    let body = endless("HTTP/1.1 200 OK\r\n\r\n", "0123456789", Duration::ZERO).await;
    let url = format!("http://{body}/");
    assert_eq!(probe(json!(url)).await, Probe::Pass, "64 KB of it are enough");
    assert_eq!(probe(json!({"url": url, "body": "9012"})).await, Probe::Pass);
    fails(&probe(json!({"url": url, "body": "well"})).await, "do not contain");
    for piece in ["x-a: b\r\n", "x"] {
        let headers = endless("HTTP/1.1 200 OK\r\n", piece, Duration::ZERO).await;
        fails(&probe(json!(format!("http://{headers}/"))).await, "");
    }
    let information = endless("", "HTTP/1.1 103 Early Hints\r\n\r\n", Duration::from_millis(10)).await;
    is_late(&probe(json!(format!("http://{information}/"))).await);
}

#[tokio::test]
async fn heads_have_a_limit_too() {
    for (length, passes) in [(30_000, true), (70_000, false)] {
        let head = format!("HTTP/1.1 200 OK\r\nx-a: {}\r\ncontent-length: 0\r\n\r\n", "b".repeat(length));
        let address = saying(head, true).await;
        let probe = probe(json!(format!("http://{address}/"))).await;
        assert_eq!(probe == Probe::Pass, passes, "{length}: {probe:?}");
    }
}

#[tokio::test]
async fn dripped_answers() {
    let tick = Duration::from_millis(20);
    for head in ["", "HTTP/1.1 200 OK\r\nx-a: ", "HTTP/1.1 200 OK\r\n\r\n"] {
        let address = endless(head, "x", tick).await;
        let began = Instant::now();
        let probe = probe(json!(format!("http://{address}/"))).await;
        // What begins like no HTTP at all is known to be none at once.
        assert!(matches!(probe, Probe::Fail(_)), "{head:?}: {probe:?}");
        assert!(head.is_empty() || began.elapsed() >= TIMEOUT, "{head:?}");
    }
}

#[tokio::test]
async fn refused_and_reset() {
    let nobody = nobody().await;
    fails(&probe(json!(format!("http://{nobody}/"))).await, &format!("http://{nobody}/: Connection refused"));
    let (reset, _) = app(|stream| async move { stream.set_zero_linger() }).await;
    fails(&probe(json!(format!("http://{reset}/"))).await, "");
}

#[tokio::test]
async fn each_probe_has_a_connection_of_its_own_and_closes_it() {
    let (closed, mut ends) = mpsc::channel(8);
    let (address, connections) = app(move |mut stream| {
        let closed = closed.clone();
        async move {
            while stream.read(&mut [0; 1024]).await? > 0 {
                stream.write_all(OK.as_bytes()).await?;
            }
            closed.send(()).await.unwrap();
            Ok(())
        }
    })
    .await;
    let prober = Prober::new(&[format!("http://{address}/").parse().unwrap()], TIMEOUT).unwrap();
    for n in 1..=3 {
        assert_eq!(prober.clone().probe(APP, None).await, Probe::Pass);
        assert_eq!(connections.load(Ordering::SeqCst), n);
        ends.recv().await.unwrap();
    }
}

#[tokio::test]
async fn a_probe_that_is_given_up_is_gone() {
    let (closed, mut ends) = mpsc::channel(8);
    let (address, _) = app(move |mut stream| {
        let closed = closed.clone();
        async move {
            while stream.read(&mut [0; 1024]).await? > 0 {
                closed.send("asked").await.unwrap();
            }
            closed.send("closed").await.unwrap();
            Ok(())
        }
    })
    .await;
    let check = format!("http://{address}/").parse().unwrap();
    let prober = Prober::new(&[check], Duration::from_secs(60)).unwrap();
    let running = tokio::spawn(prober.probe(APP, None));
    assert_eq!(ends.recv().await, Some("asked"));
    running.abort();
    assert_eq!(ends.recv().await, Some("closed"));
}
