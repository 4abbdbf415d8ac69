//! A real Prometheus beside a registry.

use std::fs;

use anyhow::{Context, ensure};

use super::say;
use crate::{
    api::Api,
    programs::Programs,
    prometheus::{Prometheus, check_config, check_rules},
    stage::Stage,
    wait::{SOON, until},
};

/// See the module.
pub async fn run() -> anyhow::Result<()> {
    let stage = Stage::new("alerts", Programs::new(std::env::current_exe()?))?;
    let api = Api::start(&stage, &[]).await?;
    let (config, rules) = (stage.file("prometheus.yml"), stage.file("rules.yml"));
    let job = format!("  - {{job_name: sds-api, static_configs: [{{targets: ['{}']}}]}}\n", api.addr);
    fs::write(
        &config,
        format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [rules.yml]\nscrape_configs:\n{job}"
        ),
    )?;
    fs::write(
        &rules,
        "groups: [{name: all, rules: [{alert: Up, expr: up == 1, for: 2s, annotations: {summary: It runs.}}]}]\n",
    )?;
    check_config(&config).await?;
    check_rules(&rules).await?;
    let prometheus = Prometheus::start(&stage, &config).await?;
    until("the alert to fire", SOON, async || {
        let alerts = prometheus.alerts().await?;
        ensure!(alerts.iter().any(|alert| alert.name == "Up" && alert.firing), "{alerts:?}");
        Ok(())
    })
    .await?;
    let up = prometheus.query("up{job=\"sds-api\"}").await?;
    ensure!(up.len() == 1 && up.iter().all(|sample| sample.value == 1.0), "{up:?}");
    let targets = prometheus.targets().await?;
    let target = targets.first().context("no target")?;
    ensure!(target.health == "up" && target.url.contains(&api.addr.to_string()), "{target:?}");
    fs::write(&rules, "groups: [{name: all, rules: [{alert: Up, expr: up === 1}]}]\n")?;
    ensure!(check_rules(&rules).await.is_err(), "promtool takes anything");
    ensure!(prometheus.query("nothing{").await.is_err(), "so does Prometheus");
    ensure!(prometheus.query("vector(1) > 2").await?.is_empty());
    say("Prometheus and promtool do what the harness asks of them");
    Ok(())
}
