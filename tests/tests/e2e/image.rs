//! What production is made of, and no more: no embedded store, names and authorities from files of the system, a policy,
//! certificates, a snapshot on a volume.
//!
//! The gate and `.ci/images` play these from the root filesystem of each image, as its uid and read-only, so nothing here
//! may ask the programs for what an image lacks.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use anyhow::{Context, ensure};
use e2e::{
    api::Api,
    app::App,
    dynamo::Dynamo,
    envoy::{Envoy, Guards, HealthChecks, Mode, Setup},
    http,
    load::Load,
    pki::Authority,
    replicas::{self, Replica, addrs},
    sidecar::Sidecar,
    wait::{SOON, until},
};
use reqwest::Method;
use serde_json::json;

use crate::{alone, play, policy};

const RATE: u32 = 100;

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("not UTF-8")
}

#[test]
fn a_task_and_a_replica_go_without_a_loss() {
    alone("a_task_and_a_replica_go_without_a_loss", async |stage| {
        let store = Dynamo::in_memory(stage).await?;
        // So long a replica that is to stop still answers: Envoys look twice a second.
        let mut replicas = replicas::start(stage, store.addr, 2, &[("SDS_SHUTDOWN_DELAY", "1500ms")]).await?;
        let (mut first, second) = (App::start(stage, "first").await?, App::start(stage, "second").await?);
        // By name, so the system's hosts file is read.
        let urls: Vec<_> =
            replicas.iter().map(|replica| format!("http://localhost:{}", replica.api.addr.port())).collect();
        let (urls, at) = (urls.join(","), replicas[0].api.addr);
        let env = [("SDS_API_URL", urls.as_str()), ("SDS_LINGER", "10s"), ("SDS_INFLIGHT", "500ms")];
        let mut leaving = Sidecar::start(stage, at, "web", &first, &env).await?;
        let staying = Sidecar::start(stage, at, "web", &second, &env).await?;
        replicas::agree(&replicas, "web", 2, SOON).await?;
        let setup = Setup {
            replicas: addrs(&replicas),
            services: vec!["web".to_owned()],
            mode: Mode::DeltaAds,
            checks: HealthChecks::Off,
            guards: Guards::default(),
        };
        let envoy = Envoy::set_up(stage, &setup).await?;
        envoy.until_equal(&replicas[0].api, SOON).await?;
        let load = Load::start(envoy.listener, RATE);
        load.flows(u64::from(RATE)).await?;
        let status = leaving.stop_task(&mut first).await?;
        ensure!(status.success(), "the sidecar ended with {status}");
        replicas::agree(&replicas, "web", 1, SOON).await?;
        let status = replicas[0].api.process.stop(SOON).await?;
        ensure!(status.success(), "the registry ended with {status}");
        load.flows(u64::from(RATE)).await?;
        let report = load.stop().await?;
        ensure!(report.answered.contains_key("first") && report.answered.contains_key("second"), "{report:?}");
        ensure!(report.failed.is_empty(), "{report:?}");
        ensure!(staying.page("/livez").await? == 200);
        Ok(())
    });
}

