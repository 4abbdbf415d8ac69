//! What is checked of `docker/compose.yaml` without a container engine: that all it names is there, that the real programs
//! and the real Envoy accept what it tells them, and that its tasks register as Prometheus looks for them.
//! (`e2e mesh --once` has promtool and a real Prometheus read the rest.)

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, ensure};
use e2e::{
    app::App,
    dynamo::Dynamo,
    envoy, mesh,
    process::Process,
    programs,
    stage::Stage,
    wait::{SOON, until},
    yaml,
};
use serde_json::{Map, Value, json};
use tokio::process::Command;

use crate::play;

/// The services by name.
async fn services() -> anyhow::Result<Map<String, Value>> {
    let compose = yaml::read(&mesh::text("compose.yaml")?)?;
    compose["services"].as_object().cloned().context("no services")
}

fn words(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Its environment, with `ours` laid over it.
fn set(command: &mut Command, service: &Value, ours: &[(&str, &str)]) -> anyhow::Result<()> {
    for (name, value) in service["environment"].as_object().context("no environment")? {
        command.env(name, value.as_str().with_context(|| format!("{name} is no text"))?);
    }
    command.envs(ours.iter().copied());
    Ok(())
}

#[test]
fn all_that_the_mesh_names_is_there() {
    play("all_that_the_mesh_names_is_there", async |_| {
        let services = services().await?;
        let mut names: BTreeSet<&str> = services.keys().map(String::as_str).collect();
        let docker = mesh::file("");
        let images = fs::read_to_string(docker.join("Dockerfile")).context("docker/Dockerfile")?;
        for (name, service) in &services {
            let image = service["image"].as_str().context("no image")?;
            let build = &service["build"];
            if build.is_null() {
                let tag = image.rsplit_once(':').with_context(|| format!("{image} is not pinned"))?.1;
                ensure!(tag.bytes().any(|byte| byte.is_ascii_digit()), "{image} is not pinned");
            } else {
                let target = build["target"].as_str().context("no target")?;
                ensure!(images.contains(&format!(" AS {target}\n")), "the Dockerfile has no target {target}");
                let context = docker.join(build["context"].as_str().context("no context")?);
                ensure!(context.join(build["dockerfile"].as_str().unwrap_or_default()).is_file(), "{name}: {build}");
            }
            ensure!(service["read_only"] == true && service["cap_drop"] == json!(["ALL"]), "{name} is not contained");
            for volume in words(&service["volumes"]) {
                let (from, to) = volume.split_once(':').context("no volume")?;
                ensure!(docker.join(from).exists() && to.ends_with(":ro"), "{name} mounts {volume}");
            }
            let joined = service["network_mode"].as_str().map(|mode| mode.trim_start_matches("service:"));
            for other in words(&service["depends_on"]).into_iter().chain(joined) {
                ensure!(services.contains_key(other), "{name} needs {other}");
            }
            ensure!(joined.is_none() != service["networks"].is_null(), "{name} has no network, or two");
            for port in words(&service["ports"]) {
                ensure!(port.starts_with("127.0.0.1:"), "{name} is open to others at {port}");
            }
            names.extend(words(&service["networks"]["mesh"]["aliases"]));
        }
        // Who is called by name.
        let prometheus = mesh::text("prometheus/prometheus.yaml")?;
        let grafana = mesh::text("grafana/provisioning/datasources/prometheus.yaml")?;
        let env: String = services.values().map(|service| service["environment"].to_string()).collect();
        let mut called = Vec::new();
        for text in [&prometheus, &grafana, &env] {
            called.extend(text.split("http://").skip(1).filter_map(|rest| rest.split([':', '/']).next()));
        }
        for job in yaml::read(&prometheus)?["scrape_configs"].as_array().context("no jobs")? {
            for target in job["static_configs"].as_array().into_iter().flatten().flat_map(|one| words(&one["targets"]))
            {
                let host = target.split(':').next().unwrap_or_default();
                ensure!(names.contains(host), "Prometheus scrapes {target}");
            }
        }
        called.retain(|host| !["", "127.0.0.1"].contains(host));
        ensure!(called.len() > 5 && called.iter().all(|host| names.contains(host)), "{called:?} and {names:?}");
        for file in ["statsd/mapping.yaml", "grafana/provisioning/dashboards/sds.yaml"] {
            yaml::read(&mesh::text(file)?).context(file)?;
        }
        Ok(())
    });
}

#[test]
fn the_programs_accept_what_the_mesh_tells_them() {
    play("the_programs_accept_what_the_mesh_tells_them", async |stage| {
        let services = services().await?;
        let of = |image: &str| services.iter().filter(|(_, service)| service["image"] == image).collect::<Vec<_>>();
        let store = Dynamo::in_memory(stage).await?;
        let endpoint = format!("http://{}", store.addr);
        let mut registries = Vec::new();
        for (name, service) in of("sds-api") {
            let mut command = stage.programs.api();
            // Off loopback, as in a container: it has to be told who may register.
            set(&mut command, service, &[("SDS_LISTEN", "0.0.0.0:0"), ("AWS_ENDPOINT_URL_DYNAMODB", &endpoint)])?;
            registries.push(accepted(stage, name, command, "listening addr=").await?);
        }
        let [(_registry, port), _] = &registries[..] else { anyhow::bail!("{} registries", registries.len()) };
        let url = format!("http://127.0.0.1:{port}");
        let app = App::start(stage, "app").await?;
        let check = format!("http://127.0.0.1:{}/health", app.addr.port());
        let mut sidecars = Vec::new();
        for (name, service) in of("sds-sidecar") {
            let mut command = stage.programs.sidecar();
            let ours = [("SDS_API_URL", url.as_str()), ("SDS_CHECK", &check), ("SDS_ADMIN_LISTEN", "127.0.0.1:0")];
            set(&mut command, service, &ours)?;
            sidecars.push(accepted(stage, name, command, "admin listening addr=").await?);
        }
        let client = e2e::http::client(SOON);
        until("all tasks to be targets", SOON, async || {
            let list = e2e::http::get_json(&client, &format!("{url}/v1/prometheus")).await?;
            let one = |group: &Value| {
                let label =
                    |name: &str| group["labels"][format!("__meta_sds_{name}")].as_str().unwrap_or("?").to_owned();
                format!(
                    "{} {} {}",
                    label("service"),
                    group["targets"][0].as_str().unwrap_or("?"),
                    label("tag_stats_port")
                )
            };
            let targets: Vec<_> = list.as_array().into_iter().flatten().map(one).collect();
            let addresses = ["shop 172.28.0.21", "shop 172.28.0.22", "web 172.28.0.11", "web 172.28.0.12"];
            ensure!(targets == addresses.map(|at| format!("{at}:8000 9903")), "{targets:?}");
            Ok(())
        })
        .await?;
        ensure!(sidecars.len() == 4);
        Ok(())
    });
}

/// Starts a program that neither refuses its configuration nor has a variable that no option has; tells its port.
async fn accepted(stage: &Stage, name: &str, mut command: Command, says: &str) -> anyhow::Result<(Process, u16)> {
    command.current_dir(stage.dir());
    let mut process = stage.spawn(name, command)?;
    let port = process.address(says).await.with_context(|| name.to_owned())?.port();
    let odd = process.log().lines().into_iter().find(|line| line.contains("WARN") && line.contains("SDS_"));
    ensure!(odd.is_none(), "{name}: {odd:?}");
    Ok((process, port))
}

#[test]
fn envoy_accepts_what_the_mesh_tells_it() {
    play("envoy_accepts_what_the_mesh_tells_it", async |_| {
        let mut nodes = BTreeSet::new();
        for (name, service) in services().await? {
            if !service["image"].as_str().is_some_and(|image| image.starts_with("envoyproxy/envoy:")) {
                continue;
            }
            let mount = words(&service["volumes"]).first().copied().unwrap_or_default().to_owned();
            let (from, to) = mount.trim_end_matches(":ro").split_once(':').context("no configuration")?;
            let file = mesh::file("").join(Path::new(from));
            let file = file.to_str().context("no text")?;
            let args: Vec<_> =
                words(&service["command"]).into_iter().map(|arg| if arg == to { file } else { arg }).collect();
            ensure!(args.contains(&file), "{name} does not read {to}");
            let mut command = programs::bare(&envoy::binary().await?);
            command
                .args(["--mode", "validate", "--reject-unknown-dynamic-fields", "--log-level", "warning"])
                .args(&args);
            let output = command.kill_on_drop(true).output().await?;
            ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
            // Each is told which task it is of, twice: as its node, and as what its metrics say.
            let node = args.iter().position(|arg| *arg == "--service-node").map_or("front-1", |at| args[at + 1]);
            let text = fs::read_to_string(file)? + &args.join(" ");
            ensure!(text.contains(&format!("{{tag_name: service_node, fixed_value: {node}}}")), "{name}: {args:?}");
            ensure!(nodes.insert(node.to_owned()), "{node} twice");
        }
        ensure!(nodes.len() == 5, "{nodes:?}");
        Ok(())
    });
}

#[test]
fn the_v1_configuration_has_only_what_those_versions_had() {
    /// By the documentation of Envoy 1.6 to 1.8, whose schema refuses all else.
    const KNOWN: [&str; 45] = [
        "listeners",
        "name",
        "address",
        "filters",
        "config",
        "codec_type",
        "stat_prefix",
        "route_config",
        "virtual_hosts",
        "domains",
        "routes",
        "prefix",
        "path",
        "cluster",
        "timeout_ms",
        "retry_policy",
        "retry_on",
        "num_retries",
        "admin",
        "access_log_path",
        "statsd_udp_ip_address",
        "cluster_manager",
        "clusters",
        "type",
        "service_name",
        "connect_timeout_ms",
        "lb_type",
        "circuit_breakers",
        "default",
        "max_connections",
        "max_pending_requests",
        "max_requests",
        "max_retries",
        "outlier_detection",
        "consecutive_5xx",
        "interval_ms",
        "base_ejection_time_ms",
        "max_ejection_percent",
        "hosts",
        "url",
        "sds",
        "refresh_delay_ms",
        "health_check",
        "unhealthy_threshold",
        "healthy_threshold",
    ];
    fn keys(value: &Value, found: &mut BTreeSet<String>) {
        for (key, value) in value.as_object().into_iter().flatten() {
            found.insert(key.clone());
            keys(value, found);
        }
        value.as_array().into_iter().flatten().for_each(|value| keys(value, found));
    }
    let config: Value = serde_json::from_str(&mesh::text("envoy/v1.json").unwrap()).unwrap();
    let mut found = BTreeSet::new();
    keys(&config, &mut found);
    let odd: Vec<_> = found.iter().filter(|key| !KNOWN.contains(&key.as_str())).collect();
    assert!(odd.is_empty(), "{odd:?}");
    let manager = &config["cluster_manager"];
    assert_eq!(manager["clusters"][0]["type"], "sds");
    assert_eq!(manager["sds"]["cluster"]["hosts"], json!([{"url": "tcp://sds-api:8080"}]));
}
