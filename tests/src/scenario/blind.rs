//! The task metadata endpoint fails in each way it can: while nobody knows yet who the task is, nothing is registered;
//! once it is known, nothing changes, and no task ends.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::{
    api::Api,
    ecs::{
        Ecs, Settings,
        definition::Definition,
        metadata::Fault,
        task::{Phase, Task},
    },
    stage::Stage,
    wait::{SOON, throughout, until},
};

/// A look costs the agent little, but a fleet asks all day.
const LOOKS_A_SECOND: u64 = 2;

/// One task for each way to fail and one whose endpoint refuses connections; `outage` is what they suffer once they are
/// registered.
pub async fn play(stage: &Stage, outage: Duration) -> anyhow::Result<()> {
    let api = Api::start(stage, &[("SDS_LEASE", "3s")]).await?;
    let faults = [
        Fault::Status(429),
        Fault::Status(500),
        Fault::Html,
        Fault::Huge,
        Fault::Silence,
        Fault::Early,
        Fault::edited(|task| *task = json!([])),
    ];
    let mut tasks = Vec::new();
    for fault in faults.clone() {
        tasks.push(start(stage, &api, Some(fault)).await?);
    }
    throughout("nobody is registered", Duration::from_secs(2), async || {
        ensure!(api.v1("web").await?.is_empty());
        Ok(())
    })
    .await?;
    tasks.iter().for_each(|task| task.metadata.fail(None));
    tasks.push(start(stage, &api, None).await?);
    until("all to be registered", SOON, async || {
        let healthy = api.v1("web").await?.len();
        ensure!(healthy == tasks.len(), "{healthy} are registered");
        Ok(())
    })
    .await?;

    let before = registered(&api).await?;
    for (task, fault) in tasks.iter().zip(faults) {
        task.metadata.fail(Some(fault));
    }
    let refusing = tasks.last().context("no task")?;
    refusing.metadata.go_away();
    let asked: u64 = tasks.iter().map(|task| task.metadata.asked()).sum();
    throughout("all stay as they were", outage, async || {
        let now = registered(&api).await?;
        ensure!(now == before, "{now:?}, and it was {before:?}");
        Ok(())
    })
    .await?;
    let asked = tasks.iter().map(|task| task.metadata.asked()).sum::<u64>() - asked;
    let allowed = LOOKS_A_SECOND * outage.as_secs() * tasks.len() as u64;
    ensure!((1..=allowed).contains(&asked), "they asked {asked} times, {allowed} are allowed");
    let quiet = |task: &Task| {
        task.status().phase == Phase::Running
            && task.history.trace() == "app started, sds-sidecar started, sds-sidecar healthy"
    };
    for task in &tasks {
        ensure!(quiet(task), "task {}: {}", task.id(), task.history.trace());
    }
    refusing.metadata.come_back().await?;
    Ok(())
}

async fn start(stage: &Stage, api: &Api, metadata: Option<Fault>) -> anyhow::Result<Task> {
    let settings = Settings { metadata, ..Settings::new(api.addr) };
    Ecs::new(stage, settings).run_task(&Definition::shipped("fargate")?, 1).await
}

/// The service's version, and by whose word each instance stands there; all must be healthy.
async fn registered(api: &Api) -> anyhow::Result<(Value, BTreeMap<String, Value>)> {
    let version = api.get("/v1/services/web").await?.expect(200)?.json()?["version"].clone();
    let instances = api.instances("web").await?;
    ensure!(instances.values().all(|instance| instance["status"] == "healthy"), "{instances:?}");
    Ok((version, instances.into_iter().map(|(at, instance)| (at, instance["incarnation"].clone())).collect()))
}
