//! The local mesh: the Envoys of all shipped configurations say who calls, to Prometheus and by dog_statsd, and show
//! nothing else of themselves. (With Prometheus: `e2e mesh --once`.)

use std::{
    collections::BTreeSet,
    net::{SocketAddr, TcpListener},
};

use anyhow::{Context, ensure};
use e2e::{
    api::Api,
    envoy::{Envoy, Shipped},
    http,
    mesh::{Mesh, SERVICES, TASKS, text},
    statsd::Statsd,
    wait::{SOON, until},
};
use reqwest::Method;
use serde_json::json;

use crate::{alone, play};

/// Whatever varies in a name is one of these, each of bounded many values.
const TAGS: [&str; 9] = [
    "envoy.cluster_name",
    "envoy.http_conn_manager_prefix",
    "envoy.listener_address",
    "envoy.response_code",
    "envoy.response_code_class",
    "envoy.rds_route_config",
    "envoy.worker_id",
    "service_cluster",
    "service_node",
];

#[test]
fn everybody_in_the_mesh_is_answered_and_seen() {
    alone("everybody_in_the_mesh_is_answered_and_seen", async |stage| {
        let mesh = Mesh::start(stage, &[]).await?;
        mesh.trickle.flows(10).await?;
        let (failed, why) = mesh.trickle.failed();
        ensure!(failed == 0, "{failed} requests failed: {why}");
        let client = http::client(SOON);
        for (envoy, caller) in mesh.envoys().zip(["front", "web", "web", "shop", "shop"]) {
            let stats = envoy.stats.context("no listener for metrics")?;
            let page =
                async |path: &str| http::send(&client, Method::GET, &format!("http://{stats}{path}"), &[], "").await;
            let called = match caller {
                "front" => &SERVICES[..],
                "web" => &SERVICES[1..],
                _ => &SERVICES[..1],
            };
            let metrics = page("/stats/prometheus").await?.expect(200)?.text();
            for service in called {
                let counted = metrics.lines().any(|line| {
                    line.starts_with("envoy_cluster_upstream_rq_total{")
                        && line.contains(&format!("service_cluster=\"{caller}\""))
                        && line.contains(&format!("envoy_cluster_name=\"{service}\""))
                        && !line.ends_with(" 0")
                });
                ensure!(counted, "{caller}'s calls of {service} are not in\n{metrics}");
            }
            // The admin page could end it.
            for path in ["/", "/stats", "/quitquitquit", "/config_dump", "/stats/prometheus/../../config_dump"] {
                page(path).await?.expect(404).with_context(|| path.to_owned())?;
            }
            // It is there to be read.
            for path in ["/stats/prometheus", "/sidecar/metrics", "/sidecar/readyz"] {
                let url = format!("http://{stats}{path}");
                http::send(&client, Method::POST, &url, &[], "").await?.expect(404).with_context(|| path.to_owned())?;
            }
            let sidecar = page("/sidecar/metrics").await?;
            if caller == "front" {
                sidecar.expect(404)?;
                crowded(stats).await?;
            } else {
                page("/sidecar/readyz").await?.expect(200)?;
                let metrics = sidecar.expect(200)?.text();
                ensure!(metrics.contains(&format!("sds_sidecar_ready{{service=\"{caller}\"")), "{metrics}");
            }
        }
        // Every task tells where its metrics are, by a tag.
        let targets = mesh.registries[1].api.get("/v1/prometheus").await?.expect(200)?.json()?;
        let told: BTreeSet<_> = targets
            .as_array()
            .into_iter()
            .flatten()
            .map(|one| one["labels"]["__meta_sds_tag_stats_port"].to_string())
            .collect();
        let ports: BTreeSet<_> =
            mesh.envoys().skip(1).filter_map(|envoy| Some(format!("\"{}\"", envoy.stats?.port()))).collect();
        ensure!(told == ports && told.len() == SERVICES.len() * TASKS, "{told:?} and {ports:?}");
        until("each service to be in the front Envoy's dog_statsd", SOON, async || {
            let sent = mesh.statsd.named("envoy.cluster.upstream_rq_total")?;
            for service in SERVICES {
                let tags =
                    json!({"envoy.cluster_name": service, "service_cluster": "front", "service_node": "front-1"});
                ensure!(
                    sent.iter().any(|(own, sent)| json!(own) == tags && sent.kind == "c" && sent.value > 0.0),
                    "{sent:?}"
                );
            }
            Ok(())
        })
        .await?;
        let times = mesh.statsd.named("envoy.cluster.upstream_rq_time")?;
        ensure!(times.iter().any(|(_, sent)| sent.kind == "ms"), "{times:?}");
        bounded(&mesh.statsd, "front", "front-1")
    });
}

