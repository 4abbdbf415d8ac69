//! Several services of one task, by one sidecar and its `SDS_CONFIG`: what happens to one is none of the other's business,
//! and the task is only as ready as each of them.

use std::time::Duration;

use anyhow::ensure;
use e2e::{
    api::Api,
    app::App,
    process::Signal,
    sidecar::Sidecar,
    wait::{SOON, until},
};
use serde_json::{Value, json};

use crate::play;

/// The form for one service, taken back: a variable that is set to nothing counts as unset.
const NOT_ONE: [(&str, &str); 5] =
    [("SDS_SERVICE", ""), ("SDS_PORT", ""), ("SDS_CHECK", ""), ("SDS_INTERVAL", ""), ("SDS_TIMEOUT", "")];

fn service(name: &str, app: &App, more: Value) -> Value {
    let check = format!("http://:{}/health", app.addr.port());
    let mut service =
        json!({"service": name, "port": app.addr.port(), "check": [check], "interval": "500ms", "timeout": 0.3});
    for (key, value) in more.as_object().into_iter().flatten() {
        service[key] = value.clone();
    }
    service
}

#[test]
fn two_services_of_one_task() {
    play("two_services_of_one_task", async |stage| {
        let api = Api::start(stage, &[]).await?;
        let (web, admin) = (App::start(stage, "web").await?, App::start(stage, "admin").await?);
        let services = [service("web", &web, json!({"weight": 7})), service("admin", &admin, json!({"canary": true}))];
        let config = json!({"services": services}).to_string();
        let env = [&NOT_ONE[..], &[("SDS_CONFIG", &config)]].concat();
        let mut sidecar = Sidecar::start(stage, api.addr, "", &web, &env).await?;
        for (name, app) in [("web", &web), ("admin", &admin)] {
            api.until_status(name, &app.endpoint(), "healthy", SOON).await?;
        }
        let (web_row, admin_row) = (row(&api, "web", &web).await?, row(&api, "admin", &admin).await?);
        ensure!(web_row["weight"] == 7 && web_row["canary"] == false, "{web_row}");
        ensure!(admin_row["weight"].is_null() && admin_row["canary"] == true, "{admin_row}");
        until("both to be told so", SOON, async || {
            ensure!(sidecar.page("/readyz").await? == 200);
            Ok(())
        })
        .await?;

        let version = version(&api, "web").await?;
        admin.mode("sick").await?;
        api.until_status("admin", &admin.endpoint(), "unhealthy", SOON).await?;
        ensure!(api.status("web", &web.endpoint()).await? == "healthy");
        ensure!(self::version(&api, "web").await? == version, "the other service has a new version");
        until("it not to be ready", SOON, async || {
            ensure!(sidecar.page("/readyz").await? == 503);
            Ok(())
        })
        .await?;
        ensure!(sidecar.page("/healthcheck").await? == 200);

        sidecar.process.signal(Signal::TERM)?;
        for (name, app) in [("web", &web), ("admin", &admin)] {
            api.until_status(name, &app.endpoint(), "draining", Duration::from_secs(1)).await?;
        }
        let status = sidecar.process.exit(SOON).await?;
        ensure!(status.success(), "{status}");
        for (name, app) in [("web", &web), ("admin", &admin)] {
            ensure!(api.status(name, &app.endpoint()).await? == "absent", "{name} was left behind");
        }
        Ok(())
    });
}

async fn row(api: &Api, service: &str, app: &App) -> anyhow::Result<Value> {
    Ok(api.instances(service).await?.remove(&app.endpoint()).unwrap_or_default())
}

async fn version(api: &Api, service: &str) -> anyhow::Result<Value> {
    Ok(api.get(&format!("/v1/services/{service}")).await?.expect(200)?.json()?["version"].clone())
}
