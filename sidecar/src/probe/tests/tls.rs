//! TLS: who is believed, under which name, and what the app sees of it.

use tokio::sync::mpsc;
use tokio_rustls::server::TlsStream;

use super::{
    certificates::{Age, Authority, secured},
    *,
};

async fn well(mut stream: TlsStream<TcpStream>) -> std::io::Result<()> {
    let _ = stream.read(&mut [0; 1024]).await?;
    stream.write_all(OK.as_bytes()).await?;
    std::future::pending().await
}

#[tokio::test]
async fn who_is_believed() {
    let (ours, other) = (Authority::new(), Authority::new());
    let (ca, other_ca) = (ours.pem(), other.pem());
    let (named, local, expired) = (["app.internal"], ["localhost", "127.0.0.1"], Age::Expired);
    for (names, age, host, options, expected) in [
        (&named[..], Age::Good, "", json!({"ca": ca, "server_name": "app.internal"}), Ok(Some("app.internal"))),
        (&named, Age::Good, "", json!({"skip_verify": true}), Ok(None)),
        (&named, Age::Good, "", json!({"skip_verify": true, "server_name": "no.such"}), Ok(Some("no.such"))),
        (&named, Age::Good, "localhost", json!({"skip_verify": true}), Ok(Some("localhost"))),
        (&named, expired, "", json!({"skip_verify": true}), Ok(None)),
        (&local, Age::Good, "localhost", json!({"ca": ca}), Ok(Some("localhost"))),
        (&local, Age::Good, "127.0.0.1", json!({"ca": ca}), Ok(None)),
        (&local, Age::Good, "", json!({"ca": ca}), Ok(None)),
        (&local, Age::Good, "localhost", json!({"ca": ca, "server_name": "127.0.0.1"}), Ok(None)),
        (&named, Age::Good, "", json!({"ca": ca}), Err("'server_name' says which name it is for")),
        (&named, Age::Good, "", json!({"ca": ca, "server_name": "app"}), Err("'server_name' says")),
        (&named, Age::Good, "", json!({"ca": other_ca, "server_name": "app.internal"}), Err("'ca' says who signed it")),
        (&named, Age::Good, "", json!({"server_name": "app.internal"}), Err("'ca' says who signed it")),
        (&named, expired, "", json!({"ca": ca, "server_name": "app.internal"}), Err("'skip_verify' believes any")),
    ] {
        let (address, mut heard) = secured(ours.leaf(names, age), &[], well).await;
        let mut check = options.clone();
        check["url"] = json!(format!("https://{host}:{}/", address.port()));
        match (probe(check).await, expected) {
            (Probe::Pass, Ok(sni)) => assert_eq!(heard.recv().await.unwrap().as_deref(), sni, "{names:?} {options}"),
            (Probe::Fail(reason), Err(expected)) => {
                assert!(reason.contains(": TLS: invalid peer certificate: "), "{reason}");
                assert!(reason.contains(expected), "{names:?} {options}: {reason}");
            }
            (probe, _) => panic!("{names:?} {options}: {probe:?}"),
        }
    }
}

#[tokio::test]
async fn a_self_signed_certificate_is_its_own_authority() {
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap().self_signed(&key).unwrap();
    let ca = leaf.pem();
    let (address, _heard) = secured((leaf, key), &["http/1.1"], well).await;
    let url = format!("https://localhost:{}/", address.port());
    fails(&probe(json!(url)).await, "'ca' says who signed it");
    assert_eq!(probe(json!({"url": url, "ca": ca})).await, Probe::Pass);
}

#[tokio::test]
async fn an_authority_is_no_app() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let leaf = params.self_signed(&key).unwrap();
    let ca = leaf.pem();
    let (address, _heard) = secured((leaf, key), &[], well).await;
    let url = format!("https://localhost:{}/", address.port());
    fails(&probe(json!({"url": url, "ca": ca})).await, "make it with basicConstraints=CA:FALSE, or set 'skip_verify'");
    assert_eq!(probe(json!({"url": url, "skip_verify": true})).await, Probe::Pass);
}

#[tokio::test]
async fn only_http_1_is_offered() {
    let ours = Authority::new();
    let (address, _heard) = secured(ours.leaf(&["a"], Age::Good), &["h2"], well).await;
    let check = json!({"url": format!("https://{address}/"), "skip_verify": true});
    fails(&probe(check.clone()).await, "TLS: ");
    let (address, _heard) = secured(ours.leaf(&["a"], Age::Good), &["h2", "http/1.1"], well).await;
    assert_eq!(probe(json!({"url": format!("https://{address}/"), "skip_verify": true})).await, Probe::Pass);
}

#[tokio::test]
async fn the_app_is_told_the_end() {
    let (sender, mut ends) = mpsc::channel(8);
    let script = move |mut stream: TlsStream<TcpStream>| {
        let sender = sender.clone();
        async move {
            let _ = stream.read(&mut [0; 1024]).await?;
            stream.write_all(OK.as_bytes()).await?;
            sender.send(stream.read(&mut [0; 1024]).await.map_err(|error| error.kind())).await.unwrap();
            Ok(())
        }
    };
    let (address, _heard) = secured(Authority::new().leaf(&["a"], Age::Good), &[], script).await;
    assert_eq!(probe(json!({"url": format!("https://{address}/"), "skip_verify": true})).await, Probe::Pass);
    assert_eq!(ends.recv().await, Some(Ok(0)), "a cut without close_notify is an error in the app's log");
}

#[tokio::test]
async fn no_session_is_resumed() {
    let script = |mut stream: TlsStream<TcpStream>| async move {
        let _ = stream.read(&mut [0; 1024]).await?;
        let kind = stream.get_ref().1.handshake_kind();
        let status = if kind == Some(rustls::HandshakeKind::Resumed) { 500 } else { 200 };
        stream.write_all(format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n").as_bytes()).await
    };
    let (address, _heard) = secured(Authority::new().leaf(&["a"], Age::Good), &[], script).await;
    let check = json!({"url": format!("https://{address}/"), "skip_verify": true});
    let prober = Prober::new(&[serde_json::from_value(check).unwrap()], TIMEOUT).unwrap();
    for _ in 0..3 {
        assert_eq!(prober.clone().probe(APP, None).await, Probe::Pass);
    }
}

#[tokio::test]
async fn no_tls_at_the_other_end() {
    let check = |address: SocketAddr| json!({"url": format!("https://{address}/"), "skip_verify": true});
    is_late(&probe(check(saying("", true).await)).await);
    // The head of a record, which then never comes to its end.
    is_late(&probe(check(endless("\x16\x03\x03\x3f\x7f\x02", "\0", Duration::from_millis(20)).await)).await);
    fails(&probe(check(saying("", false).await)).await, "TLS: ");
    fails(&probe(check(saying(OK, true).await)).await, "TLS: ");
    fails(&probe(check(saying(vec![0xff; 40_000], true).await)).await, "TLS: ");
    fails(&probe(check(nobody().await)).await, "Connection refused");
    let (hung, _heard) = secured(Authority::new().leaf(&["a"], Age::Good), &[], |stream| async move {
        let _held = stream;
        std::future::pending().await
    })
    .await;
    is_late(&probe(check(hung)).await);
}