/// However many ask at once, its main thread writes so many pages and no more.
async fn crowded(stats: SocketAddr) -> anyhow::Result<()> {
    let (client, url) = (http::client(SOON), format!("http://{stats}/stats/prometheus"));
    until("some of many readers to be refused", SOON, async || {
        let readers = (0..64).map(|_| http::send(&client, Method::GET, &url, &[], ""));
        let answers = futures_util::future::join_all(readers).await.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        // A refusal says what was full.
        let [read, refused] = [(200, "envoy_"), (503, "overflow")].map(|(status, says)| {
            answers.iter().filter(|answer| answer.status == status && answer.text().contains(says)).count()
        });
        ensure!(read > 0 && refused > 0 && read + refused == answers.len(), "{read} read it, {refused} were refused");
        Ok(())
    })
    .await
}

/// What varies is a tag and not part of a name, so that statsd_exporter needs no rule.
fn bounded(statsd: &Statsd, cluster: &str, node: &str) -> anyhow::Result<()> {
    let word = |word: &str| {
        let letters = word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        letters && word.starts_with(|first: char| first.is_ascii_lowercase()) && !SERVICES.contains(&word)
    };
    for ((name, tags), _) in statsd.heard()? {
        ensure!(name.starts_with("envoy.") && name.split('.').all(word), "{name} {tags:?}");
        ensure!(tags.keys().all(|tag| TAGS.contains(&tag.as_str())), "{name} {tags:?}");
        let who = ["service_cluster", "service_node"].map(|tag| tags.get(tag).map(String::as_str));
        ensure!(who == [Some(cluster), Some(node)], "{name} {tags:?}");
    }
    Ok(())
}

/// Who each says that it is; and whether it has clusters of its own.
const SHIPPED: [(&str, &str, &str, bool); 5] = [
    ("rest.yaml", "front", "front-1", true),
    ("ads.yaml", "front", "front-1", true),
    ("delta-ads.yaml", "front", "front-1", true),
    ("task.yaml", "web", "web-7", true),
    ("gateway.yaml", "gateway", "gateway-1", false),
];

#[test]
fn the_options_of_the_shipped_configurations_run_too() {
    play("the_options_of_the_shipped_configurations_run_too", async |stage| {
        // Where the gateway's listener is to be; nobody asks it for anything.
        let gateway = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let api = Api::start(stage, &[("SDS_XDS_GATEWAY", &gateway)]).await?;
        let client = http::client(SOON);
        for (name, cluster, node, own) in SHIPPED {
            let statsd = Statsd::start().await?;
            let shipped = Shipped::new(&text(&format!("envoy/{name}"))?, "web", &[api.addr])?;
            let shipped = shipped.with_options()?.statsd(statsd.addr)?;
            let shipped = if name == "task.yaml" { shipped.of_task(cluster, node)? } else { shipped };
            let envoy = Envoy::of(stage, &shipped).await.context(name)?;
            let page = http::get_json(&client, &format!("http://{}/config_dump", envoy.admin)).await?.to_string();
            let option = "\"ignore_health_on_host_removal\":true";
            ensure!(page.contains(option) == own, "{name}: {option}");
            until("its statistics", SOON, async || {
                let sent = statsd.named("envoy.server.uptime")?;
                let [(tags, _)] = &sent[..] else { anyhow::bail!("{sent:?}") };
                ensure!(json!(tags) == json!({"service_cluster": cluster, "service_node": node}), "{tags:?}");
                Ok(())
            })
            .await
            .context(name)?;
            bounded(&statsd, cluster, node).context(name)?;
        }
        Ok(())
    });
}
