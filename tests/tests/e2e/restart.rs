//! The registry itself stops, dies, starts and finds its store away: no reader is told that there is nobody.

use std::time::Duration;

use anyhow::{Context, ensure};
use e2e::{
    api::Api,
    app::App,
    envoy::Envoy,
    gate::Gate,
    load::Load,
    sidecar::Sidecar,
    stage::Stage,
    table::{Table, good_row},
    wait::{SOON, throughout, until},
};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use crate::{alone, play};

const LEASE: (&str, &str) = ("SDS_LEASE", "3s");
const HEARTBEAT: Duration = Duration::from_secs(1);

#[test]
fn with_its_file_nothing_is_lost_and_the_dead_stay_dead() {
    alone("with_its_file_nothing_is_lost_and_the_dead_stay_dead", async |stage| {
        let file = stage.file("data.sqlite");
        let data = ("SDS_DATA", file.to_str().context("not UTF-8")?);
        let mut api = Api::start(stage, &[LEASE, data]).await?;
        let (live, mut dead) = (App::start(stage, "live").await?, App::start(stage, "dead").await?);
        let _sidecar = Sidecar::start(stage, api.addr, "web", &live, &[]).await?;
        let mut killed = Sidecar::start(stage, api.addr, "web", &dead, &[]).await?;
        for app in [&live, &dead] {
            api.until_status("web", &app.endpoint(), "healthy", SOON).await?;
        }
        api.put("web", "10.0.0.1:80", (1, 1), json!({})).await?.expect(200)?;
        api.delete("web", "10.0.0.1:80", (1, 2)).await?.expect(204)?;
        killed.kill_task(&mut dead).await?;
        let table = api.table().await?;
        until("the dead to be marked in the table", SOON, async || {
            let row = table.row("web", &dead.endpoint()).await?.context("no row")?;
            ensure!(row.contains_key("lost"), "{row:?}");
            Ok(())
        })
        .await?;

        api.process.kill().await?;
        let addr = api.addr.to_string();
        let api = Api::start_unready(stage, &[LEASE, data, ("SDS_LISTEN", &addr)]).await?;
        let first = until("the first answer", SOON, async || api.v1_endpoints("web").await).await?;
        ensure!(first == [live.endpoint()], "the first answer was {first:?}");
        throughout("the live one alone is served", HEARTBEAT * 3, async || {
            let now = api.v1_endpoints("web").await?;
            ensure!(now == [live.endpoint()], "{now:?}");
            Ok(())
        })
        .await?;
        // Who comes late for a life that was closed is still refused.
        api.put("web", "10.0.0.1:80", (1, 3), json!({})).await?.expect(409).map(drop)
    });
}

#[test]
fn with_an_empty_store_the_sidecars_are_back_within_a_heartbeat() {
    alone("with_an_empty_store_the_sidecars_are_back_within_a_heartbeat", async |stage| {
        let mut api = Api::start(stage, &[LEASE]).await?;
        let apps = [App::start(stage, "a").await?, App::start(stage, "b").await?];
        let mut sidecars = Vec::new();
        for app in &apps {
            sidecars.push(Sidecar::start(stage, api.addr, "web", app, &[]).await?);
            api.until_status("web", &app.endpoint(), "healthy", SOON).await?;
        }
        api.process.stop(SOON).await?;
        let addr = api.addr.to_string();
        let api = Api::start(stage, &[LEASE, ("SDS_LISTEN", &addr)]).await?;
        let ready = Instant::now();
        // One heartbeat, and the time of the request itself on a slow machine.
        until("both to be back", HEARTBEAT + Duration::from_millis(500), async || {
            ensure!(api.v1("web").await?.len() == 2);
            Ok(())
        })
        .await?;
        println!("back after {:?}", ready.elapsed());
        Ok(())
    });
}

/// A registry whose store is another's embedded one, behind a gate: as DynamoDB behind a network that may fail.
async fn behind_a_gate(stage: &Stage) -> anyhow::Result<(Api, Gate, Table)> {
    let mut store = Api::start(stage, &[]).await?;
    let endpoint = store.store().await?;
    let gate = Gate::closed(endpoint.trim_start_matches("http://").parse()?).await?;
    Ok((store, gate, Table::new(&endpoint, "sds")))
}

fn env(gate: &str) -> [(&str, &str); 7] {
    [
        ("SDS_STORE", "dynamodb"),
        ("DDB_TABLE", "sds"),
        ("AWS_ENDPOINT_URL_DYNAMODB", gate),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("SDS_FULL_READ", "300ms"),
    ]
}

