//! The mesh under a real Prometheus of the shipped configuration, in which addresses alone are changed.

use std::{fs, time::Duration};

use anyhow::ensure;

use super::{Mesh, text};
use crate::{
    prometheus::{Prometheus, Target},
    stage::Stage,
    wait::until,
};

/// The name of the shipped rules.
pub const RULES: &str = "prometheus/rules.yaml";
/// Until Prometheus has found and scraped what is there: some refreshes and scrapes.
pub const FOUND: Duration = Duration::from_secs(40);

impl Mesh {
    /// Starts Prometheus with these rules, and waits until all that it should scrape is up.
    pub async fn observe(&self, stage: &Stage, rules: &str) -> anyhow::Result<Prometheus> {
        let dir = stage.file("prometheus");
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("rules.yaml"), rules)?;
        let config = dir.join("prometheus.yaml");
        fs::write(&config, self.config()?)?;
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
}
