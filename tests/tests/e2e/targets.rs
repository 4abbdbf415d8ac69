//! Targets for Prometheus: who is in service is in them, and nobody else.

use anyhow::{Context, ensure};
use e2e::{api::Api, wait::SOON};
use serde_json::{Value, json};

use crate::play;

/// A list as Prometheus reads it: target to labels, and none twice.
async fn targets(api: &Api, path: &str) -> anyhow::Result<serde_json::Map<String, Value>> {
    let answer = api.get(path).await?.expect(200)?;
    ensure!(answer.header("content-type") == "application/json", "it is {}", answer.header("content-type"));
    ensure!(answer.header("x-sds-state") == "fresh", "{}", answer.header("x-sds-state"));
    let mut all = serde_json::Map::new();
    for group in answer.json()?.as_array().context("no list")? {
        for target in group["targets"].as_array().context("no targets")? {
            let target = target.as_str().context("no text")?;
            ensure!(all.insert(target.to_owned(), group["labels"].clone()).is_none(), "{target} twice");
        }
    }
    Ok(all)
}

#[test]
fn prometheus_is_told_of_all_in_service() {
    play("prometheus_is_told_of_all_in_service", async |stage| {
        let api = Api::start(stage, &[("SDS_LEASE", "3s")]).await?;
        ensure!(targets(&api, "/v1/prometheus").await?.is_empty());
        let content = json!({
            "locality": {"region": "r", "zone": "a"}, "revision": "v2", "weight": 7, "canary": true,
            "instance_id": "i-1", "tags": {"metrics.port": "9102"},
        });
        api.put("web", "10.0.0.1:80", (1, 1), content).await?.expect(200)?;
        api.put("web", "[2001:db8::1]:80", (1, 1), json!({"health": "unhealthy"})).await?.expect(200)?;
        api.put("shop", "10.0.0.3:80", (1, 1), json!({})).await?.expect(200)?;
        api.drain("shop", "10.0.0.3:80", (1, 2)).await?.expect(200)?;

        let web = targets(&api, "/v1/prometheus/web").await?;
        let full = json!({
            "__meta_sds_service": "web", "__meta_sds_status": "healthy", "__meta_sds_region": "r",
            "__meta_sds_zone": "a", "__meta_sds_revision": "v2", "__meta_sds_weight": "7", "__meta_sds_canary": "true",
            "__meta_sds_instance_id": "i-1", "__meta_sds_tag_metrics_port": "9102",
        });
        ensure!(web["10.0.0.1:80"] == full, "{web:?}");
        ensure!(web["[2001:db8::1]:80"]["__meta_sds_status"] == "unhealthy" && web.len() == 2, "{web:?}");
        let mut each = targets(&api, "/v1/prometheus/shop").await?;
        ensure!(each["10.0.0.3:80"]["__meta_sds_status"] == "draining" && each.len() == 1, "{each:?}");
        each.extend(web);
        ensure!(targets(&api, "/v1/prometheus").await? == each);

        // A change is in the next answer, also in that about all.
        api.put("web", "10.0.0.1:80", (1, 2), json!({"weight": 8})).await?.expect(200)?;
        for path in ["/v1/prometheus", "/v1/prometheus/web"] {
            ensure!(targets(&api, path).await?["10.0.0.1:80"]["__meta_sds_weight"] == "8", "{path}");
        }
        // Who has left, or was silent for a lease, is no target; what nobody serves any more has none.
        api.delete("shop", "10.0.0.3:80", (1, 3)).await?.expect(204)?;
        ensure!(targets(&api, "/v1/prometheus/shop").await?.is_empty());
        e2e::wait::until("those who are silent to be gone", SOON, async || {
            let left = targets(&api, "/v1/prometheus").await?;
            ensure!(left.is_empty(), "{left:?}");
            Ok(())
        })
        .await?;
        api.get("/v1/prometheus/no%20name!").await?.expect(400)?;
        ensure!(api.metric("sds_http_requests_total{route=\"prometheus\",class=\"4xx\"}").await? == 1.0);
        Ok(())
    });
}
