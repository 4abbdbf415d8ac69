//! The mesh under a real Prometheus of the shipped configuration, in which addresses alone are changed.

use std::{fs, time::Duration};

use anyhow::{Context, ensure};
use reqwest::Method;
use serde_json::json;

use super::{Mesh, text};
use crate::{
    http,
    prometheus::{Prometheus, Target, check_config},
    stage::Stage,
    wait::{SOON, until},
};

/// The name of the shipped rules.
pub const RULES: &str = "prometheus/rules.yaml";
/// Until Prometheus has found and scraped what is there: some refreshes and scrapes.
pub const FOUND: Duration = Duration::from_secs(40);

impl Mesh {
    /// Starts Prometheus with these rules, after promtool has judged both, and waits until all that it should scrape is up.
    pub async fn observe(&self, stage: &Stage, rules: &str) -> anyhow::Result<Prometheus> {
        let dir = stage.file("prometheus");
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("rules.yaml"), rules)?;
        let config = dir.join("prometheus.yaml");
        fs::write(&config, self.config()?)?;
        check_config(&config).await?;
        let prometheus = Prometheus::start(stage, &config).await?;
        self.all_up(&prometheus).await?;
        Ok(prometheus)
    }

    /// The shipped configuration with the addresses of this mesh.
    pub fn config(&self) -> anyhow::Result<String> {
        let [one, two] = [0, 1].map(|nth| self.registries[nth].api.addr.to_string());
        let front = self.front.stats.map(|addr| addr.to_string()).unwrap_or_default();
        let mut shipped = text("prometheus/prometheus.yaml")?;
        for (from, to) in [
            ("[sds-api-1:8080, sds-api-2:8080]", format!("['{one}', '{two}']")),
            ("http://sds-api:8080/", format!("http://{one}/")),
            ("[front:9903]", format!("['{front}']")),
            // It cannot be had here; what it would be sent is looked at by a listener of ours.
            ("[front:9102]", "[]".to_owned()),
        ] {
            ensure!(shipped.contains(from), "docker/prometheus/prometheus.yaml has no '{from}'");
            shipped = shipped.replace(from, &to);
        }
        Ok(shipped)
    }

    /// Waits until exactly what runs is scraped, and all of it is up.
    pub async fn all_up(&self, prometheus: &Prometheus) -> anyhow::Result<Vec<Target>> {
        let stats = |envoy: &crate::envoy::Envoy| envoy.stats.map(|addr| addr.to_string()).unwrap_or_default();
        let mut wanted: Vec<_> = self.registries.iter().map(|one| format!("http://{}/metrics", one.api.addr)).collect();
        wanted.extend(self.envoys().map(|envoy| format!("http://{}/stats/prometheus", stats(envoy))));
        wanted.extend(self.tasks.iter().map(|task| format!("http://{}/sidecar/metrics", stats(&task.envoy))));
        wanted.sort_unstable();
        until("Prometheus to scrape all that runs, and nothing else", FOUND, async || {
            let targets = prometheus.targets().await?;
            let mut found: Vec<_> = targets.iter().map(|target| target.url.clone()).collect();
            found.sort_unstable();
            ensure!(found == wanted, "it scrapes {found:#?}, and not {wanted:#?}");
            let down: Vec<_> = targets.iter().filter(|target| target.health != "up").collect();
            ensure!(down.is_empty(), "{down:?}");
            Ok(targets)
        })
        .await
    }

    /// A task with an IPv6 address is scraped at the port that its tag names, also by the shipped relabelling.
    pub async fn an_ipv6_target(&self, prometheus: &Prometheus) -> anyhow::Result<()> {
        let api = &self.registries[0].api;
        let at = "[2001:db8::1]:80";
        api.put("v6", at, (1, 1), json!({"tags": {"stats_port": "9903"}, "locality": {"zone": "z"}}))
            .await?
            .expect(200)?;
        until("Prometheus to scrape it", FOUND, async || {
            let targets = prometheus.targets().await?;
            let url = "http://[2001:db8::1]:9903/sidecar/metrics";
            let target = targets.iter().find(|target| target.url == url).with_context(|| format!("{targets:?}"))?;
            let label = |name: &str| target.labels.get(name).map(String::as_str);
            ensure!([label("service"), label("zone")] == [Some("v6"), Some("z")], "{target:?}");
            Ok(())
        })
        .await?;
        api.delete("v6", at, (1, 2)).await?.expect(204)?;
        self.all_up(prometheus).await.map(drop)
    }

    /// Prometheus asks the first replica. While that is away, all tasks are scraped on.
    pub async fn a_registry_away(&mut self, stage: &Stage, prometheus: &Prometheus) -> anyhow::Result<()> {
        let tasks = async || {
            let targets = prometheus.targets().await?;
            anyhow::Ok(
                targets
                    .iter()
                    .filter(|target| target.labels.get("job").is_some_and(|job| job == "sds-sidecar"))
                    .count(),
            )
        };
        let before = refusals(prometheus).await?;
        self.registries[0].api.process.kill().await?;
        until("Prometheus to be refused", FOUND, async || {
            let failures = refusals(prometheus).await?;
            // Each of the two jobs asks, and each more than once.
            ensure!(failures >= before + 4.0, "{failures} failures");
            Ok(())
        })
        .await?;
        ensure!(tasks().await? == self.tasks.len(), "it has dropped some");
        self.registries[0].start_again(stage).await?;
        self.registries[0].ready(SOON).await?;
        self.all_up(prometheus).await.map(drop)
    }
}

/// How often its questions for targets failed.
async fn refusals(prometheus: &Prometheus) -> anyhow::Result<f64> {
    let url = format!("http://{}/metrics", prometheus.addr);
    let text = http::send(&http::client(SOON), Method::GET, &url, &[], "").await?.expect(200)?.text();
    let line = text.lines().find_map(|line| line.strip_prefix("prometheus_sd_http_failures_total "));
    Ok(line.context("it does not count them")?.trim().parse()?)
}
