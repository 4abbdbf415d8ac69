//! A sidecar in a process of its own, next to an app.

use std::{net::SocketAddr, process::ExitStatus, time::Duration};

use crate::{app::App, http, process::Process, stage::Stage, wait};

/// A running sidecar.
#[derive(Debug)]
pub struct Sidecar {
    /// Its process.
    pub process: Process,
    /// Its loopback page.
    pub admin: SocketAddr,
    client: reqwest::Client,
}

impl Sidecar {
    /// Starts one that registers `app` for `service` at `api`, with short times unless `env` says otherwise.
    pub async fn start(
        stage: &Stage,
        api: SocketAddr,
        service: &str,
        app: &App,
        env: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let port = app.addr.port();
        let mut command = stage.programs.sidecar();
        command.env("SDS_API_URL", format!("http://{api}")).env("SDS_SERVICE", service);
        command.env("SDS_HOST", "127.0.0.1").env("SDS_PORT", port.to_string());
        command.env("SDS_CHECK", format!("http://:{port}/health")).env("SDS_ADMIN_LISTEN", "127.0.0.1:0");
        command.env("SDS_INTERVAL", "500ms").env("SDS_TIMEOUT", "300ms").env("SDS_LINGER", "1s");
        command.envs(env.iter().copied());
        let mut process = stage.spawn(&format!("sds-sidecar of {}", app.name), command)?;
        let admin = process.address("admin listening addr=").await?;
        Ok(Self { process, admin, client: http::client(Duration::from_secs(5)) })
    }

    /// Stops it and then its app, in ECS's order: the app gets SIGTERM only once its sidecar has exited.
    pub async fn stop_task(&mut self, app: &mut App) -> anyhow::Result<ExitStatus> {
        let status = self.process.stop(Duration::from_secs(40)).await?;
        app.process.stop(wait::SOON).await?;
        Ok(status)
    }

    /// `kill -9` of it and of its app, at the same moment.
    pub async fn kill_task(&mut self, app: &mut App) -> anyhow::Result<()> {
        tokio::try_join!(self.process.kill(), app.process.kill()).map(drop)
    }

    /// The status of a page of its own server.
    pub async fn page(&self, path: &str) -> anyhow::Result<u16> {
        Ok(self.get(path).await?.status)
    }

    /// The text of a page of its own, whatever its status.
    pub async fn text(&self, path: &str) -> anyhow::Result<String> {
        Ok(self.get(path).await?.text())
    }

    async fn get(&self, path: &str) -> anyhow::Result<http::Answer> {
        let url = format!("http://{}{path}", self.admin);
        http::send(&self.client, reqwest::Method::GET, &url, &[], "").await
    }
}
