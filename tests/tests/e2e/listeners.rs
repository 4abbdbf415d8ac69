//! Listeners apart: each takes its own requests, and says of the others where they belong.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use e2e::{
    api::{Api, native_path, registration},
    app::App,
    http::{self, Answer},
    raw,
    sidecar::Sidecar,
    stage::Stage,
    wait::SOON,
    xds::{Sotw, connect},
};
use reqwest::Method;
use serde_json::json;

use crate::play;

const WRITES: (&str, &str) = ("SDS_WRITE_LISTEN", "127.0.0.1:0");
const ADMIN: (&str, &str) = ("SDS_ADMIN_LISTEN", "127.0.0.1:0");
const STREAMS: (&str, &str) = ("SDS_XDS_LISTEN", "127.0.0.1:0");

/// A registry whose listeners are all apart.
struct Apart {
    _api: Api,
    /// Main, write, admin, streams.
    addrs: [SocketAddr; 4],
}

const NAMES: [&str; 4] = ["SDS_LISTEN", "SDS_WRITE_LISTEN", "SDS_ADMIN_LISTEN", "SDS_XDS_LISTEN"];
const MAIN: usize = 0;
const WRITE: usize = 1;
const OPERATORS: usize = 2;
const XDS: usize = 3;

impl Apart {
    async fn start(stage: &Stage) -> anyhow::Result<Self> {
        let mut api = Api::start(stage, &[WRITES, ADMIN, STREAMS]).await?;
        let mut addrs = [api.addr; 4];
        for (nth, what) in [(WRITE, "registrations"), (OPERATORS, "operators"), (XDS, "discovery streams")] {
            addrs[nth] = api.process.address(&format!("listening for {what} addr=")).await?;
        }
        Ok(Self { _api: api, addrs })
    }

    async fn ask(&self, at: usize, method: &str, path: &str, body: &str) -> anyhow::Result<Answer> {
        raw::request(self.addrs[at], method, path, body.as_bytes()).await
    }
}

