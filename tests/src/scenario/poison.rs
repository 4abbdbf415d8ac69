//! Every bad row that we could think of, put straight into the table, each kind in a service of its own beside nine hosts
//! that are well. Nobody but the bad row itself may be missing anywhere: all services go on changing within 2 s, in the
//! registry's answers and in a real Envoy, which refuses nothing; each bad row is counted and named. A registry that starts
//! with them in its first read does the same.

mod rows;

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use serde_json::json;
use tokio::time::Instant;

use crate::{
    api::Api,
    envoy::{Envoy, Guards, HealthChecks, Mode, Setup},
    stage::Stage,
    table::{Table, good_row, n},
    wait::{SOON, until},
};

/// A change is in Envoy within.
const UPDATED: Duration = Duration::from_secs(2);
/// Envoy waits up to as much again.
const REFRESH: Duration = Duration::from_millis(500);
const GOOD: u8 = 9;
/// Has a row of a newer release, which is well.
const NEWER: &str = "newer";
/// Has a row of an ancestor.
const FOREIGN: &str = "foreign";

/// What is played.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Of so many services one is a cluster of Envoy's: each polls for itself, with 77 KB a second.
    pub one_in: usize,
}

/// What was seen.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// How many bad rows there were.
    pub bad: usize,
    /// The slowest change, beside running hosts and after a restart.
    pub updated: [Duration; 2],
}

/// Plays it; an error names what was not kept.
pub async fn play(stage: &Stage, plan: Plan) -> anyhow::Result<Outcome> {
    let file = stage.file("data.sqlite");
    let env = [
        ("SDS_FULL_READ", "1s"),
        ("SDS_LEASE", "60s"),
        ("SDS_ALLOW_LOOPBACK", "false"),
        ("SDS_CIDRS", "10.0.0.0/8,fd00::/8"),
        ("SDS_DATA", file.to_str().context("not UTF-8")?),
    ];
    let mut api = Api::start(stage, &env).await?;
    let kinds = rows::kinds();
    let names: Vec<String> = (0..kinds.len()).map(|nth| format!("kind-{nth}")).collect();
    let services: Vec<&str> = names.iter().map(String::as_str).chain([NEWER, FOREIGN]).collect();
    for host in 1..=GOOD {
        try_join_all(services.iter().map(|service| put(&api, service, host, 1))).await?;
    }
    let polled: Vec<&str> = names.iter().step_by(plan.one_in).map(String::as_str).chain([NEWER, FOREIGN]).collect();
    let envoy = Envoy::set_up(
        stage,
        &Setup {
            replicas: vec![api.addr],
            services: polled.iter().map(ToString::to_string).collect(),
            mode: Mode::Rest(REFRESH),
            checks: HealthChecks::Off,
            guards: Guards::default(),
        },
    )
    .await?;
    let table = api.table().await?;
    for (kind, service) in kinds.iter().zip(&names) {
        table.put(kind.row(service)).await.with_context(|| kind.to_string())?;
    }
    // A name that is none, and rows that are well in spite of all.
    table.put(good_row("a/b", "10.0.9.2:80")).await?;
    strangers(&table).await?;
    let bad = kinds.len() + 1;
    until("the log to name each row", SOON, async || {
        for (kind, service) in kinds.iter().zip(&names) {
            ensure!(api.process.log().find(&format!("\"{service}/")).is_some(), "{service}: {kind}");
        }
        Ok(())
    })
    .await?;
    counted(&api, bad).await?;
    let wanted = |service: &str, restarted: bool| {
        // Who was only found in the table is no sign of life, but for the read at the start.
        usize::from(GOOD) + usize::from(service == FOREIGN || (service == NEWER && restarted))
    };
    let before = updated(&api, &envoy, &services, 2, |service| wanted(service, false)).await?;

    let addr = api.addr.to_string();
    api.process.stop(SOON).await?;
    let api = Api::start(stage, &[&env[..], &[("SDS_LISTEN", &addr)]].concat()).await?;
    counted(&api, bad).await?;
    let after = updated(&api, &envoy, &services, 3, |service| wanted(service, true)).await.context("restarted")?;
    let rejected = envoy.sum("update_rejected").await?;
    ensure!(rejected == 0, "Envoy refused {rejected} answers");
    Ok(Outcome { bad, updated: [before, after] })
}

