//! The local mesh as processes: what `docker/compose.yaml` brings up as containers, where it can be had without them. Two
//! replicas of the registry on one table, two services of two tasks, each an app with its sidecar and its Envoy, a front
//! Envoy before both, all Envoys of the shipped configurations, and a trickle of requests from the front and between the
//! services. A listener stands in for statsd_exporter; there is no Grafana.
//!
//! Tests and the command (`mesh/show`) use the same; Prometheus is started beside it (`mesh/observed`), for not every machine
//! has one.

mod followed;
mod hostile;
pub mod observed;
pub mod show;
mod trickle;

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
};

use anyhow::Context;

use crate::{
    app::App,
    dynamo::Dynamo,
    envoy::{Envoy, Shipped},
    replicas::{self, Replica},
    sidecar::Sidecar,
    stage::Stage,
    statsd::Statsd,
    wait::SOON,
};

pub use trickle::Trickle;

/// The services; each calls the other.
pub const SERVICES: [&str; 2] = ["web", "shop"];
/// Tasks of each.
pub const TASKS: usize = 2;
/// Requests a second through each Envoy.
const RATE: u32 = 5;

/// All that runs.
#[derive(Debug)]
pub struct Mesh {
    /// Requests by everybody to everybody.
    pub trickle: Trickle,
    /// Web's, then shop's.
    pub tasks: Vec<Task>,
    /// Before both services: web at `/`, shop at `/shop`.
    pub front: Envoy,
    /// Where the front Envoy pushes its statistics.
    pub statsd: Statsd,
    /// Both, each with a gate between it and the store.
    pub registries: Vec<Replica>,
    /// The table.
    pub store: Dynamo,
}

/// A task: what shares an address on ECS.
#[derive(Debug)]
pub struct Task {
    /// Its service.
    pub service: &'static str,
    /// The app.
    pub app: App,
    /// Its sidecar.
    pub sidecar: Sidecar,
    /// The Envoy through which the app calls other services.
    pub envoy: Envoy,
}

/// A file of `docker/`.
pub fn file(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "docker", name].iter().collect()
}

/// Its text.
pub fn text(name: &str) -> anyhow::Result<String> {
    fs::read_to_string(file(name)).with_context(|| format!("docker/{name}"))
}

impl Mesh {
    /// Starts all of it; `env` is laid over the registries' own. Requests flow, and all are answered.
    pub async fn start(stage: &Stage, env: &[(&str, &str)]) -> anyhow::Result<Self> {
        let store = Dynamo::in_memory(stage).await?;
        let registries = replicas::start(stage, store.addr, 2, env).await?;
        let addrs = replicas::addrs(&registries);
        let mut tasks = Vec::new();
        for service in SERVICES {
            for nth in 1..=TASKS {
                tasks.push(Task::start(stage, &addrs, service, nth).await?);
            }
        }
        for service in SERVICES {
            replicas::agree(&registries, service, TASKS, SOON).await?;
        }
        let statsd = Statsd::start().await?;
        let front = Shipped::new(&text("envoy/front.yaml")?, SERVICES[0], &addrs)?.statsd(statsd.addr)?;
        let front = Envoy::of(stage, &front).await?;
        let trickle = Trickle::start(&callers(&front, &tasks), RATE);
        let mesh = Self { trickle, tasks, front, statsd, registries, store };
        mesh.trickle.flows(u64::from(RATE)).await?;
        Ok(mesh)
    }

    /// All Envoys, the front one first.
    pub fn envoys(&self) -> impl Iterator<Item = &Envoy> {
        std::iter::once(&self.front).chain(self.tasks.iter().map(|task| &task.envoy))
    }
}

/// Who asks where, and with which host.
fn callers(front: &Envoy, tasks: &[Task]) -> Vec<(String, &'static str)> {
    let [web, shop] = SERVICES;
    let other = |service| if service == web { shop } else { web };
    let of_front = [format!("http://{}/", front.listener), format!("http://{}/shop", front.listener)];
    let of_tasks = tasks.iter().map(|task| (format!("http://{}/", task.envoy.listener), other(task.service)));
    of_front.into_iter().map(|url| (url, "front")).chain(of_tasks).collect()
}

impl Task {
    /// Starts one and waits until the sidecar runs, not until it has registered.
    pub async fn start(
        stage: &Stage,
        registries: &[SocketAddr],
        service: &'static str,
        nth: usize,
    ) -> anyhow::Result<Self> {
        let name = format!("{service}-{nth}");
        let app = App::start(stage, &name).await?;
        let urls: Vec<_> = registries.iter().map(|addr| format!("http://{addr}")).collect();
        for attempt in 0.. {
            // The Envoy is told the sidecar's page, and the sidecar the Envoy's: one of them cannot be left to the kernel.
            let page = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
            let shipped = Shipped::new(&text("envoy/task.yaml")?, SERVICES[0], registries)?;
            let envoy = Envoy::of(stage, &shipped.sidecar(page)?.of_task(service, &name)?).await?;
            let stats = envoy.stats.context("no listener for metrics")?.port();
            let env = [
                ("SDS_API_URL", urls.join(",")),
                ("SDS_ADMIN_LISTEN", page.to_string()),
                ("SDS_TAGS", format!("stats_port={stats}")),
                ("SDS_REGION", "local".to_owned()),
                ("SDS_AZ", format!("local-{nth}")),
                ("SDS_REVISION", "1".to_owned()),
            ];
            let env: Vec<_> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
            match Sidecar::start(stage, registries[0], service, &app, &env).await {
                Err(error) if attempt < 3 && format!("{error:#}").contains("in use") => {}
                Err(error) => return Err(error),
                Ok(sidecar) => return Ok(Self { service, app, sidecar, envoy }),
            }
        }
        unreachable!("the last attempt returns")
    }
}
