//! Two releases of the registry on one table, as they are while one replaces the other: they answer the same, lose nobody, and
//! their versions stand still as long as nothing changes.

use std::{collections::BTreeMap, time::Duration};

use anyhow::ensure;
use serde_json::json;
use tokio::time::sleep;

use crate::{
    dynamo::Dynamo,
    fleet::{Fleet, Spec},
    replicas::{self, Replica, addrs},
    stage::Stage,
    wait::{SOON, throughout},
    watch::{Expected, Polls},
};

const SERVICES: u32 = 5;

/// What is played.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Of each service.
    pub hosts: u32,
    /// The lease.
    pub lease: Duration,
    /// Nothing changes for so many leases.
    pub leases: u32,
}

/// Plays it; tells how many polls were answered.
pub async fn play(stage: &Stage, plan: Plan) -> anyhow::Result<u64> {
    let lease = format!("{}ms", plan.lease.as_millis());
    let env = [("SDS_LEASE", lease.as_str()), ("SDS_FULL_READ", "1s")];
    let store = Dynamo::in_memory(stage).await?;
    // The older one has made the table.
    let other = Replica::start_of(stage, &stage.programs.other(), store.addr, &env).await?;
    other.ready(SOON).await?;
    let ours = Replica::start(stage, store.addr, &env).await?;
    ours.ready(SOON).await?;
    let mut pair = [other, ours];
    let specs = (0..SERVICES * plan.hosts).map(|nth| Spec::new(&name(nth % SERVICES), nth).zone("a"));
    let fleet = Fleet::start(specs, &addrs(&pair), plan.lease / 3);
    fleet.registered(plan.lease / 3 + SOON).await?;
    let still = agreed(&pair, plan.hosts).await?;
    let expected = Expected::fleet(&fleet);
    let polls = Polls::start(&addrs(&pair), &expected, 4, Duration::from_millis(100));
    stand(&pair, &still, plan.hosts, plan.lease * plan.leases).await?;

    let before = still;
    let (changed, left) = (&fleet.all[0], &fleet.all[SERVICES as usize]);
    changed.change(json!({"weight": 7, "health": "unhealthy"}));
    expected.release(&left.spec.service, &left.spec.at);
    expected.release(&changed.spec.service, &changed.spec.at);
    left.leave();
    replicas::agree(&pair, &name(0), plan.hosts as usize - 1, SOON).await?;
    // Each is once the one that is there first, and once the one that reads what was written.
    for nth in [0, 1] {
        pair[nth].api.process.stop(SOON).await?;
        pair[nth].start_again(stage).await?;
        pair[nth].ready(SOON).await?;
        let version = replicas::agree(&pair, &name(0), plan.hosts as usize - 1, SOON).await?;
        ensure!(version != before[&name(0)], "the change has no version of its own");
        for service in (1..SERVICES).map(name) {
            let now = replicas::agree(&pair, &service, plan.hosts as usize, SOON).await?;
            ensure!(now == before[&service], "{service} moved from {} to {now}", before[&service]);
        }
    }
    let sum = fleet.sum();
    ensure!(sum.superseded == 0 && sum.refused == 0, "{sum:?}");
    let seen = polls.seen();
    seen.lost_nothing()?;
    Ok(seen.answers.values().sum())
}

fn name(nth: u32) -> String {
    format!("svc-{nth}")
}

async fn agreed(pair: &[Replica; 2], hosts: u32) -> anyhow::Result<BTreeMap<String, String>> {
    let mut versions = BTreeMap::new();
    for service in (0..SERVICES).map(name) {
        let version = replicas::agree(pair, &service, hosts as usize, SOON).await?;
        versions.insert(service, version);
    }
    Ok(versions)
}

/// The versions stand still.
async fn stand(
    pair: &[Replica; 2],
    still: &BTreeMap<String, String>,
    hosts: u32,
    span: Duration,
) -> anyhow::Result<()> {
    throughout("no version moves without a change", span, async || {
        for (service, version) in still {
            let now = replicas::agree(pair, service, hosts as usize, Duration::from_secs(1)).await?;
            ensure!(now == *version, "{service} moved from {version} to {now}");
        }
        sleep(Duration::from_millis(100)).await;
        Ok(())
    })
    .await
}