/// Requests in an order in which all succeed, and where they are served.
fn routes() -> Vec<(&'static str, String, String, &'static [usize])> {
    let web = native_path("web", "127.0.0.1:1");
    let (put, cookpad) =
        (registration((1, 1), json!({})).to_string(), r#"{"ip":"127.0.0.1","port":2,"revision":"r","tags":{}}"#);
    let lyft = "ip=127.0.0.1&port=3&revision=r&tags=%7B%22az%22%3A%22a%22%2C%22region%22%3A%22r%22%2C%22instance_id%22%3A%22i%22%7D";
    let kumonos = r#"{"hosts":[{"ip_address":"127.0.0.1","port":4}]}"#;
    let eds = r#"{"resource_names":["web"]}"#;
    let (said, none) = (|text: &str| text.to_owned(), String::new);
    let over = json!({"status": "unhealthy", "reason": "a test"}).to_string();
    vec![
        ("PUT", web.clone(), put.clone(), &[WRITE]),
        ("POST", said("/v1/registration/old"), said(cookpad), &[WRITE]),
        ("POST", said("/v1/registration/old"), said(lyft), &[WRITE]),
        ("POST", said("/v1/registration/old"), said(kumonos), &[WRITE]),
        ("POST", said("/v1/registration/old/"), said(cookpad), &[WRITE]),
        ("POST", said("/v1/loadbalancing/old/127.0.0.1"), said("load_balancing_weight=10"), &[WRITE]),
        ("GET", said("/v1/registration/web"), none(), &[MAIN]),
        ("GET", said("/v1/registration/repo/r"), none(), &[MAIN]),
        ("HEAD", said("/v1/registration/web"), none(), &[MAIN]),
        ("POST", said("/v2/discovery:endpoints"), said(eds), &[MAIN]),
        ("POST", said("/v3/discovery:endpoints"), said(eds), &[MAIN]),
        ("GET", said("/v1/services"), none(), &[MAIN, OPERATORS]),
        ("GET", said("/v1/services/web"), none(), &[MAIN, OPERATORS]),
        ("GET", said("/v1/prometheus"), none(), &[MAIN, OPERATORS]),
        ("GET", said("/v1/prometheus/web"), none(), &[MAIN, OPERATORS]),
        ("GET", web.clone(), none(), &[MAIN, OPERATORS]),
        ("PUT", format!("{web}/override"), over, &[OPERATORS]),
        ("DELETE", format!("{web}/override"), none(), &[OPERATORS]),
        ("GET", said("/v1/events"), none(), &[OPERATORS]),
        ("GET", said("/v1/clients"), none(), &[OPERATORS]),
        ("GET", said("/metrics"), none(), &[OPERATORS]),
        ("GET", said("/"), none(), &[OPERATORS]),
        ("GET", said("/v1/snapshot"), none(), &[WRITE]),
        ("POST", format!("{web}/drain"), registration((1, 2), json!({})).to_string(), &[WRITE]),
        ("GET", format!("{web}/drain"), none(), &[WRITE, OPERATORS]),
        ("DELETE", format!("{web}?incarnation=1&seq=3"), none(), &[WRITE]),
        ("DELETE", said("/v1/registration/old/127.0.0.1:2"), none(), &[WRITE]),
        ("POST", said("/v1/deregistration/old"), said(kumonos), &[WRITE]),
    ]
}

#[test]
fn each_listener_serves_its_own() {
    play("each_listener_serves_its_own", async |stage| {
        let apart = Apart::start(stage).await?;
        for (method, path, body, homes) in routes() {
            // First where nothing may happen.
            for at in (0..4).filter(|at| !homes.contains(at)) {
                let answer = apart.ask(at, method, &path, &body).await?;
                let shown = format!("{method} {path} at {}: {} {}", NAMES[at], answer.status, answer.text());
                ensure!(answer.status == 421, "{shown}");
                if method != "HEAD" {
                    let said = answer.json()?;
                    let reason = said["reason"].as_str().context("no reason")?;
                    ensure!(said["id"] == "WrongListener" && reason.contains(NAMES[at]), "{shown}");
                    ensure!(homes.iter().all(|home| reason.contains(NAMES[*home])), "{shown}");
                    ensure!(!reason.contains("127.0.0.1"), "an address is told: {shown}");
                }
            }
            for home in homes {
                let answer = apart.ask(*home, method, &path, &body).await?;
                let shown = format!("{method} {path} at {}: {} {}", NAMES[*home], answer.status, answer.text());
                ensure!((200..300).contains(&answer.status), "{shown}");
            }
        }
        for (at, name) in NAMES.iter().enumerate() {
            for path in ["/livez", "/readyz", "/hc", "/healthcheck"] {
                ensure!(apart.ask(at, "GET", path, "").await?.status == 200, "{path} at {name}");
            }
            ensure!(apart.ask(at, "GET", "/no/such/route", "").await?.status == 404);
            let event = apart.ask(at, "POST", "/v1/ecs/events", "{}").await?.status;
            ensure!(event == if at == WRITE { 404 } else { 421 }, "{event} at {name}, where ECS is not asked");
            ensure!(apart.ask(at, "PATCH", "/v1/services", "").await?.status == 405);
            let stream = Sotw::aggregated(&connect(apart.addrs[at]).await?).await;
            match stream {
                Ok(_) => ensure!(at == XDS, "{name} serves streams"),
                Err(refused) => ensure!(at != XDS && refused.to_string().contains(NAMES[XDS]), "{refused:?}"),
            }
        }
        Ok(())
    });
}

#[test]
fn a_sidecar_writes_where_writes_are() {
    play("a_sidecar_writes_where_writes_are", async |stage| {
        let mut api = Api::start(stage, &[WRITES, ("SDS_ALLOW_LOOPBACK", "true"), ("SDS_LISTEN", "0.0.0.0:0")]).await?;
        let writes = api.process.address("listening for registrations addr=").await?;
        let app = App::start(stage, "app").await?;
        let mut sidecar = Sidecar::start(stage, writes, "web", &app, &[]).await?;
        let reads = SocketAddr::from(([127, 0, 0, 1], api.addr.port()));
        let url = format!("http://{reads}/v1/registration/web");
        let client = http::client(SOON);
        e2e::wait::until("the sidecar's app to be listed", SOON, async || {
            let hosts = http::send(&client, Method::GET, &url, &[], "").await?.expect(200)?.json()?;
            ensure!(hosts["hosts"].as_array().is_some_and(|hosts| hosts.len() == 1), "{hosts}");
            Ok(())
        })
        .await?;
        sidecar.process.stop(SOON).await.map(drop)
    });
}
