//! A sidecar within its ECS task: what ECS says and does to the task decides about the instance.

use std::{fs, time::Duration};

use anyhow::{Context, ensure};
use e2e::{
    api::Api,
    ecs::{
        Ecs, Settings,
        definition::{Definition, HealthCheck, RestartPolicy},
        history::What,
        task::{Phase, Task},
    },
    process::Signal,
    stage::Stage,
    wait::{SOON, throughout, until},
};

use crate::alone;

const LEASE: (&str, &str) = ("SDS_LEASE", "6s");

fn policy() -> RestartPolicy {
    RestartPolicy { enabled: true, restart_attempt_period: 60, ignored_exit_codes: vec![0] }
}

/// A task whose instance is healthy, and where that is.
async fn registered(ecs: &Ecs, api: &Api, definition: &Definition) -> anyhow::Result<(Task, String)> {
    let task = ecs.run_task(definition, 1).await?;
    let at = until("it to be registered", SOON, async || {
        let instances = api.instances("web").await?;
        let healthy = instances.iter().find(|(_, instance)| instance["status"] == "healthy");
        Ok(healthy.with_context(|| format!("{instances:?}"))?.0.clone())
    });
    Ok((task, at.await?))
}

fn moment(task: &Task, container: &str, what: &What) -> anyhow::Result<tokio::time::Instant> {
    task.history.when(container, what).with_context(|| format!("{what:?} is not in {}", task.history.trace()))
}

#[test]
fn the_health_of_the_apps_container_is_the_instances() {
    alone("the_health_of_the_apps_container_is_the_instances", async |stage| {
        let api = Api::start(stage, &[LEASE]).await?;
        let well = stage.file("well");
        let line = format!("test -e {}", well.display());
        let check = HealthCheck {
            command: vec!["CMD-SHELL".into(), line],
            interval: 5,
            timeout: 5,
            retries: 2,
            start_period: 60,
        };
        let definition = Definition::shipped("fargate")?.with("sds-sidecar", "SDS_CHECK", "ecs://app")?;
        let definition = definition.changed("app", |app| app.health_check = Some(check))?;
        let ecs = Ecs::new(stage, Settings::new(api.addr));
        let starting = ecs.run_task(&definition, 1).await?;
        starting.until(|status| status.phase == Phase::Running, SOON).await?;
        throughout("starting is not healthy", Duration::from_secs(2), async || {
            ensure!(api.instances("web").await?.is_empty());
            Ok(())
        })
        .await?;
        fs::write(&well, "")?;
        let at = format!("{}:8080", starting.metadata.identity().network.address);
        api.until_status("web", &at, "healthy", SOON).await?;
        fs::remove_file(&well)?;
        api.until_status("web", &at, "unhealthy", SOON).await?;
        ensure!(starting.status().phase == Phase::Running, "{}", starting.history.trace());
        Ok(())
    });
}

#[test]
fn ecs_word_drains_before_sigterm_and_the_process_waits_for_it() {
    alone("ecs_word_drains_before_sigterm_and_the_process_waits_for_it", async |stage| {
        let api = Api::start(stage, &[LEASE]).await?;
        let settings = Settings { stopped_ahead: Duration::from_secs(8), ..Settings::new(api.addr) };
        let (task, at) = registered(&Ecs::new(stage, settings), &api, &Definition::shipped("fargate")?).await?;
        task.stop("a deploy").await;
        // Looks at the metadata are two seconds apart, the linger is three.
        api.until_status("web", &at, "draining", Duration::from_secs(3)).await?;
        api.until_status("web", &at, "absent", Duration::from_secs(4)).await?;
        let term = What::Signalled(Signal::TERM);
        let quiet = async || {
            ensure!(!task.history.trace().contains("exited"), "{}", task.history.trace());
            Ok(())
        };
        throughout("all of it runs on", Duration::from_millis(500), quiet).await?;
        ensure!(task.history.when("sds-sidecar", &term).is_none(), "{}", task.history.trace());
        task.until(|status| status.phase == Phase::Stopped, SOON).await?;
        let end = "sds-sidecar SIGTERM, sds-sidecar exited 0, app SIGTERM, app exited 0";
        ensure!(task.history.trace().ends_with(end), "{}", task.history.trace());
        let lingered = moment(&task, "sds-sidecar", &What::Exited(0))? - moment(&task, "sds-sidecar", &term)?;
        ensure!(lingered < Duration::from_secs(1), "it lingered once more, {lingered:?}");
        Ok(())
    });
}

