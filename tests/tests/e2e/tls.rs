//! TLS on the listeners: what is agreed on, that certificates change under way, and that who may register is known by one.

use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context, ensure};
use e2e::{
    api::{Api, native_path, registration},
    app::App,
    envoy::{Envoy, Guards, HealthChecks, Mode, Setup},
    http,
    pki::{Authority, Pair},
    raw,
    replicas::Replica,
    sidecar::Sidecar,
    stage::Stage,
    tls::Connection,
    wait::{SOON, until},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::play;

/// A client that drips is cut off so soon, and a second for a slow machine.
const BOUND: Duration = Duration::from_secs(11);

/// A registry's certificate in files, and who signed it.
struct Place {
    authority: Authority,
    first: Pair,
    cert: PathBuf,
    key: PathBuf,
}

impl Place {
    fn new(stage: &Stage) -> anyhow::Result<Self> {
        let authority = Authority::new()?;
        let first = authority.local()?;
        let place = Self { authority, first, cert: stage.file("cert.pem"), key: stage.file("key.pem") };
        place.first.write(&place.cert, &place.key)?;
        Ok(place)
    }

    /// A registry with it.
    async fn start(&self, stage: &Stage, env: &[(&str, &str)]) -> anyhow::Result<Api> {
        let files = [("SDS_TLS_CERT", &self.cert), ("SDS_TLS_KEY", &self.key)];
        let files: Vec<_> = files.iter().filter_map(|(name, path)| Some((*name, path.to_str()?))).collect();
        let client = http::secure_client(SOON, &self.authority.pem(), None)?;
        Api::secure(stage, &[&files, env].concat(), client).await
    }

    async fn connect(&self, addr: SocketAddr, shown: Option<&Pair>) -> anyhow::Result<Connection> {
        Connection::open(addr, &self.authority.pem(), shown).await
    }
}

#[test]
fn a_listener_with_tls_speaks_nothing_else() {
    play("a_listener_with_tls_speaks_nothing_else", async |stage| {
        let place = Place::new(stage)?;
        let api = place.start(stage, &[]).await?;
        for protocol in ["h2", "http/1.1"] {
            let stream = TcpStream::connect(api.addr).await?;
            let connection = Connection::over(stream, &place.authority.pem(), None, protocol).await?;
            ensure!(connection.protocol().as_deref() == Some(protocol), "{:?} is agreed on", connection.protocol());
        }
        let mut connection = place.connect(api.addr, None).await?;
        for _ in 0..3 {
            connection.ask("GET", "/v1/registration/web", "").await?.expect(200)?;
        }
        let refused = "sds_connections_closed_total{why=\"tls\"}";
        let plain = raw::request(api.addr, "GET", "/readyz", b"").await;
        ensure!(plain.is_err(), "answered in the clear: {plain:?}");
        ensure!(api.metric(refused).await? == 1.0);
        // Who goes without a word, as the check of a load balancer does, is no news.
        drop(TcpStream::connect(api.addr).await?);
        let stranger = Connection::open(api.addr, &Authority::new()?.pem(), None).await;
        ensure!(stranger.is_err(), "a certificate of another authority was believed");
        until("the client's refusal to be counted", SOON, async || {
            let counted = api.metric(refused).await?;
            ensure!(counted == 2.0, "{counted}");
            Ok(())
        })
        .await?;
        let expires = api.metric("sds_tls_expires_timestamp_seconds{of=\"certificate\"}").await?;
        ensure!(expires > 1.8e9, "it ends at {expires}");
        Ok(())
    });
}

#[test]
fn a_certificate_is_replaced_under_way() {
    play("a_certificate_is_replaced_under_way", async |stage| {
        let place = Place::new(stage)?;
        let mut api = place.start(stage, &[]).await?;
        let mut old = place.connect(api.addr, None).await?;
        ensure!(old.is_of(&place.first)?);
        let served = async |pair: &Pair| {
            until("the certificate to be served", Duration::from_secs(6), async || {
                ensure!(place.connect(api.addr, None).await?.is_of(pair)?, "it is another one");
                Ok(())
            })
            .await
        };
        let second = place.authority.local()?;
        second.write(&place.cert, &place.key)?;
        served(&second).await?;
        old.ask("GET", "/readyz", "").await?.expect(200)?;

        // Half of a pair, and then half of a file.
        let third = place.authority.local()?;
        fs::write(&place.cert, &third.cert)?;
        api.process.says("is not the key of SDS_TLS_CERT").await?;
        let log = api.process.log();
        let refused = async |is: f64| {
            until("the metric", SOON, async || {
                ensure!(api.metric("sds_tls_files_refused").await? == is);
                Ok(())
            })
            .await
        };
        refused(1.0).await?;
        fs::write(&place.key, &third.key[..40])?;
        let told = || log.lines().iter().filter(|line| line.contains("former certificate stays")).count();
        until("both to be told", SOON, async || {
            ensure!(told() == 2, "{} lines", told());
            Ok(())
        })
        .await?;
        ensure!(place.connect(api.addr, None).await?.is_of(&second)?, "what does not fit is served");
        let looks = Instant::now() + Duration::from_secs(5);
        while Instant::now() < looks {
            ensure!(told() == 2, "it is told again and again");
            sleep(Duration::from_millis(100)).await;
        }
        fs::write(&place.key, &third.key)?;
        served(&third).await?;
        refused(0.0).await?;
        old.ask("GET", "/readyz", "").await?.expect(200).map(drop)
    });
}

#[test]
fn a_sidecar_registers_over_tls() {
    play("a_sidecar_registers_over_tls", async |stage| {
        let place = Place::new(stage)?;
        let clients = Authority::new()?;
        let (ca, shown) = (clients.pem(), clients.pair(&["task"])?);
        let api = place.start(stage, &[("SDS_TLS_CLIENT_CA", &ca)]).await?;
        // A template that knows no newlines.
        let (ours, key) = (place.authority.pem(), shown.key.replace('\n', "\\n"));
        let url = api.url("");
        let app = App::start(stage, "app").await?;
        let env = [
            ("SDS_API_URL", url.as_str()),
            ("SDS_API_CA", &ours),
            ("SDS_API_CERT", &shown.cert),
            ("SDS_API_KEY", &key),
        ];
        let mut known = Sidecar::start(stage, api.addr, "web", &app, &env).await?;
        api.until_status("web", &app.endpoint(), "healthy", SOON).await?;
        // One without a certificate is told so, and goes on trying.
        let other = App::start(stage, "other").await?;
        let mut unknown = Sidecar::start(stage, api.addr, "web", &other, &env[..2]).await?;
        unknown.process.says("client certificate").await?;
        ensure!(known.process.stop(SOON).await?.success());
        ensure!(unknown.process.ended()?.is_none(), "it gave up");
        ensure!(api.instances("web").await?.is_empty());
        Ok(())
    });
}

#[test]
fn a_sidecar_takes_a_new_authority_without_a_restart() {
    play("a_sidecar_takes_a_new_authority_without_a_restart", async |stage| {
        let place = Place::new(stage)?;
        let api = place.start(stage, &[]).await?;
        let file = stage.file("ca.pem");
        fs::write(&file, Authority::new()?.pem())?;
        let app = App::start(stage, "app").await?;
        let url = api.url("");
        let env = [("SDS_API_URL", url.as_str()), ("SDS_API_CA", file.to_str().context("not UTF-8")?)];
        let mut sidecar = Sidecar::start(stage, api.addr, "web", &app, &env).await?;
        sidecar.process.says("UnknownIssuer").await?;
        fs::write(&file, "no PEM")?;
        sidecar.process.says("what it held before is used on").await?;
        ensure!(sidecar.process.ended()?.is_none() && api.instances("web").await?.is_empty());
        fs::write(&file, place.authority.pem())?;
        api.until_status("web", &app.endpoint(), "healthy", SOON).await?;
        sidecar.process.stop(SOON).await.map(drop)
    });
}

#[test]
fn envoys_ask_over_tls() {
    play("envoys_ask_over_tls", async |stage| {
        let place = Place::new(stage)?;
        let api = place.start(stage, &[]).await?;
        let app = App::start(stage, "app").await?;
        api.put("web", &app.endpoint(), (1, 1), json!({})).await?.expect(200)?;
        for mode in [Mode::Rest(Duration::from_millis(500)), Mode::Ads, Mode::DeltaAds] {
            let (replicas, services) = (vec![api.addr], vec!["web".to_owned()]);
            let setup = Setup { replicas, services, mode, checks: HealthChecks::Off, guards: Guards::default() };
            let envoy = Envoy::secure(stage, &setup, &place.authority.pem()).await?;
            let hosts = envoy.until_equal(&api, SOON).await?;
            ensure!(hosts.contains_key(&app.endpoint()), "{mode:?}: {hosts:?}");
        }
        Ok(())
    });
}

#[test]
fn a_sibling_is_asked_over_tls() {
    play("a_sibling_is_asked_over_tls", async |stage| {
        let place = Place::new(stage)?;
        let sibling = place.start(stage, &[]).await?;
        sibling.put("web", "127.0.0.1:1", (1, 1), json!({})).await?.expect(200)?;
        let (url, ca) = (sibling.url(""), place.authority.pem());
        // Port 1 of loopback refuses: it knows only what the sibling tells.
        let away = SocketAddr::from(([127, 0, 0, 1], 1));
        let heir = Replica::start(stage, away, &[("SDS_PEERS", &url), ("SDS_PEERS_CA", &ca)]).await?;
        heir.ready(SOON).await?;
        ensure!(heir.api.v1_endpoints("web").await? == ["127.0.0.1:1"]);
        let other = Authority::new()?.pem();
        let stranger = Replica::start(stage, away, &[("SDS_PEERS", &url), ("SDS_PEERS_CA", &other)]).await?;
        until("it to look for a snapshot in vain", SOON, async || {
            let closed = sibling.metric("sds_connections_closed_total{why=\"tls\"}").await?;
            ensure!(closed >= 1.0);
            Ok(())
        })
        .await?;
        stranger.api.get("/readyz").await?.expect(503).map(drop)
    });
}

/// Registrations in all dialects.
fn writes() -> Vec<(&'static str, String, String)> {
    let web = native_path("web", "127.0.0.1:1");
    let (put, said) = (registration((1, 1), json!({})).to_string(), |text: &str| text.to_owned());
    let cookpad = r#"{"ip":"127.0.0.1","port":2,"revision":"r","tags":{}}"#;
    let kumonos = r#"{"hosts":[{"ip_address":"127.0.0.1","port":3}]}"#;
    vec![
        ("PUT", web.clone(), put),
        ("POST", format!("{web}/drain"), registration((1, 2), json!({})).to_string()),
        ("DELETE", format!("{web}?incarnation=1&seq=3"), String::new()),
        ("POST", said("/v1/registration/old"), said(cookpad)),
        ("POST", said("/v1/registration/old"), said(kumonos)),
        ("POST", said("/v1/loadbalancing/old"), said("load_balancing_weight=10")),
        ("DELETE", said("/v1/registration/old/127.0.0.1:2"), String::new()),
        ("POST", said("/v1/deregistration/old"), said(kumonos)),
    ]
}

#[test]
fn registrations_need_a_certificate_and_reads_do_not() {
    play("registrations_need_a_certificate_and_reads_do_not", async |stage| {
        let place = Place::new(stage)?;
        let (clients, strangers) = (Authority::new()?, Authority::new()?);
        let (ca, known, stranger) = (clients.pem(), clients.pair(&["task"])?, strangers.pair(&["task"])?);
        let api = place.start(stage, &[("SDS_TLS_CLIENT_CA", &ca)]).await?;
        let mut without = place.connect(api.addr, None).await?;
        for (method, path, body) in writes() {
            let refused = without.ask(method, &path, &body).await?.expect(401)?.json()?;
            ensure!(refused["id"] == "ClientCertificateRequired", "{method} {path}: {refused}");
        }
        ensure!(api.instances("web").await?.is_empty() && api.instances("old").await?.is_empty());
        let counted = api.total("sds_writes_denied_total", &[("why", "certificate"), ("deed", "register")]).await?;
        ensure!(counted == writes().len() as f64, "{counted} were counted");
        let mut with = place.connect(api.addr, Some(&known)).await?;
        for (method, path, body) in writes() {
            let answer = with.ask(method, &path, &body).await?;
            ensure!((200..300).contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.text());
        }
        for path in ["/v1/registration/old", "/v1/services", "/v1/snapshot", "/metrics", "/readyz"] {
            without.ask("GET", path, "").await?.expect(200)?;
        }
        // EventBridge has a token and no certificate.
        let told = without.ask("POST", "/v1/ecs/events", "{}").await?.expect(404)?.text();
        ensure!(told.contains("SDS_ECS_CLUSTERS"), "{told}");
        // TLS 1.3 lets a client go on before it is judged.
        let put = registration((1, 4), json!({})).to_string();
        let judged = async {
            place.connect(api.addr, Some(&stranger)).await?.ask("PUT", &native_path("web", "127.0.0.1:9"), &put).await
        };
        ensure!(judged.await.is_err(), "a certificate of another authority is taken");
        ensure!(!api.instances("web").await?.contains_key("127.0.0.1:9"));
        Ok(())
    });
}

#[test]
fn registrations_alone_may_be_over_tls() {
    play("registrations_alone_may_be_over_tls", async |stage| {
        let place = Place::new(stage)?;
        let clients = Authority::new()?;
        let (ca, known) = (clients.pem(), clients.pair(&["task"])?);
        // As ECS hands secrets over.
        let env = [
            ("SDS_TLS_CERT", place.first.cert.as_str()),
            ("SDS_TLS_KEY", &place.first.key),
            ("SDS_TLS_CLIENT_CA", &ca),
            ("SDS_WRITE_LISTEN", "127.0.0.1:0"),
            ("SDS_TLS_LISTENERS", "write"),
        ];
        let mut api = Api::start(stage, &env).await?;
        let writes = api.process.address("listening for registrations addr=").await?;
        let (path, put) = (native_path("web", "127.0.0.1:1"), registration((1, 1), json!({})).to_string());
        let mut without = place.connect(writes, None).await?;
        without.ask("PUT", &path, &put).await?.expect(401)?;
        without.ask("GET", "/v1/snapshot", "").await?.expect(200)?;
        place.connect(writes, Some(&known)).await?.ask("PUT", &path, &put).await?.expect(200)?;
        ensure!(api.v1_endpoints("web").await? == ["127.0.0.1:1"]);
        Ok(())
    });
}

#[test]
fn a_proxy_names_its_client_before_the_handshake() {
    play("a_proxy_names_its_client_before_the_handshake", async |stage| {
        let place = Place::new(stage)?;
        let api = place.start(stage, &[("SDS_TRUSTED_PROXIES", "127.0.0.1/32")]).await?;
        let named = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\x7f\x00\x00\x01\x1f\x90\x00\x50";
        for (header, peer) in [(&named[..], "192.0.2.1"), (b"", "a proxy that does not say")] {
            let mut stream = TcpStream::connect(api.addr).await?;
            stream.write_all(header).await?;
            let mut connection = Connection::over(stream, &place.authority.pem(), None, "http/1.1").await?;
            let path = format!("{}/override", native_path("web", "127.0.0.1:1"));
            let refused = connection.ask("DELETE", &path, "").await?.expect(403)?.text();
            ensure!(refused.contains(peer), "{refused}");
        }
        Ok(())
    });
}

#[test]
fn handshakes_that_never_end_are_cut_off_and_hinder_nobody() {
    play("handshakes_that_never_end_are_cut_off_and_hinder_nobody", async |stage| {
        let place = Place::new(stage)?;
        let api = place.start(stage, &[]).await?;
        // The start of a record with a ClientHello, whose rest comes byte by byte or never.
        let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
        let begun = Instant::now();
        let mut crowd = JoinSet::new();
        for nth in 0..300 {
            let addr = api.addr;
            crowd.spawn(async move {
                let (mut read, mut write) = TcpStream::connect(addr).await?.into_split();
                write.write_all(&hello[..nth % 12]).await?;
                let drips = async {
                    while nth % 2 == 0 && write.write_all(b"\x01").await.is_ok() {
                        sleep(Duration::from_millis(200)).await;
                    }
                    std::future::pending::<()>().await;
                };
                let mut sink = Vec::new();
                tokio::select! { () = drips => {} _ = read.read_to_end(&mut sink) => {} }
                anyhow::Ok(())
            });
        }
        let mut polls = 0;
        let ended = async {
            while let Some(ended) = crowd.join_next().await {
                ended??;
            }
            anyhow::Ok(())
        };
        let served = async {
            loop {
                let mut reader = place.connect(api.addr, None).await?;
                reader.ask("GET", "/v1/registration/web", "").await?.expect(200)?;
                polls += 1;
                sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            ended = timeout(BOUND, ended) => ended.context("some are still open")??,
            failed = served => return failed,
        }
        let took = begun.elapsed();
        ensure!(polls > 20, "{polls} polls were served in {took:?}");
        let slow = api.metric("sds_connections_closed_total{why=\"slow\"}").await?;
        ensure!(slow >= 100.0, "{slow} are counted");
        Ok(())
    });
}

#[test]
fn who_does_not_read_is_cut_off_over_tls_too() {
    play("who_does_not_read_is_cut_off_over_tls_too", async |stage| {
        let place = Place::new(stage)?;
        let api = place.start(stage, &[]).await?;
        // By the one connection of this test's own client; whether the others hear of their end is their kernel's affair.
        let open = async |is: f64, within: Duration| {
            until("the number of connections", within, async || {
                let open = api.metric("sds_connections").await?;
                ensure!(open == is, "{open} are open, not {is}");
                Ok(())
            })
            .await
        };
        open(1.0, SOON).await?;
        let asking = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100);
        let mut unread = JoinSet::new();
        // The second one's answers are all in buffers.
        for again in [true, false] {
            let socket = TcpSocket::new_v4()?;
            socket.set_recv_buffer_size(4096)?;
            let stream = socket.connect(api.addr).await?;
            let mut connection = Connection::over(stream, &place.authority.pem(), None, "http/1.1").await?;
            let asking = asking.clone();
            unread.spawn(async move {
                while connection.say(&asking).await.is_ok() && again {}
                std::future::pending::<()>().await;
            });
        }
        open(3.0, SOON).await?;
        open(1.0, BOUND).await
    });
}
