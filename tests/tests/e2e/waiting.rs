//! `sds-sidecar wait`, as a container on which others depend with SUCCESS: exit 0 when what is awaited is there, 1 when it
//! did not come in time.

use std::{net::SocketAddr, process::ExitStatus, time::Duration};

use anyhow::ensure;
use e2e::{api::Api, app::App, envoy::Envoy, process::Process, sidecar::Sidecar, stage::Stage, wait::SOON};

use crate::play;

const NOBODY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

/// `wait --for WHAT`, where the address of a variable says whom to ask.
fn wait(stage: &Stage, what: &str, variable: &str, at: SocketAddr, timeout: &str) -> anyhow::Result<Process> {
    let mut command = stage.programs.sidecar();
    command.args(["wait", "--for", what, "--wait-timeout", timeout]).env(variable, at.to_string());
    stage.spawn(&format!("wait for {what}"), command)
}

async fn code(mut process: Process) -> anyhow::Result<Option<i32>> {
    process.exit(SOON).await.map(|status: ExitStatus| status.code())
}

#[test]
fn for_the_registration() {
    play("for_the_registration", async |stage| {
        let api = Api::start(stage, &[]).await?;
        let app = App::start(stage, "app").await?;
        app.mode("sick").await?;
        let mut sidecar = Sidecar::start(stage, api.addr, "web", &app, &[]).await?;
        let wait = |at, timeout| wait(stage, "registered", "SDS_ADMIN_LISTEN", at, timeout);
        ensure!(code(wait(NOBODY, "300ms")?).await? == Some(1), "nobody is there");
        let mut impatient = wait(sidecar.admin, "500ms")?;
        impatient.says("the app has not passed its check yet").await?;
        ensure!(code(impatient).await? == Some(1), "nothing is registered");
        let patient = wait(sidecar.admin, "15s")?;
        app.mode("ok").await?;
        ensure!(code(patient).await? == Some(0), "the app is registered");
        ensure!(api.status("web", &app.endpoint()).await? == "healthy");
        // What was registered once may be in trouble later: whoever waits is not told of that.
        app.mode("sick").await?;
        api.until_status("web", &app.endpoint(), "unhealthy", SOON).await?;
        ensure!(code(wait(sidecar.admin, "5s")?).await? == Some(0));
        sidecar.process.kill().await?;
        ensure!(code(wait(sidecar.admin, "300ms")?).await? == Some(1), "it is dead");
        Ok(())
    });
}

#[test]
fn for_an_envoy() {
    play("for_an_envoy", async |stage| {
        let api = Api::start(stage, &[]).await?;
        let wait = |at, timeout| wait(stage, "envoy", "SDS_ENVOY_ADMIN", at, timeout);
        let mut nobody = wait(NOBODY, "300ms")?;
        nobody.says("Connection refused").await?;
        ensure!(code(nobody).await? == Some(1), "nobody is there");
        let envoy = Envoy::start(stage, api.addr, "web", Duration::from_millis(200)).await?;
        ensure!(code(wait(envoy.admin, "15s")?).await? == Some(0), "Envoy is ready");
        Ok(())
    });
}