/// A definition whose linger and stop timeout are so long that nobody takes them for anything else.
fn patient() -> anyhow::Result<Definition> {
    let definition = Definition::shipped("fargate")?.with("sds-sidecar", "SDS_LINGER", "60s")?;
    definition.changed("sds-sidecar", |sidecar| sidecar.stop_timeout = Some(120))
}

#[test]
fn a_dead_app_is_not_drained() {
    alone("a_dead_app_is_not_drained", async |stage| {
        let api = Api::start(stage, &[LEASE]).await?;
        let (task, at) = registered(&Ecs::new(stage, Settings::new(api.addr)), &api, &patient()?).await?;
        task.signal("app", Signal::KILL).await?;
        api.until_status("web", &at, "absent", Duration::from_secs(4)).await?;
        let ended = task.until(|status| status.phase == Phase::Stopped, SOON).await?;
        ensure!(ended.reason == "essential container app exited", "{}", ended.reason);
        let end = "app SIGKILL, app exited 137, sds-sidecar SIGTERM, sds-sidecar exited 0";
        ensure!(task.history.trace().ends_with(end), "{}", task.history.trace());
        let dead = moment(&task, "app", &What::Exited(137))?;
        let took = moment(&task, "sds-sidecar", &What::Exited(0))? - dead;
        ensure!(took < Duration::from_secs(4), "the linger of 12 s was not skipped: {took:?}");
        ensure!(api.metric("sds_instances_silent_total").await? == 0.0, "it did not deregister");
        Ok(())
    });
}

#[test]
fn an_app_that_is_started_again_at_another_port_is_registered_there() {
    alone("an_app_that_is_started_again_at_another_port_is_registered_there", async |stage| {
        let api = Api::start(stage, &[LEASE]).await?;
        let definition =
            Definition::shipped("ec2-bridge")?.changed("app", |app| app.restart_policy = Some(policy()))?;
        // 60 s of ECS's are 3 s here, and so are the sidecar's spans.
        let ecs = Ecs::new(stage, Settings { scale: 20, ..Settings::new(api.addr) });
        let (task, before) = registered(&ecs, &api, &definition).await?;
        old_enough(&task, "app").await?;
        task.signal("app", Signal::KILL).await?;
        let after = until("it to be healthy at another port alone", SOON, async || {
            let instances = api.instances("web").await?;
            let [(at, instance)] = &instances.iter().collect::<Vec<_>>()[..] else { anyhow::bail!("{instances:?}") };
            ensure!(instance["status"] == "healthy" && **at != before, "{instances:?}");
            Ok(at.to_string())
        })
        .await?;
        ensure!(api.v1_endpoints("web").await? == [after]);
        ensure!(task.status().phase == Phase::Running, "{}", task.history.trace());
        // The old one was said goodbye to, not left to its lease.
        ensure!(api.metric("sds_instances_silent_total").await? == 0.0);
        Ok(())
    });
}

/// Waits until a restart policy would start a container again.
async fn old_enough(task: &Task, container: &str) -> anyhow::Result<()> {
    let started = moment(task, container, &What::Started)?;
    until("it to have run for the restart attempt period", SOON, async || {
        ensure!(started.elapsed() > Duration::from_millis(3100));
        Ok(())
    })
    .await
}

#[test]
fn a_sidecar_that_is_started_again_takes_its_instance_over() {
    alone("a_sidecar_that_is_started_again_takes_its_instance_over", async |stage: &Stage| {
        let api = Api::start(stage, &[LEASE]).await?;
        let ecs = Ecs::new(stage, Settings { scale: 20, ..Settings::new(api.addr) });
        let (task, at) = registered(&ecs, &api, &Definition::shipped("fargate")?).await?;
        let incarnation = async || {
            let instances = api.instances("web").await?;
            let instance = instances.get(&at).context("it has left the answers")?;
            ensure!(instance["status"] == "healthy", "{instance}");
            instance["incarnation"].as_u64().context("no incarnation")
        };
        let first = incarnation().await?;
        old_enough(&task, "sds-sidecar").await?;
        task.signal("sds-sidecar", Signal::KILL).await?;
        let mut latest = first;
        throughout("it stays in the answers", Duration::from_secs(8), async || {
            latest = incarnation().await?;
            Ok(())
        })
        .await?;
        ensure!(latest > first, "nobody took over");
        ensure!(task.status().phase == Phase::Running, "{}", task.history.trace());
        Ok(())
    });
}
