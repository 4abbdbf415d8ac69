//! All replicas are started anew while the store is dead: one has its snapshot on disk, one asks its sibling for it, one has
//! nothing. Then the store comes back; then its table is emptied, and then it is replaced by one that knows nothing. No Envoy
//! loses anybody, no answer is ever empty, and the table is full again soon.

use std::{fmt, time::Duration};

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use tokio::time::{Instant, sleep};

use super::crowd::{Crowd, REFRESH, Story, WEB, has_all};
use crate::{
    dynamo::Dynamo,
    envoy::{Envoy, Guards, HealthChecks, Mode, Setup},
    replicas::{Replica, TABLE},
    stage::Stage,
    wait::{SOON, throughout, until},
};

/// Beside the heartbeats: to see that the table is empty, and to write.
const SEEN: Duration = Duration::from_secs(2);
/// The store stays dead for its leases after the restart.
pub use super::storedeath::Plan;

/// What was seen.
#[derive(Debug)]
pub struct Outcome {
    /// All in all.
    pub story: Story,
    /// From the start without the store until the one with its file answered, and the one that asked it.
    pub answered: [Duration; 2],
    /// Until the table was full again, after it was emptied, and after another one stood in its place.
    pub full: [Duration; 2],
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { story, answered: [file, sibling], full: [emptied, replaced] } = self;
        write!(
            f,
            "{story}; without the store answers from the file after {file:.1?}, from a sibling after {sibling:.1?}; "
        )?;
        write!(f, "full again {emptied:.1?} after the table was emptied, {replaced:.1?} after it was replaced")
    }
}

/// Plays it.
pub async fn play(stage: &Stage, plan: Plan) -> anyhow::Result<Outcome> {
    let lease = format!("{}ms", plan.lease.as_millis());
    let heartbeat = plan.lease / 3;
    let file = stage.file("snapshot");
    let snapshot = file.to_str().context("not UTF-8")?;
    let mut store = Dynamo::on_file(stage).await?;
    let lease = ("SDS_LEASE", lease.as_str());
    let keeper = Replica::start(stage, store.addr, &[lease, ("SDS_SNAPSHOT", snapshot)]).await?;
    keeper.ready(SOON).await?;
    let sibling = format!("http://{}", keeper.api.addr);
    let heir = Replica::start(stage, store.addr, &[lease, ("SDS_PEERS", &sibling)]).await?;
    let blank = Replica::start(stage, store.addr, &[lease]).await?;
    let mut replicas = [keeper, heir, blank];
    try_join_all(replicas.iter().map(|replica| replica.ready(SOON))).await?;
    let crowd = Crowd::start(stage, &replicas, plan.size, heartbeat).await?;
    let all = crowd.expected.hosts();
    until("the snapshot to hold everybody", 2 * plan.lease, async || {
        let text = std::fs::read_to_string(&file)?;
        ensure!(text.lines().count() == all + 1, "{} lines for {all}", text.lines().count());
        Ok(())
    })
    .await?;
    crowd.polls.seen().all_answered().context("before")?;

    store.kill().await?;
    try_join_all(replicas.iter_mut().map(|replica| replica.api.process.stop(SOON))).await?;
    let started = Instant::now();
    try_join_all(replicas.iter_mut().map(|replica| replica.start_again(stage))).await?;
    let [keeper, heir, blank] = &replicas;
    let mut answered = [Duration::ZERO; 2];
    for (replica, took) in [keeper, heir].into_iter().zip(&mut answered) {
        replica.ready(SOON).await.context("with a snapshot, without the store")?;
        *took = started.elapsed();
        until("the snapshot's age to be told", SOON, async || {
            let answer = replica.api.get("/v1/registration/web").await?.expect(200)?;
            let state = answer.header("x-sds-state");
            ensure!(state.starts_with("stale;age="), "{state}");
            Ok(())
        })
        .await?;
        let setup = Setup { replicas: vec![replica.api.addr], ..setup(&crowd) };
        has_all(&Envoy::set_up(stage, &setup).await?, &crowd.expected).await.context("a fresh Envoy")?;
    }
    throughout("all is well without the store", plan.lease * plan.leases, async || {
        crowd.is_well().await?;
        for path in ["/readyz", "/v1/registration/web", "/v1/registration/none", "/v1/services/web", "/v1/snapshot"] {
            blank.api.get(path).await?.expect(503).context("the one that knows nothing")?;
        }
        blank.api.eds("v3", &["web"], "").await?.expect(503)?;
        sleep(heartbeat / 4).await;
        Ok(())
    })
    .await?;

    store.restart(stage).await?;
    crowd.is_whole(&replicas, SOON).await.context("after the store's return")?;
    crowd.is_well().await?;
    store.table(TABLE).wipe().await?;
    // Row by row: the next read finds that all are gone, within a heartbeat of the last of them.
    let emptied = full(&store, all, 2 * heartbeat).await.context("after the table was emptied")?;
    stays_whole(&crowd, &replicas, plan.lease).await.context("after the table was emptied")?;
    store.replace(stage).await?;
    store.table(TABLE).create().await?;
    let replaced = full(&store, all, heartbeat).await.context("after the table was replaced")?;
    stays_whole(&crowd, &replicas, plan.lease).await.context("after the table was replaced")?;
    Ok(Outcome { story: crowd.end().await?, answered, full: [emptied, replaced] })
}

fn setup(crowd: &Crowd) -> Setup {
    let mut services = crowd.expected.services();
    services.sort_by_key(|service| service != WEB);
    Setup {
        replicas: Vec::new(),
        services,
        mode: Mode::Rest(REFRESH),
        checks: HealthChecks::Off,
        guards: Guards::default(),
    }
}

/// Waits until the table has everybody again.
async fn full(store: &Dynamo, all: usize, within: Duration) -> anyhow::Result<Duration> {
    let start = Instant::now();
    until("the table to be full again", within + SEEN, async || {
        let rows = store.table(TABLE).rows().await?.len();
        ensure!(rows == all, "{rows} of {all} rows");
        Ok(())
    })
    .await?;
    Ok(start.elapsed())
}

/// For longer than a lease, so that whoever was lost and is only still served would show.
async fn stays_whole(crowd: &Crowd, replicas: &[Replica], lease: Duration) -> anyhow::Result<()> {
    crowd.is_whole(replicas, SOON).await?;
    throughout("nobody is lost", lease * 3 / 2, async || {
        crowd.is_well().await?;
        sleep(lease / 10).await;
        Ok(())
    })
    .await
}