#[test]
fn before_its_first_read_it_says_503_and_never_nobody() {
    play("before_its_first_read_it_says_503_and_never_nobody", async |stage| {
        let (_store, gate, table) = behind_a_gate(stage).await?;
        table.put(good_row("web", "10.0.0.1:80")).await?;
        let endpoint = format!("http://{}", gate.addr);
        let api = Api::start_unready(stage, &env(&endpoint)).await?;
        throughout("nothing is known", Duration::from_secs(3), async || {
            api.get("/livez").await?.expect(200)?;
            for path in [
                "/readyz",
                "/hc",
                "/v1/registration/web",
                "/v1/registration/none",
                "/v1/services/web",
                "/v1/prometheus",
                "/v1/prometheus/web",
            ] {
                api.get(path).await?.expect(503)?;
            }
            api.eds("v3", &["web"], "").await?.expect(503)?;
            api.eds("v2", &["web"], "").await?.expect(503)?;
            Ok(())
        })
        .await?;
        let start = Instant::now();
        api.put("web", "10.0.0.2:80", (1, 1), json!({})).await?.expect(503)?;
        ensure!(start.elapsed() < Duration::from_secs(1), "the 503 took {:?}", start.elapsed());
        gate.open();
        let first = until("the first answer", SOON, async || api.v1_endpoints("web").await).await?;
        ensure!(first == ["10.0.0.1:80"], "the first answer was {first:?}");
        api.get("/readyz").await?.expect(200).map(drop)
    });
}

#[test]
fn a_wiped_table_is_filled_again_before_it_is_believed() {
    alone("a_wiped_table_is_filled_again_before_it_is_believed", async |stage| {
        let (_store, gate, table) = behind_a_gate(stage).await?;
        gate.open();
        table.wipe().await?;
        let endpoint = format!("http://{}", gate.addr);
        let api = Api::start_unready(stage, &[&env(&endpoint)[..], &[("SDS_LEASE", "9s")]].concat()).await?;
        let begun = Instant::now();
        // A heartbeat of a sidecar, as it comes to a registry that knows nothing: taken, while nobody is answered.
        until("writes to be taken", SOON, async || api.put("web", "10.0.0.1:80", (1, 7), json!({})).await?.expect(200))
            .await?;
        api.get("/v1/registration/web").await?.expect(503)?;
        api.eds("v3", &["web"], "").await?.expect(503)?;
        let first = until("the first answer", SOON, async || api.v1_endpoints("web").await).await?;
        ensure!(first == ["10.0.0.1:80"], "the first answer was {first:?}");
        ensure!(begun.elapsed() > Duration::from_secs(2), "believed after {:?}", begun.elapsed());
        // From then on the table bears the mark, and a restart believes it at once.
        until("the mark", SOON, async || table.row("#meta", "#meta").await?.context("no mark")).await.map(drop)
    });
}

#[test]
fn with_the_store_away_every_read_is_answered() {
    alone("with_the_store_away_every_read_is_answered", async |stage| {
        let (_store, gate, _table) = behind_a_gate(stage).await?;
        gate.open();
        let endpoint = format!("http://{}", gate.addr);
        let api = Api::start(stage, &env(&endpoint)).await?;
        api.put("web", "10.0.0.1:80", (1, 1), json!({})).await?.expect(200)?;
        gate.close();
        let mut seq = 1;
        throughout("reads and heartbeats go on", Duration::from_secs(4), async || {
            let start = Instant::now();
            ensure!(api.v1_endpoints("web").await? == ["10.0.0.1:80"]);
            api.eds("v3", &["web"], "").await?.expect(200)?;
            for path in ["/readyz", "/livez", "/hc", "/v1/services/web", "/metrics"] {
                api.get(path).await?.expect(200)?;
            }
            ensure!(start.elapsed() < Duration::from_secs(1), "reads took {:?}", start.elapsed());
            seq += 1;
            api.put("web", "10.0.0.1:80", (1, seq), json!({})).await?.expect(200)?;
            Ok(())
        })
        .await?;
        let start = Instant::now();
        let refused = api.put("web", "10.0.0.2:80", (1, 1), json!({})).await?.expect(503)?;
        ensure!(!refused.header("retry-after").is_empty(), "a 503 without Retry-After");
        ensure!(start.elapsed() < Duration::from_secs(1), "the 503 took {:?}", start.elapsed());
        gate.open();
        until("the store to be used again", SOON, async || {
            seq += 1;
            api.put("web", "10.0.0.2:80", (1, seq), json!({})).await?.expect(200)
        })
        .await?;
        ensure!(api.v1("web").await?.len() == 2);
        Ok(())
    });
}

