//! gRPC clients that know a service's name and one address, the registry's or that of a gateway Envoy which knows nothing but
//! the registry's: they call the service while each of its tasks is replaced, and no call fails.

use std::{collections::BTreeMap, fmt, fs, net::SocketAddr, time::Duration};

use anyhow::ensure;
use futures_util::future::try_join_all;
use serde_json::json;
use tokio::net::TcpListener;

use crate::{
    api::Api,
    app::App,
    envoy::Envoy,
    process::Process,
    python::GRPCIO,
    sidecar::Sidecar,
    stage::Stage,
    wait::{SOON, until},
};

const SERVICE: &str = "calls";
const RATE: &str = "50";

/// What was seen.
#[derive(Debug)]
pub struct Outcome {
    /// How many calls each task answered; none failed.
    pub answered: BTreeMap<String, u64>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} calls, none failed: {:?}", self.answered.values().sum::<u64>(), self.answered)
    }
}

/// A task of the service.
struct Task {
    app: App,
    sidecar: Sidecar,
}

/// Plays a deploy of `tasks` tasks.
pub async fn play(stage: &Stage, tasks: usize) -> anyhow::Result<Outcome> {
    let gateway = free_address().await?;
    let env = [("SDS_LEASE", "6s"), ("SDS_XDS_GATEWAY", &gateway.to_string())];
    let api = Api::start(stage, &env).await?;
    let envoy = Envoy::shipped(stage, include_str!("../../../docker/envoy/gateway.yaml"), api.addr).await?;
    let mut old = Vec::new();
    for nth in 0..tasks {
        old.push(Task::start(stage, &api, &format!("old-{nth}")).await?);
    }
    until("the gateway to know of a service that is new to it", SOON, async || {
        let hosts = envoy.clusters().await?.remove(SERVICE).unwrap_or_default();
        ensure!(hosts.len() == tasks, "{hosts:?}");
        Ok(())
    })
    .await?;
    let clients = [client(stage, &api, None).await?, client(stage, &api, Some(gateway)).await?];
    for nth in 0..tasks {
        answered_by(&clients, &format!("old-{nth}")).await?;
    }
    let mut new = Vec::new();
    for (nth, mut task) in old.into_iter().enumerate() {
        new.push(Task::start(stage, &api, &format!("new-{nth}")).await?);
        task.sidecar.stop_task(&mut task.app).await?;
        answered_by(&clients, &format!("new-{nth}")).await?;
    }
    let mut answered = BTreeMap::new();
    for line in clients.iter().flat_map(|client| client.log().lines()) {
        ensure!(!line.starts_with("failed "), "a call {line}");
        if let Some(name) = line.strip_prefix("ok ") {
            *answered.entry(name.to_owned()).or_default() += 1;
        }
    }
    ensure!(envoy.sum("update_rejected").await? == 0, "the gateway refused something");
    ensure!(answered.len() == 2 * tasks, "{answered:?}");
    Ok(Outcome { answered })
}

impl Task {
    async fn start(stage: &Stage, api: &Api, name: &str) -> anyhow::Result<Self> {
        let mut command = GRPCIO.python().await?;
        command.arg("-c").arg(include_str!("../../python/grpc_app.py")).arg(name);
        let mut process = stage.spawn(&format!("gRPC app {name}"), command)?;
        let health = process.address("health addr=").await?;
        let addr = process.address("listening addr=").await?;
        let app = App { name: name.to_owned(), process, addr };
        let check = format!("http://:{}/health", health.port());
        let sidecar = Sidecar::start(stage, api.addr, SERVICE, &app, &[("SDS_CHECK", &check)]).await?;
        api.until_status(SERVICE, &app.endpoint(), "healthy", SOON).await?;
        Ok(Self { app, sidecar })
    }
}

async fn client(stage: &Stage, api: &Api, gateway: Option<SocketAddr>) -> anyhow::Result<Process> {
    let bootstrap = stage.file("grpc-bootstrap.json");
    let server = json!({
        "server_uri": api.addr.to_string(),
        "channel_creds": [{"type": "insecure"}],
        "server_features": ["xds_v3"],
    });
    fs::write(&bootstrap, json!({"xds_servers": [server], "node": {"id": "client", "cluster": "e2e"}}).to_string())?;
    let mut command = GRPCIO.python().await?;
    command.arg("-c").arg(include_str!("../../python/grpc_client.py")).arg(SERVICE).arg(RATE);
    command.args(gateway.map(|at| at.to_string()));
    command.env("GRPC_XDS_BOOTSTRAP", bootstrap);
    stage.spawn("gRPC client", command)
}

/// From now on, to each client.
async fn answered_by(clients: &[Process], name: &str) -> anyhow::Result<()> {
    let each = clients.iter().map(async |client| {
        let before = client.log().lines().len();
        until(&format!("a call to be answered by {name}"), Duration::from_secs(10), async || {
            let lines = client.log().lines();
            let since = lines.get(before..).unwrap_or_default();
            ensure!(since.contains(&format!("ok {name}")), "{:?}", since.last());
            Ok(())
        })
        .await
    });
    try_join_all(each).await.map(drop)
}

async fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0").await?.local_addr()?)
}
