//! A real Prometheus that scrapes what a test has started, and promtool, the judge of its files.
//!
//! No package registry but Debian's has it, so tests that need it are not part of `cargo test`: `tools` says where it comes from.

mod tools;

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context, ensure};
use reqwest::Client;
use serde_json::Value;
use tokio::process::Command;

use crate::{fetch, http, process::Process, programs, stage::Stage};

/// The labels of a series, an alert or a target.
pub type Labels = BTreeMap<String, String>;

/// A running Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    /// Its process.
    pub process: Process,
    /// Where it listens.
    pub addr: SocketAddr,
    client: Client,
}

/// A series and its value, which may be NaN.
#[derive(Debug, Clone)]
pub struct Sample {
    /// All its labels, its name among them as `__name__`.
    pub labels: Labels,
    /// Now.
    pub value: f64,
}

/// An alert that is pending or firing.
#[derive(Debug, Clone)]
pub struct Alert {
    /// Of the rule.
    pub name: String,
    /// Whether its `for` has passed.
    pub firing: bool,
    /// Of the series and the rule.
    pub labels: Labels,
    /// The rule's, filled in.
    pub annotations: Labels,
}

/// What it scrapes.
#[derive(Debug, Clone)]
pub struct Target {
    /// The address.
    pub url: String,
    /// `up`, `down` or, before the first scrape, `unknown`.
    pub health: String,
    /// Why it is down.
    pub error: String,
    /// As its series have them.
    pub labels: Labels,
}

impl Prometheus {
    /// Starts one with this configuration, whose relative paths count from its own directory, and waits until it answers.
    pub async fn start(stage: &Stage, config: &Path) -> anyhow::Result<Self> {
        let program = tools::prometheus().await?;
        for attempt in 0.. {
            // It tells nobody which port it got, so we choose; another process may be quicker to take it.
            let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
            let mut command = programs::bare(&program);
            command.arg("--config.file").arg(config).arg("--storage.tsdb.path").arg(stage.file(&next_name()));
            command.arg(format!("--web.listen-address={addr}")).current_dir(stage.dir());
            let mut process = stage.spawn("prometheus", command)?;
            match process.says("Server is ready to receive web requests").await {
                Err(_) if attempt < 3 && process.log().find("address already in use").is_some() => {}
                Err(error) => return Err(error),
                Ok(_) => return Ok(Self { process, addr, client: http::client(Duration::from_secs(10)) }),
            }
        }
        unreachable!("the last attempt returns")
    }

    /// The value of an expression now: one sample for each series, none if it is empty.
    pub async fn query(&self, expression: &str) -> anyhow::Result<Vec<Sample>> {
        let data = self.ask("query", &[("query", expression)]).await.with_context(|| expression.to_owned())?;
        let value = |value: &Value| anyhow::Ok(value[1].as_str().context("no value")?.parse::<f64>()?);
        match data["resultType"].as_str() {
            Some("vector") => list(&data["result"])?
                .map(|sample| Ok(Sample { labels: labels(&sample["metric"]), value: value(&sample["value"])? }))
                .collect(),
            Some("scalar") => Ok(vec![Sample { labels: Labels::new(), value: value(&data["result"])? }]),
            other => anyhow::bail!("{expression} is no instant vector but {other:?}"),
        }
    }

    /// All alerts that are pending or firing.
    pub async fn alerts(&self) -> anyhow::Result<Vec<Alert>> {
        let data = self.ask("alerts", &[]).await?;
        let alert = |alert: &Value| Alert {
            name: text(&alert["labels"]["alertname"]),
            firing: alert["state"] == "firing",
            labels: labels(&alert["labels"]),
            annotations: labels(&alert["annotations"]),
        };
        Ok(list(&data["alerts"])?.map(alert).collect())
    }

    /// All that it scrapes now.
    pub async fn targets(&self) -> anyhow::Result<Vec<Target>> {
        let data = self.ask("targets", &[("state", "active")]).await?;
        let target = |target: &Value| Target {
            url: text(&target["scrapeUrl"]),
            health: text(&target["health"]),
            error: text(&target["lastError"]),
            labels: labels(&target["labels"]),
        };
        Ok(list(&data["activeTargets"])?.map(target).collect())
    }

    /// Its rule groups, as it has read them.
    pub async fn rules(&self) -> anyhow::Result<Vec<Value>> {
        Ok(list(&self.ask("rules", &[]).await?["groups"])?.cloned().collect())
    }

    async fn ask(&self, what: &str, parameters: &[(&str, &str)]) -> anyhow::Result<Value> {
        let url = format!("http://{}/api/v1/{what}", self.addr);
        let url = reqwest::Url::parse_with_params(&url, parameters)?;
        let answer = http::send(&self.client, reqwest::Method::GET, url.as_str(), &[], "").await?;
        let mut body = answer.expect(200)?.json()?;
        ensure!(body["status"] == "success", "{body}");
        Ok(body["data"].take())
    }
}

/// What promtool has against a configuration, as an error that shows it; also against the rule files that it names.
pub async fn check_config(config: &Path) -> anyhow::Result<()> {
    promtool("config", config).await
}

/// What promtool has against a file of rules; its lints count.
pub async fn check_rules(rules: &Path) -> anyhow::Result<()> {
    promtool("rules", rules).await
}

async fn promtool(what: &str, file: &Path) -> anyhow::Result<()> {
    let mut command: Command = programs::bare(&tools::promtool().await?);
    command.args(["check", what, "--lint=all", "--lint-fatal"]).arg(file);
    fetch::run(command, &format!("promtool check {what}")).await.map(drop)
}

fn next_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("prometheus-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

fn list(value: &Value) -> anyhow::Result<std::slice::Iter<'_, Value>> {
    Ok(value.as_array().with_context(|| format!("no list but {value}"))?.iter())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn labels(value: &Value) -> Labels {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), text(value))).collect()
}