#[test]
fn a_killed_registry_costs_no_request() {
    alone("a_killed_registry_costs_no_request", async |stage| {
        let file = stage.file("data.sqlite");
        let data = ("SDS_DATA", file.to_str().context("not UTF-8")?);
        let mut api = Api::start(stage, &[LEASE, data]).await?;
        let app = App::start(stage, "app").await?;
        let _sidecar = Sidecar::start(stage, api.addr, "web", &app, &[]).await?;
        let envoy = Envoy::start(stage, api.addr, "web", Duration::from_millis(200)).await?;
        until("the app to serve", SOON, async || {
            ensure!(envoy.hosts().await?.len() == 1);
            Ok(())
        })
        .await?;
        let load = Load::start(envoy.listener, 50);
        load.flows(20).await?;
        api.process.kill().await?;
        envoy.polled(2).await?;
        let addr = api.addr.to_string();
        let api = Api::start(stage, &[LEASE, data, ("SDS_LISTEN", &addr)]).await?;
        envoy.polled(2).await?;
        envoy.until_equal(&api, SOON).await?;
        load.flows(20).await?;
        let report = load.stop().await?;
        ensure!(report.failures() == 0, "{:?}", report.failed);
        Ok(())
    });
}

/// Asks on one connection without a pause, until an answer says that it is the connection's last.
async fn ask_until_told_to_go(mut stream: TcpStream) -> anyhow::Result<()> {
    let mut buffer = vec![0; 4096];
    loop {
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.context("a request could not be sent")?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nok\n") {
            let n = stream.read(&mut buffer).await.context("a request was not answered")?;
            ensure!(n > 0, "the connection closed after {:?}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&buffer[..n]);
        }
        if String::from_utf8_lossy(&answer).contains("connection: close") {
            return Ok(());
        }
    }
}

#[test]
fn sigterm_cuts_no_request_short() {
    alone("sigterm_cuts_no_request_short", async |stage| {
        let mut api = Api::start(stage, &[]).await?;
        let idle = TcpStream::connect(api.addr).await?;
        let mut clients = Vec::new();
        for _ in 0..100 {
            clients.push(tokio::spawn(ask_until_told_to_go(TcpStream::connect(api.addr).await?)));
        }
        until("the clients to be at it", SOON, async || {
            ensure!(api.metric("sds_connections").await? >= 100.0);
            Ok(())
        })
        .await?;
        api.process.signal(e2e::process::Signal::TERM)?;
        api.process.says("stopping").await?;
        // This one has not heard of it, and its request is already on its way.
        ask_until_told_to_go(idle).await.context("after the stop began")?;
        let status = api.process.exit(SOON).await?;
        ensure!(status.success(), "{status}");
        let ended = join_all(clients).await.into_iter();
        let cut_short: Vec<_> =
            ended.filter_map(|client| client.map_err(anyhow::Error::from).flatten().err()).collect();
        ensure!(cut_short.is_empty(), "{} of 100: {:#}", cut_short.len(), cut_short[0]);
        Ok(())
    });
}

#[test]
fn sigterm_ends_it_in_order() {
    play("sigterm_ends_it_in_order", async |stage| {
        let mut api = Api::start(stage, &[]).await?;
        let status = api.process.stop(Duration::from_secs(5)).await?;
        ensure!(status.success(), "{status}");

        let mut api = Api::start(stage, &[("SDS_SHUTDOWN_DELAY", "1s")]).await?;
        api.put("web", "10.0.0.1:80", (1, 1), json!({})).await?.expect(200)?;
        api.process.signal(e2e::process::Signal::TERM)?;
        until("it to say that it is leaving", SOON, async || api.get("/readyz").await?.expect(503)).await?;
        // Load balancers need a moment to see that; until then it serves, and asks clients to go elsewhere.
        ensure!(api.v1("web").await?.len() == 1);
        let last = api.send(Method::GET, "/v1/registration/web", &[], "").await?.expect(200)?;
        ensure!(last.header("connection") == "close", "its answers do not end their connections");
        let status = api.process.exit(SOON).await?;
        ensure!(status.success(), "{status}");
        Ok(())
    });
}