fn at(host: u8) -> String {
    format!("10.0.0.{host}:80")
}

/// Registers a host or changes its weight; when that was answered. The store is an emulator, and slow when all come at
/// once: a try that failed may have been made, so each has a number of its own, as a sidecar's have.
async fn put(api: &Api, service: &str, host: u8, round: u64) -> anyhow::Result<Instant> {
    let mut seq = round * 1000;
    until("a change to be taken", SOON, async || {
        seq += 1;
        let weight = json!({"weight": round * 10});
        api.put(service, &at(host), (1, seq), weight).await?.expect(200).map(|_| Instant::now())
    })
    .await
}

/// Rows that others wrote, and that are well.
async fn strangers(table: &Table) -> anyhow::Result<()> {
    let mut newer = good_row(NEWER, "10.0.1.1:80");
    newer.insert("of_a_newer_release".into(), rows::map([("a", n(1))]));
    newer.insert("fmt".into(), n(2));
    table.put(newer).await?;
    // Without an incarnation: served while it has not expired, and counted apart.
    let mut foreign = good_row(FOREIGN, "10.0.7.1:80");
    foreign.remove("incarnation");
    table.put(foreign).await
}

async fn counted(api: &Api, bad: usize) -> anyhow::Result<()> {
    until("the bad rows to be counted", SOON, async || {
        let (counted, foreign) = (api.metric("sds_bad_rows").await?, api.metric("sds_foreign_rows").await?);
        ensure!(counted == bad as f64, "{counted} of {bad} bad rows");
        ensure!(foreign == 1.0, "{foreign} foreign rows");
        Ok(())
    })
    .await
}

/// Changes a host of each service by the API, and waits until Envoy has it, and all others.
async fn updated(
    api: &Api,
    envoy: &Envoy,
    services: &[&str],
    round: u64,
    wanted: impl Fn(&str) -> usize,
) -> anyhow::Result<Duration> {
    // Those of Envoy last: what the others' writes cost the emulator is no delay of theirs.
    let clusters = envoy.clusters().await?;
    let (polled, others): (Vec<&str>, Vec<&str>) =
        services.iter().partition(|service| clusters.contains_key(**service));
    try_join_all(others.iter().map(|service| put(api, service, 1, round))).await?;
    let changed = try_join_all(polled.iter().map(|service| put(api, service, 1, round))).await?;
    let mut missing: BTreeMap<&str, Instant> = polled.into_iter().zip(changed).collect();
    let mut slowest = Duration::ZERO;
    until("each change to be in Envoy", SOON, async || {
        let clusters = envoy.clusters().await?;
        missing.retain(|service, changed| {
            let arrived = clusters.get(*service).is_some_and(|hosts| {
                hosts.get(&at(1)).is_some_and(|host| host.weight == round * 10) && hosts.len() == wanted(service)
            });
            if arrived {
                slowest = slowest.max(changed.elapsed());
            }
            !arrived
        });
        ensure!(missing.is_empty(), "not in {:?}", missing.keys());
        Ok(())
    })
    .await?;
    ensure!(slowest <= UPDATED, "a change took {slowest:?}");
    for service in services {
        let hosts = api.v1(service).await?;
        let told = hosts.iter().find(|host| host.endpoint.to_string() == at(1)).and_then(|host| host.weight);
        ensure!(told == Some(round * 10) && hosts.len() == wanted(service), "{service} has {hosts:?}");
    }
    Ok(slowest)
}
