//! The small ECS itself, judged by what it does to real processes: the deploys that rest on it are no better than it is.

use std::{fs, time::Duration};

use anyhow::{Context, ensure};
use e2e::{
    api::Api,
    ecs::{
        Ecs, Settings,
        definition::Definition,
        health::Health,
        history::What,
        task::{Phase, Task},
    },
    http,
    process::Signal,
    stage::Stage,
    wait::{SOON, until},
};
use serde_json::{Value, json};

use crate::{alone, play};

/// An ECS without a registry.
fn ecs(stage: &Stage, scale: u32) -> Ecs {
    Ecs::new(stage, Settings { scale, ..Settings::new(([127, 0, 0, 1], 9).into()) })
}

/// A definition of containers that run a command of this machine.
fn definition(containers: Value) -> anyhow::Result<Definition> {
    let mut definition = json!({"family": "test", "networkMode": "awsvpc", "containerDefinitions": containers});
    for container in definition["containerDefinitions"].as_array_mut().into_iter().flatten() {
        container["image"] = json!("busybox:1");
    }
    Ok(serde_json::from_value(definition)?)
}

async fn ended(task: &Task) -> anyhow::Result<String> {
    Ok(task.until(|status| status.phase == Phase::Stopped, SOON).await?.reason)
}

#[test]
fn aws_takes_the_definitions_that_the_docs_ship() {
    play("aws_takes_the_definitions_that_the_docs_ship", async |_| {
        for name in ["fargate", "ec2-bridge", "ec2-host"] {
            let file: Value = serde_json::from_str(&fs::read_to_string(Definition::path(name))?)?;
            Definition::aws_takes(file.clone()).await.context(name)?;
            // What is waited for before SIGKILL must be what the sidecar believes.
            let sidecar = Definition::shipped(name)?.container_definitions.remove(1);
            let stop_timeout = sidecar.stop_timeout.context("no stopTimeout")?;
            ensure!(sidecar.environment["SDS_STOP_TIMEOUT"] == format!("{stop_timeout}s"), "{name}");
            let dependency = json!([{"containerName": "app", "condition": "STARTED"}]);
            for (key, value) in [("stopTimeOut", json!(30)), ("cpu", json!("16")), ("dependsOn", dependency)] {
                let mut wrong = file.clone();
                wrong["containerDefinitions"][1][key] = value;
                ensure!(Definition::aws_takes(wrong).await.is_err(), "the judge lets {key} pass");
            }
        }
        Ok(())
    });
}

#[test]
fn containers_start_by_their_dependencies_and_stop_the_other_way() {
    play("containers_start_by_their_dependencies_and_stop_the_other_way", async |stage| {
        let definition = definition(json!([
            {"name": "last", "command": ["sleep", "99"], "dependsOn": [{"containerName": "app", "condition": "HEALTHY"}]},
            {"name": "app", "command": ["sleep", "99"], "dependsOn": [{"containerName": "init", "condition": "SUCCESS"}],
             "healthCheck": {"command": ["CMD", "true"], "interval": 5}},
            {"name": "init", "command": ["sleep", "0.3"], "essential": false},
        ]))?;
        let task = ecs(stage, 10).run_task(&definition, 1).await?;
        task.until(|status| status.phase == Phase::Running, SOON).await?;
        task.stop("enough").await;
        ensure!(ended(&task).await? == "enough");
        let trace = "init started, init exited 0, app started, app healthy, last started, \
            last SIGTERM, last exited 143, app SIGTERM, app exited 143";
        ensure!(task.history.trace() == trace, "{}", task.history.trace());
        Ok(())
    });
}

