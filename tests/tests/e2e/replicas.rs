//! Several replicas on one table: they come to the same answers, also when one of them is in trouble.

use std::time::Duration;

use anyhow::{Context, ensure};
use e2e::{
    dynamo::Dynamo,
    fleet::{Fleet, Spec},
    gate::{Fault, Flow, Lag},
    replicas::{self, Replica, addrs},
    scenario::replicas::{Idle, VISIBLE, idle, polled, visible},
    stage::Stage,
    wait::{SOON, until},
};
use serde_json::json;
use tokio::time::Instant;

use crate::alone;

const ENV: [(&str, &str); 2] = [("SDS_LEASE", "3s"), ("SDS_FULL_READ", "300ms")];

async fn two(stage: &Stage) -> anyhow::Result<(Dynamo, [Replica; 2])> {
    let store = Dynamo::in_memory(stage).await?;
    let replicas = replicas::start(stage, store.addr, 2, &ENV).await?;
    Ok((store, replicas.try_into().ok().context("two")?))
}

#[test]
fn what_one_is_told_all_answer() {
    alone("what_one_is_told_all_answer", async |stage| {
        let (_store, replicas) = two(stage).await?;
        let fleet = Fleet::start((0..20).map(|nth| Spec::new("web", nth)), &addrs(&replicas), Duration::ZERO);
        fleet.registered(SOON).await?;
        replicas::agree(&replicas, "web", 20, SOON).await?;
        fleet.all[0].leave();
        replicas::agree(&replicas, "web", 19, SOON).await.map(drop)
    });
}

#[test]
fn a_replica_survives_all_that_its_way_to_the_store_does() {
    alone("a_replica_survives_all_that_its_way_to_the_store_does", async |stage| {
        let mut store = Dynamo::on_file(stage).await?;
        let mut replica = Replica::start(stage, store.addr, &[("SDS_FULL_READ", "300ms")]).await?;
        replica.ready(SOON).await?;
        replica.api.put("web", "10.0.0.1:80", (1, 1), json!({})).await?.expect(200)?;
        let mut next = 1;
        let mut fails = async |replica: &Replica, how: &dyn std::fmt::Debug| {
            next += 1;
            let start = Instant::now();
            let refused = replica.api.put("web", &format!("10.0.0.{next}:80"), (1, 1), json!({})).await?;
            refused.expect(503).with_context(|| format!("{how:?}"))?;
            ensure!(start.elapsed() < Duration::from_secs(1), "{how:?}: the 503 took {:?}", start.elapsed());
            ensure!(replica.api.v1_endpoints("web").await?.contains(&"10.0.0.1:80".to_owned()), "{how:?}");
            Ok(())
        };
        for flow in [Flow::Refused, Flow::Reset, Flow::Closed, Flow::Still, Flow::Mute, Flow::Deaf] {
            replica.gate.flow(flow);
            fails(&replica, &flow).await?;
            replica.gate.open();
        }
        let slow = Lag { delay: Duration::from_secs(1), jitter: Duration::from_secs(1) };
        replica.gate.lag(slow);
        fails(&replica, &slow).await?;
        replica.gate.lag(Lag::default());
        for fault in [
            Fault::broken(),
            Fault::throttled(),
            Fault::denied(),
            Fault::no_table(),
            Fault::garbage(),
            Fault::Lost,
            Fault::Unanswered,
            Fault::Truncated(100),
        ] {
            // It can read, and cannot write.
            replica.gate.strike(fault.clone(), |request| request.operation() == "UpdateItem");
            fails(&replica, &fault).await?;
            replica.gate.spare();
        }
        let works = async |replica: &Replica| {
            let works = until("writes to be taken again", SOON, async || {
                replica.api.put("web", "10.0.1.1:80", (1, 1), json!({})).await?.expect(200)
            });
            works.await.map(drop)
        };
        works(&replica).await?;
        store.kill().await?;
        fails(&replica, &"dead").await?;
        store.restart(stage).await?;
        works(&replica).await?;
        replica.api.process.kill().await?;
        replica.start_again(stage).await?;
        replica.ready(SOON).await?;
        ensure!(replica.api.v1_endpoints("web").await?.contains(&"10.0.1.1:80".to_owned()));
        Ok(())
    });
}

#[test]
fn a_change_at_one_is_visible_on_the_other_within_a_second() {
    alone("a_change_at_one_is_visible_on_the_other_within_a_second", async |stage| {
        let seen = visible(stage, 32).await?;
        println!("{seen}");
        ensure!(seen.quantile(1.0) < VISIBLE, "{seen}");
        Ok(())
    });
}

#[test]
fn the_store_does_not_notice_who_polls() {
    alone("the_store_does_not_notice_who_polls", async |stage| {
        let seen = polled(stage, 50, Duration::from_secs(6)).await?;
        println!("{seen}");
        seen.costs_nothing()
    });
}

#[test]
fn a_heartbeat_costs_no_write() {
    alone("a_heartbeat_costs_no_write", async |stage| {
        let [lease, span] = [3, 6].map(Duration::from_secs);
        let cost = idle(stage, Idle { instances: 100, replicas: 2, lease, span }).await?;
        println!("{cost}");
        cost.only_flushes()
    });
}
