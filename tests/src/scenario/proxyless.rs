//! A gRPC client that knows a service's name and the registry's address, and nothing else: it calls the service while each
//! of its tasks is replaced, and no call fails.

use std::{collections::BTreeMap, fmt, fs, time::Duration};

use anyhow::ensure;
use serde_json::json;

use crate::{
    api::Api,
    app::App,
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
    let api = Api::start(stage, &[("SDS_LEASE", "6s")]).await?;
    let mut old = Vec::new();
    for nth in 0..tasks {
        old.push(Task::start(stage, &api, &format!("old-{nth}")).await?);
    }
    let client = client(stage, &api).await?;
    for nth in 0..tasks {
        answered_by(&client, &format!("old-{nth}")).await?;
    }
    let mut new = Vec::new();
    for (nth, mut task) in old.into_iter().enumerate() {
        new.push(Task::start(stage, &api, &format!("new-{nth}")).await?);
        task.sidecar.stop_task(&mut task.app).await?;
        answered_by(&client, &format!("new-{nth}")).await?;
    }
    let lines = client.log().lines();
    let mut answered = BTreeMap::new();
    for line in &lines {
        ensure!(!line.starts_with("failed "), "a call {line}");
        if let Some(name) = line.strip_prefix("ok ") {
            *answered.entry(name.to_owned()).or_default() += 1;
        }
    }
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

async fn client(stage: &Stage, api: &Api) -> anyhow::Result<Process> {
    let bootstrap = stage.file("grpc-bootstrap.json");
    let server = json!({
        "server_uri": api.addr.to_string(),
        "channel_creds": [{"type": "insecure"}],
        "server_features": ["xds_v3"],
    });
    fs::write(&bootstrap, json!({"xds_servers": [server], "node": {"id": "client", "cluster": "e2e"}}).to_string())?;
    let mut command = GRPCIO.python().await?;
    command.arg("-c").arg(include_str!("../../python/grpc_client.py")).arg(SERVICE).arg(RATE);
    command.env("GRPC_XDS_BOOTSTRAP", bootstrap);
    stage.spawn("gRPC client", command)
}

/// From now on.
async fn answered_by(client: &Process, name: &str) -> anyhow::Result<()> {
    let before = client.log().lines().len();
    until(&format!("a call to be answered by {name}"), Duration::from_secs(10), async || {
        let lines = client.log().lines();
        let since = lines.get(before..).unwrap_or_default();
        ensure!(since.contains(&format!("ok {name}")), "{:?}", since.last());
        Ok(())
    })
    .await
}
