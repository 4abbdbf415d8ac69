//! The units for plain hosts: the programs run with what stands there, all but addresses and paths of this machine.
//! systemd's own part (its order of stops, what it takes away) is not played.

use std::{fs, time::Duration};

use anyhow::{Context, ensure};
use e2e::{
    api::Api,
    app::App,
    dynamo::Dynamo,
    http,
    pki::Authority,
    replicas,
    sidecar::Sidecar,
    unit::{self, Unit},
    wait::{SOON, until},
};
use serde_json::json;
use tokio::time::Instant;

use crate::play;

fn span(text: &str) -> anyhow::Result<Duration> {
    sds_types::parse_span(text).map_err(anyhow::Error::msg)
}

fn borrowed(variables: &[(String, String)]) -> Vec<(&str, &str)> {
    variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[test]
fn the_sidecars_unit_drains_before_its_app_stops() {
    play("the_sidecars_unit_drains_before_its_app_stops", async |stage| {
        let unit = Unit::shipped("sidecar/systemd/sds-sidecar@.service", &[("%i", "web")])?;
        ensure!(unit.one("ExecStart")? == "/usr/local/bin/sds-sidecar");
        ensure!(unit.one("EnvironmentFile")? == "/etc/sds/web.env");
        // What it is ordered after is stopped after it, and stops it.
        let (app, after) = (unit.one("BindsTo")?, unit.one("After")?);
        ensure!(app == "web.service" && after.split(' ').any(|unit| unit == app), "{app} is not in {after}");
        ensure!(unit.one("WantedBy")? == app, "a start of the app starts no sidecar");
        let timeout = span(unit.one("TimeoutStopSec")?)?;

        let api = Api::start(stage, &[]).await?;
        let app = App::start(stage, "app").await?;
        let (url, port) = (api.url(""), app.addr.port());
        let (check, port) = (format!("http://:{port}/health"), port.to_string());
        let variables = unit::changed(
            unit::variables("sidecar/systemd/sidecar.env")?,
            &[
                ("SDS_API_URL", &url),
                ("SDS_PORT", &port),
                ("SDS_CHECK", &check),
                ("SDS_HOST", "127.0.0.1"),
                ("SDS_ADMIN_LISTEN", "127.0.0.1:0"),
            ],
        )?;
        let stop = variables.iter().find(|(name, _)| name == "SDS_STOP_TIMEOUT").context("no SDS_STOP_TIMEOUT")?;
        ensure!(timeout >= span(&stop.1)?, "systemd would kill it within its own time");
        let mut sidecar = Sidecar::start(stage, api.addr, "web", &app, &borrowed(&variables)).await?;
        api.until_status("web", &app.endpoint(), "healthy", SOON).await?;
        let began = Instant::now();
        let status = sidecar.process.stop(timeout).await?;
        ensure!(status.success(), "{status}");
        ensure!(began.elapsed() > Duration::from_secs(4), "nobody waited for what was in flight");
        ensure!(api.status("web", &app.endpoint()).await? == "absent");
        ensure!(sidecar.process.log().find("no option").is_none(), "a variable is none");
        Ok(())
    });
}

#[test]
fn the_registrys_unit_serves_over_tls_and_keeps_a_snapshot() {
    play("the_registrys_unit_serves_over_tls_and_keeps_a_snapshot", async |stage| {
        let state = stage.file("state");
        let places = [("%S", state.to_str().context("not UTF-8")?), ("%d", stage.dir().to_str().context("not UTF-8")?)];
        let unit = Unit::shipped("sds-api/systemd/sds-api.service", &places)?;
        let tls = Unit::shipped("sds-api/systemd/tls.conf", &places)?;
        ensure!(unit.one("ExecStart")? == "/usr/local/bin/sds-api");
        ensure!(unit.one("EnvironmentFile")? == "/etc/sds/sds-api.env");
        let timeout = span(unit.one("TimeoutStopSec")?)?;
        let files: u64 = unit.one("LimitNOFILE")?.parse()?;
        ensure!(files > 12_000, "of its connections only {files} can be open");

        let state = state.join(unit.one("StateDirectory")?);
        fs::create_dir_all(&state)?;
        let authority = Authority::new()?;
        // LoadCredential=NAME:FILE
        let names: Vec<_> = tls.all("LoadCredential").iter().filter_map(|loaded| loaded.split(':').next()).collect();
        let [cert, key] = names[..] else { anyhow::bail!("{names:?}") };
        authority.local()?.write(&stage.file(cert), &stage.file(key))?;
        let policy = stage.file("policy.toml");
        fs::write(&policy, "[[services]]\nnames = ['*']\nmode = 'off'\n")?;

        let store = Dynamo::in_memory(stage).await?;
        let endpoint = format!("http://{}", store.addr);
        let more = replicas::on(&endpoint).map(|(name, value)| (name.to_owned(), value.to_owned()));
        let given = unit::changed(
            unit::variables("sds-api/systemd/sds-api.env")?,
            &[("SDS_LISTEN", "127.0.0.1:0"), ("SDS_POLICY", policy.to_str().context("not UTF-8")?)],
        )?;
        // The snapshot is written once a lease.
        let lease = ("SDS_LEASE".to_owned(), "1s".to_owned());
        let all = [&more[..], &given, &unit.environment()?, &tls.environment()?, &[lease]].concat();
        let client = http::secure_client(SOON, &authority.pem(), None)?;
        let mut api = Api::secure(stage, &borrowed(&all), client).await?;
        api.put("web", "10.0.0.1:80", (1, 1), json!({})).await?.expect(200)?;
        until("a snapshot in the state directory", SOON, async || {
            ensure!(state.join("snapshot").is_file());
            Ok(())
        })
        .await?;
        let status = api.process.stop(timeout).await?;
        ensure!(status.success(), "{status}");
        ensure!(api.process.log().find("no option").is_none(), "a variable is none");
        Ok(())
    });
}