#[test]
fn what_cannot_start_ends_the_task() {
    play("what_cannot_start_ends_the_task", async |stage| {
        let definition = definition(json!([
            {"name": "init", "command": ["false"], "essential": false},
            {"name": "app", "command": ["sleep", "99"], "dependsOn": [{"containerName": "init", "condition": "SUCCESS"}]},
        ]))?;
        let task = ecs(stage, 10).run_task(&definition, 1).await?;
        ensure!(ended(&task).await?.contains("app depends on"));
        ensure!(task.history.trace() == "init started, init exited 1", "{}", task.history.trace());
        Ok(())
    });
}

#[test]
fn who_does_not_listen_is_killed_after_its_stop_timeout() {
    play("who_does_not_listen_is_killed_after_its_stop_timeout", async |stage| {
        let stubborn = ["sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.1; done"];
        let definition = definition(json!([{"name": "app", "command": stubborn, "stopTimeout": 5}]))?;
        let task = ecs(stage, 10).run_task(&definition, 1).await?;
        until("the trap", SOON, async || stage.log_book().find("deaf").context("not yet")).await?;
        task.stop("enough").await;
        ended(&task).await?;
        ensure!(task.history.trace() == "app started, app SIGTERM, app SIGKILL, app exited 137");
        let sent = |signal| task.history.when("app", &What::Signalled(signal)).context("not sent");
        let between = sent(Signal::KILL)? - sent(Signal::TERM)?;
        ensure!(between >= Duration::from_millis(500), "killed after {between:?}");
        Ok(())
    });
}

#[test]
fn a_restart_policy_keeps_a_task_that_ran_long_enough() {
    play("a_restart_policy_keeps_a_task_that_ran_long_enough", async |stage| {
        let policy = json!({"enabled": true, "restartAttemptPeriod": 60, "ignoredExitCodes": [0]});
        let run = async |command: Value| {
            let definition = definition(json!([{"name": "app", "command": command, "restartPolicy": policy}]))?;
            ecs(stage, 60).run_task(&definition, 1).await
        };
        // 60 s are 1 s here. It ends in time once; then too early, and the task with it.
        let task = run(json!(["sh", "-c", "sleep 1.2; exit 1"])).await?;
        until("a second life", SOON, async || {
            let document = told(&task).await?;
            ensure!(row(&document, "app")?["RestartCount"] == 1, "{document}");
            Ok(())
        })
        .await?;
        task.signal("app", Signal::KILL).await?;
        ensure!(ended(&task).await? == "essential container app exited");
        let lives = task.history.events().iter().filter(|event| event.what == What::Started).count();
        ensure!(lives == 2, "{}", task.history.trace());

        let ignored = run(json!(["sleep", "1.2"])).await?;
        ended(&ignored).await?;
        ensure!(ignored.history.trace() == "app started, app exited 0", "{}", ignored.history.trace());
        Ok(())
    });
}

#[test]
fn without_a_check_a_task_is_trusted_after_forty_seconds() {
    alone("without_a_check_a_task_is_trusted_after_forty_seconds", async |stage| {
        let definition = definition(json!([
            {"name": "app", "command": ["sleep", "99"]},
            {"name": "helper", "command": ["sleep", "99"], "essential": false,
             "healthCheck": {"command": ["CMD", "false"], "interval": 5, "retries": 1}},
        ]))?;
        // 40 s are 2 s here; a check of what is not essential does not count.
        let task = ecs(stage, 20).run_task(&definition, 1).await?;
        task.until(|status| status.health == Health::Healthy, SOON).await?;
        let started = task.history.when("helper", &What::Started).context("not started")?;
        ensure!(started.elapsed() >= Duration::from_secs(2), "after {:?}", started.elapsed());
        ensure!(task.history.trace().contains("helper unhealthy"), "{}", task.history.trace());
        Ok(())
    });
}

