//! Several replicas of the registry on one table, each with a gate of its own between it and the store, so that one can be
//! cut off, slowed down or lied to while the others are well.

use std::{net::SocketAddr, time::Duration};

use anyhow::ensure;
use futures_util::future::{join_all, try_join_all};

use crate::{
    api::Api,
    gate::Gate,
    process::Signal,
    programs::Programs,
    stage::Stage,
    wait::{SOON, until},
};

/// The table of the replicas.
pub const TABLE: &str = "sds";

/// A replica and its way to the store.
#[derive(Debug)]
pub struct Replica {
    /// The registry.
    pub api: Api,
    /// Between it and the store; it judges requests.
    pub gate: Gate,
    programs: Programs,
    env: Vec<(String, String)>,
}

impl Replica {
    /// Starts one on the DynamoDB at `store` and waits until it listens, not until it is ready.
    pub async fn start(stage: &Stage, store: SocketAddr, env: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start_of(stage, &stage.programs, store, env).await
    }

    /// The same, of a release that is not the stage's.
    pub async fn start_of(
        stage: &Stage,
        programs: &Programs,
        store: SocketAddr,
        env: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let gate = Gate::http(store).await?;
        let endpoint = format!("http://{}", gate.addr);
        let env: Vec<_> =
            on(&endpoint).iter().chain(env).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let api = spawn(stage, programs, &env).await?;
        Ok(Self { api, gate, programs: programs.clone(), env })
    }

    /// Starts it again as this release.
    pub async fn become_release(&mut self, stage: &Stage, programs: &Programs) -> anyhow::Result<()> {
        self.programs = programs.clone();
        self.start_again(stage).await
    }

    /// Starts it again at its address after it has ended; waits until it listens.
    pub async fn start_again(&mut self, stage: &Stage) -> anyhow::Result<()> {
        let mut env = self.env.clone();
        env.push(("SDS_LISTEN".to_owned(), self.api.addr.to_string()));
        self.api = spawn(stage, &self.programs, &env).await?;
        Ok(())
    }

    /// Waits until it says that it is ready.
    pub async fn ready(&self, within: Duration) -> anyhow::Result<()> {
        until("a replica to be ready", within, async || self.api.get("/readyz").await?.expect(200)).await.map(drop)
    }

    /// SIGSTOP: it does nothing, and its connections stand.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.api.process.signal(Signal::STOP)
    }

    /// SIGCONT.
    pub fn thaw(&self) -> anyhow::Result<()> {
        self.api.process.signal(Signal::CONT)
    }
}

/// What a registry has to be told to live on the DynamoDB at `endpoint`.
pub fn on(endpoint: &str) -> [(&str, &str); 7] {
    [
        ("SDS_STORE", "dynamodb"),
        ("DDB_TABLE", TABLE),
        ("SDS_CREATE_TABLE", "true"),
        ("AWS_ENDPOINT_URL_DYNAMODB", endpoint),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ]
}

async fn spawn(stage: &Stage, programs: &Programs, env: &[(String, String)]) -> anyhow::Result<Api> {
    let env: Vec<_> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Api::start_of(stage, programs, &env).await
}

/// Starts `n` of them on the DynamoDB at `store` and waits until all are ready. The first creates the table.
pub async fn start(stage: &Stage, store: SocketAddr, n: usize, env: &[(&str, &str)]) -> anyhow::Result<Vec<Replica>> {
    start_of(stage, &stage.programs, store, n, env).await
}

/// The same, of a release that is not the stage's.
pub async fn start_of(
    stage: &Stage,
    programs: &Programs,
    store: SocketAddr,
    n: usize,
    env: &[(&str, &str)],
) -> anyhow::Result<Vec<Replica>> {
    let first = Replica::start_of(stage, programs, store, env).await?;
    first.ready(SOON).await?;
    let others = try_join_all((1..n).map(|_| Replica::start_of(stage, programs, store, env))).await?;
    let all: Vec<_> = std::iter::once(first).chain(others).collect();
    try_join_all(all.iter().map(|replica| replica.ready(SOON))).await?;
    Ok(all)
}

/// Where they listen.
pub fn addrs(replicas: &[Replica]) -> Vec<SocketAddr> {
    replicas.iter().map(|replica| replica.api.addr).collect()
}

/// Waits until all of them give the same answer for a service, and `wanted` instances in it; tells its version.
pub async fn agree(replicas: &[Replica], service: &str, wanted: usize, within: Duration) -> anyhow::Result<String> {
    until(&format!("all replicas to agree on {wanted} of {service}"), within, async || {
        let mut versions = Vec::new();
        for view in join_all(replicas.iter().map(|replica| view(&replica.api, service))).await {
            let (version, count) = view?;
            ensure!(count == wanted, "one has {count}");
            versions.push(version);
        }
        versions.dedup();
        ensure!(versions.len() == 1, "versions {versions:?}");
        Ok(versions.remove(0))
    })
    .await
}

async fn view(api: &Api, service: &str) -> anyhow::Result<(String, usize)> {
    let answer = api.eds("v3", &[service], "").await?.expect(200)?.json()?;
    let localities = answer["resources"][0]["endpoints"].as_array().cloned().unwrap_or_default();
    let count = localities.iter().filter_map(|locality| locality["lb_endpoints"].as_array()).map(Vec::len).sum();
    Ok((answer["version_info"].as_str().unwrap_or_default().to_owned(), count))
}
