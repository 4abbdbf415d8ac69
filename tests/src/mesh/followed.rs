//! What Prometheus does with what the registry tells it: an address is an address also with colons, and silence is no news.

use anyhow::{Context, ensure};
use reqwest::Method;
use serde_json::json;

use super::{Mesh, observed::FOUND};
use crate::{
    http,
    prometheus::Prometheus,
    stage::Stage,
    wait::{SOON, until},
};

impl Mesh {
    /// A task with an IPv6 address is scraped at the port that its tag names, also by the shipped relabelling.
    pub async fn an_ipv6_target(&self, prometheus: &Prometheus) -> anyhow::Result<()> {
        let api = &self.registries[0].api;
        let at = "[2001:db8::1]:80";
        api.put("v6", at, (1, 1), json!({"tags": {"stats_port": "9903"}})).await?.expect(200)?;
        until("Prometheus to scrape it", FOUND, async || {
            let targets = prometheus.targets().await?;
            let url = "http://[2001:db8::1]:9903/sidecar/metrics";
            let target = targets.iter().find(|target| target.url == url).with_context(|| format!("{targets:?}"))?;
            ensure!(target.labels.get("instance").is_some_and(|at| at == "[2001:db8::1]:9903"), "{target:?}");
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
