//! What somebody gains who may register an instance: Prometheus asks where he says, and that is all. He forges no series of
//! others, sends it nowhere else, and has nobody counted twice.

use anyhow::{Context, ensure};
use serde_json::json;

use super::{Mesh, SERVICES, observed::FOUND};
use crate::{
    foreign::{Foreign, Script},
    prometheus::Prometheus,
    wait::until,
};

/// Two series that are kept, as series of who said them; the others would silence an alert or raise one.
const FORGED: &str = r#"sds_sidecar_ready{service="forged",job="sds-api",instance="fake:1",exported_job="fake"} 1
envoy_forged{job="sds-api",instance="fake:1"} 1
sds_ready{job="sds-api",instance="fake:1"} 1
sds_instances_held{job="sds-api",instance="fake:1"} 99
up{job="sds-api",instance="fake:1"} 1
ALERTS{alertname="SdsRegistryDown",alertstate="firing",instance="fake:1"} 1
sds:requests:rate5m{envoy_cluster_name="web",instance="fake:1"} 1
"#;

impl Mesh {
    /// Plays it.
    pub async fn hostile_instances(&self, prometheus: &Prometheus) -> anyhow::Result<()> {
        let witness = Foreign::start(Script::answer("200 OK", "", "")).await?;
        let forger = Script::answer("200 OK", "content-type: text/plain; version=0.0.4\r\n", FORGED);
        let forger = Foreign::start(forger).await?;
        let to = format!("location: http://{}/\r\n", witness.addr);
        let guide = Foreign::start(Script::answer("302 Found", &to, "")).await?;
        let of_task = self.tasks[0].envoy.stats.context("no listener for metrics")?;
        let tags = [
            ("nonsense", "127.0.0.1:1", "80x".to_owned()),
            ("second", "127.0.0.1:2", of_task.port().to_string()),
            ("guide", "127.0.0.1:3", guide.addr.port().to_string()),
            ("forger", "127.0.0.1:4", forger.addr.port().to_string()),
        ];
        let api = &self.registries[0].api;
        for (service, at, port) in &tags {
            let more = json!({"tags": {"stats_port": port}, "locality": {"zone": service}});
            api.put(service, at, (1, 1), more).await?.expect(200)?;
        }
        until("Prometheus to have asked all of them", FOUND, async || {
            let targets = prometheus.targets().await?;
            let all_are = |at: &Foreign, health: &str| {
                let at = format!("http://{}/", at.addr);
                targets.iter().filter(|target| target.url.starts_with(&at) && target.health == health).count() == 2
            };
            ensure!(all_are(&forger, "up") && all_are(&guide, "down"), "{targets:#?}");
            Ok(())
        })
        .await?;
        ensure!(witness.asked() == 0, "Prometheus follows a redirect");
        let targets = prometheus.targets().await?;
        let odd = targets.iter().find(|target| target.url.starts_with("http://127.0.0.1:1/"));
        ensure!(odd.is_none(), "a port that is no number: {odd:?}");
        let of_task = format!("http://{of_task}/stats/prometheus");
        let times = targets.iter().filter(|target| target.url == of_task).count();
        ensure!(times == 1, "an Envoy of two services is scraped {times} times");
        let fake = prometheus.query(r#"{instance="fake:1"}"#).await?;
        ensure!(fake.is_empty(), "series of others are stored: {fake:?}");
        let (at, service) = (forger.addr.to_string(), SERVICES[0]);
        let kept = prometheus.query(&format!(r#"{{instance="{at}",__name__!~"up|scrape_.+"}}"#)).await?;
        let mut said: Vec<_> =
            kept.iter().map(|sample| ["__name__", "job"].map(|label| sample.labels[label].as_str())).collect();
        said.sort_unstable();
        ensure!(said == [["envoy_forged", "envoy"], ["sds_sidecar_ready", "sds-sidecar"]], "{kept:?}");
        ensure!(
            !kept.iter().any(|sample| sample.labels.contains_key("exported_job") && sample.labels["job"] != "envoy")
        );
        // Who says nothing false is heard as before.
        let own = prometheus.query(&format!(r#"sum(sds_sidecar_ready{{service="{service}"}})"#)).await?;
        ensure!(own.first().is_some_and(|sum| sum.value == super::TASKS as f64), "{own:?}");
        for (service, at, _) in &tags {
            api.delete(service, at, (1, 2)).await?.expect(204)?;
        }
        self.all_up(prometheus).await.map(drop)
    }
}