#[test]
fn who_registers_shows_a_token_over_tls() {
    play("who_registers_shows_a_token_over_tls", async |stage| {
        let store = Dynamo::in_memory(stage).await?;
        let endpoint = format!("http://{}", store.addr);
        let authority = Authority::new()?;
        let [cert, key, ca, rules] = ["cert.pem", "key.pem", "ca.pem", "policy.toml"].map(|name| stage.file(name));
        authority.local()?.write(&cert, &key)?;
        fs::write(&ca, authority.pem())?;
        let [token, hash] = policy::token(&stage.programs).await?;
        let mode = "[[services]]\nnames = ['*']\nmode = 'token'\n";
        fs::write(&rules, format!("{mode}[[tokens]]\nname = 'web'\nsha256 = ['{hash}']\nregister = ['web']\n"))?;
        let files = [("SDS_TLS_CERT", text(&cert)?), ("SDS_TLS_KEY", text(&key)?), ("SDS_POLICY", text(&rules)?)];
        let client = http::secure_client(SOON, &authority.pem(), None)?;
        let api = Api::secure(stage, &[&replicas::on(&endpoint)[..], &files].concat(), client).await?;
        let (app, other) = (App::start(stage, "app").await?, App::start(stage, "other").await?);
        let url = format!("https://localhost:{}", api.addr.port());
        let env = [("SDS_API_URL", url.as_str()), ("SDS_API_CA", text(&ca)?), ("SDS_API_TOKEN", &token)];
        let mut known = Sidecar::start(stage, api.addr, "web", &app, &env).await?;
        api.until_status("web", &app.endpoint(), "healthy", SOON).await?;
        let mut unknown = Sidecar::start(stage, api.addr, "web", &other, &env[..2]).await?;
        unknown.process.says("Unauthorized").await?;
        ensure!(known.process.stop(SOON).await?.success());
        ensure!(api.instances("web").await?.is_empty(), "somebody is left");
        Ok(())
    });
}

#[test]
fn a_snapshot_on_a_volume_outlives_its_registry_and_the_store() {
    play("a_snapshot_on_a_volume_outlives_its_registry_and_the_store", async |stage| {
        let volume = stage.file("volume");
        fs::create_dir(&volume)?;
        // Whoever the program runs as.
        fs::set_permissions(&volume, fs::Permissions::from_mode(0o777))?;
        let file = volume.join("snapshot");
        let mut store = Dynamo::in_memory(stage).await?;
        // It is written once a lease; a legacy client's registration lives longer without a heartbeat.
        let env = [("SDS_SNAPSHOT", text(&file)?), ("SDS_LEASE", "1s")];
        let mut replica = Replica::start(stage, store.addr, &env).await?;
        replica.ready(SOON).await?;
        let host = json!({"ip": "10.0.0.1", "port": 80, "revision": "r1", "tags": {}});
        replica.api.json(Method::POST, "/v1/registration/web", &host).await?.expect(202)?;
        until("the snapshot to hold it", SOON, async || {
            ensure!(fs::read_to_string(&file)?.contains("10.0.0.1:80"));
            Ok(())
        })
        .await?;
        store.kill().await?;
        replica.api.process.stop(SOON).await?;
        replica.start_again(stage).await?;
        replica.ready(SOON).await?;
        ensure!(replica.api.v1_endpoints("web").await? == ["10.0.0.1:80"]);
        ensure!(replica.api.metric("sds_last_sync_timestamp_seconds").await? > 0.0, "what is served has no age");
        Ok(())
    });
}

#[test]
fn certificates_are_judged_by_the_systems_authorities() {
    play("certificates_are_judged_by_the_systems_authorities", async |stage| {
        let app = App::start(stage, "app").await?;
        // Without any authority it would not start.
        let check = format!("https://:{}/health", app.addr.port());
        let sidecar = Sidecar::start(stage, app.addr, "web", &app, &[("SDS_CHECK", &check)]).await?;
        let mut command = stage.programs.sidecar();
        let asked = command.arg("healthcheck").env("SDS_ADMIN_LISTEN", sidecar.admin.to_string()).output().await?;
        let told = String::from_utf8_lossy(&asked.stderr).into_owned();
        ensure!(asked.status.code() == Some(1) && told.contains("has not passed its check yet"), "{told}");
        ensure!(sidecar.page("/livez").await? == 200);
        Ok(())
    });
}

#[test]
fn on_all_addresses_it_wants_to_know_who_may_register() {
    play("on_all_addresses_it_wants_to_know_who_may_register", async |stage| {
        let mut command = stage.programs.api();
        command.current_dir(stage.dir()).env("PORT", "8080").env("DDB_TABLE", "sds");
        let mut process = stage.spawn("sds-api", command)?;
        process.says("PORT: 0.0.0.0:8080 is not loopback").await?;
        ensure!(process.exit(Duration::from_secs(5)).await?.code() == Some(64));
        Ok(())
    });
}
