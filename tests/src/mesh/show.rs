//! `cargo run -p e2e -- mesh`: brings the mesh up, says what to open, and runs until Ctrl-C. With `--once` it checks that
//! everybody is answered and seen, that Prometheus follows who comes and goes, and ends; its exit status is the verdict.

use anyhow::{Context, ensure};
use tokio::signal::unix::{SignalKind, signal};

use super::{Mesh, SERVICES, TASKS, observed::RULES, text};
use crate::{
    demo::say,
    envoy,
    programs::Programs,
    prometheus::{Prometheus, check_config},
    replicas,
    stage::Stage,
    wait::{SOON, until},
};

/// Runs it; with `once` it ends after the checks, else at Ctrl-C.
pub async fn run(once: bool) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // When this future is dropped, so are the processes: each is ended with its handle.
    tokio::select! {
        outcome = play(once) => outcome,
        _ = interrupt.recv() => stopped(once),
        _ = terminate.recv() => stopped(once),
    }
}

fn stopped(once: bool) -> anyhow::Result<()> {
    say("\nEverything is being stopped.");
    ensure!(!once, "stopped before all was checked");
    Ok(())
}

async fn play(once: bool) -> anyhow::Result<()> {
    let stage = Stage::new("mesh", Programs::new(std::env::current_exe().context("finding this program")?))?;
    let logs = stage.log_book();
    let outcome = async {
        say(
            "The mesh of docker/compose.yaml as processes. What is fetched once (Envoy, Prometheus) stays in target/e2e.",
        );
        envoy::binary().await?;
        let mut mesh = Mesh::start(&stage, &[("SDS_LEASE", "6s"), ("SDS_ENV", "mesh")]).await?;
        let prometheus = match mesh.observe(&stage, &text(RULES)?).await {
            Ok(prometheus) => Some(prometheus),
            Err(error) if format!("{error:#}").contains("cannot be had") => {
                say(format!("\nWithout Prometheus: {error:#}"));
                None
            }
            Err(error) => return Err(error),
        };
        look(&mesh, prometheus.as_ref());
        if once {
            return check(&mut mesh, &stage, prometheus.as_ref()).await;
        }
        std::future::pending().await
    };
    outcome.await.inspect_err(|_| say(format!("\nIt went wrong. The ends of all logs so far:\n{}", logs.tails())))
}

/// What a person can open.
fn look(mesh: &Mesh, prometheus: Option<&Prometheus>) {
    say("\nTo look at:");
    let line = |url: String, what: &str| say(format!("  {url:<58}{what}"));
    if let Some(prometheus) = prometheus {
        line(format!("http://{}/targets", prometheus.addr), "Prometheus: what it scrapes; /alerts, /graph");
    }
    for replica in &mesh.registries {
        line(replica.api.url("/v1/services?format=text"), "a replica of the registry");
    }
    line(mesh.registries[0].api.url("/v1/prometheus"), "what it tells Prometheus");
    line(format!("http://{}/shop", mesh.front.listener), "shop through the front Envoy; web at /");
    line(format!("http://{}/", mesh.front.admin), "the front Envoy's own pages");
    for task in &mesh.tasks {
        let stats = task.envoy.stats.map(|addr| addr.to_string()).unwrap_or_default();
        line(
            format!("http://{stats}/stats/prometheus"),
            &format!("{}'s Envoy; its sidecar at /sidecar/metrics", task.app.name),
        );
    }
    say(format!("  The front Envoy pushes dog_statsd to a listener at {} (UDP).", mesh.statsd.addr));
    say(
        "Not here, for no package registry has them: statsd_exporter (the listener reads what it would get) and Grafana.",
    );
}

async fn check(mesh: &mut Mesh, stage: &Stage, prometheus: Option<&Prometheus>) -> anyhow::Result<()> {
    until("the front Envoy's statistics to be pushed", SOON, async || {
        let sent = mesh.statsd.named("envoy.cluster.upstream_rq_total")?;
        let of = |service: &str| {
            let mut own =
                sent.iter().filter(|(tags, _)| tags.get("envoy.cluster_name").is_some_and(|name| name == service));
            own.any(|(_, sent)| sent.value > 0.0)
        };
        ensure!(SERVICES.into_iter().all(of), "{sent:?}");
        Ok(())
    })
    .await?;
    say("\nThe front Envoy's statistics arrive by dog_statsd.");
    if let Some(prometheus) = prometheus {
        check_config(&stage.file("prometheus/prometheus.yaml")).await?;
        mesh.all_up(prometheus).await?;
        say("Prometheus found all tasks by the registry, and everything that it scrapes is up.");
        mesh.an_ipv6_target(prometheus).await?;
        mesh.hostile_instances(prometheus).await?;
        say("What an instance says of others is not kept, and nobody is followed to where it points.");
        mesh.a_registry_away(stage, prometheus).await?;
        say("It keeps its targets while the registry that it asks is away.");
    }
    mesh.trickle.flows(20).await?;
    let (failed, why) = mesh.trickle.failed();
    ensure!(failed == 0, "{failed} requests failed: {why}");
    let mut task = mesh.tasks.pop().context("no task")?;
    task.sidecar.stop_task(&mut task.app).await?;
    drop(task);
    replicas::agree(&mesh.registries, SERVICES[1], TASKS - 1, SOON).await?;
    if let Some(prometheus) = prometheus {
        mesh.all_up(prometheus).await?;
        say("A task was stopped, and Prometheus has let it go.");
    }
    say("All is checked.");
    Ok(())
}