#[test]
fn a_task_whose_sidecar_hangs_is_replaced() {
    alone("a_task_whose_sidecar_hangs_is_replaced", async |stage| {
        let api = Api::start(stage, &[("SDS_LEASE", "3s")]).await?;
        let ecs = Ecs::new(stage, Settings { scale: 10, ..Settings::new(api.addr) });
        let service = ecs.service(2);
        service.deploy(&Definition::shipped("fargate")?, SOON).await?;
        let (_, hung) = service.view().tasks.remove(0);
        hung.signal("sds-sidecar", Signal::STOP).await?;
        let view = service.until("rid of it", |view| !view.past.is_empty(), 2 * SOON).await?;
        ensure!(view.past[0].1.id() == hung.id() && view.healthy() == 2, "{view:?}");
        let end = "sds-sidecar unhealthy, sds-sidecar SIGTERM, sds-sidecar SIGKILL, sds-sidecar exited 137, app SIGTERM, \
            app exited 0";
        ensure!(hung.history.trace().ends_with(end), "{}", hung.history.trace());
        Ok(())
    });
}

/// What the endpoint tells of a task.
async fn told(task: &Task) -> anyhow::Result<Value> {
    let name = &task.metadata.identity().definition.container_definitions[0].name;
    http::get_json(&http::client(SOON), &format!("{}/task", task.metadata.uri(name))).await
}

fn row<'a>(document: &'a Value, name: &str) -> anyhow::Result<&'a Value> {
    let rows = document["Containers"].as_array().context("no containers")?;
    rows.iter().find(|row| row["Name"] == name).context("not this container")
}

#[test]
fn the_metadata_tell_of_each_network_mode() {
    play("the_metadata_tell_of_each_network_mode", async |stage| {
        let settings = Settings { stopped_ahead: Duration::from_secs(1), ..Settings::new(([127, 0, 0, 1], 9).into()) };
        let ecs = Ecs::new(stage, settings);
        for (name, mode) in [("fargate", "awsvpc"), ("ec2-bridge", "bridge"), ("ec2-host", "host")] {
            let task = ecs.run_task(&Definition::shipped(name)?, 7).await?;
            let address = task.metadata.identity().network.address.to_string();
            task.until(|status| status.phase == Phase::Running, SOON).await?;
            let document = told(&task).await?;
            let (app, sidecar) = (row(&document, "app")?, row(&document, "sds-sidecar")?);
            ensure!(document["Revision"] == "7" && app["KnownStatus"] == "RUNNING", "{document}");
            ensure!(app["Networks"][0]["NetworkMode"] == mode);
            ensure!(sidecar.get("Health").is_none(), "Docker still says 'starting'");
            let own = http::get_json(&http::client(SOON), &task.metadata.uri("sds-sidecar")).await?;
            ensure!(own == *sidecar, "{own}");
            let addresses = if mode == "host" { json!([""]) } else { json!([address]) };
            ensure!(app["Networks"][0]["IPv4Addresses"] == addresses, "{app}");
            let at = match mode {
                "bridge" => {
                    let ports = app["Ports"].as_array().context("no ports")?;
                    ensure!(ports[0]["HostIp"] == "0.0.0.0" && ports[1]["HostIp"] == "::", "{app}");
                    ensure!(ports[0]["HostPort"] != ports[1]["HostPort"], "{app}");
                    format!("127.0.0.1:{}", ports[0]["HostPort"])
                }
                _ => {
                    ensure!(app.get("Ports").is_none(), "{app}");
                    format!("{address}:8080")
                }
            };
            let (client, url) = (http::client(SOON), format!("http://{at}/"));
            until("the app to be reached where clients reach it", SOON, async || {
                let answer = http::send(&client, reqwest::Method::GET, &url, &[], "").await?;
                ensure!(answer.text().trim() == task.id(), "{answer:?}");
                Ok(())
            })
            .await?;

            task.stop("enough").await;
            until("the word before the signal", SOON, async || {
                ensure!(told(&task).await?["DesiredStatus"] == "STOPPED");
                Ok(())
            })
            .await?;
            ensure!(task.history.when("sds-sidecar", &What::Signalled(Signal::TERM)).is_none());
            ended(&task).await?;
        }
        Ok(())
    });
}
