//! SIGTERM in ECS's order (the sidecar first, the app only when the sidecar has exited) costs no request, and the very
//! same test sees failures when the drain is taken away: it can fail.

use std::time::Duration;

use anyhow::{bail, ensure};
use e2e::{
    api::Api,
    app::App,
    envoy::Envoy,
    load::Load,
    sidecar::Sidecar,
    stage::Stage,
    wait::{SOON, until},
};

use crate::alone;

const RATE: u32 = 100;

struct Fleet {
    api: Api,
    envoy: Envoy,
    tasks: Vec<(App, Sidecar)>,
}

/// Three tasks behind an Envoy that polls about each second, as the defaults of production would have it, at scale.
async fn fleet(stage: &Stage, linger: &str) -> anyhow::Result<Fleet> {
    let api = Api::start(stage, &[("SDS_LEASE", "6s")]).await?;
    let mut tasks = Vec::new();
    for name in ["a", "b", "c"] {
        tasks.push(task(stage, &api, name, linger).await?);
    }
    let envoy = Envoy::start(stage, api.addr, "web", Duration::from_millis(700)).await?;
    until("Envoy to have all three", SOON, async || {
        ensure!(envoy.hosts().await?.len() == 3);
        Ok(())
    })
    .await?;
    Ok(Fleet { api, envoy, tasks })
}

async fn task(stage: &Stage, api: &Api, name: &str, linger: &str) -> anyhow::Result<(App, Sidecar)> {
    let app = App::start(stage, name).await?;
    let sidecar = Sidecar::start(stage, api.addr, "web", &app, &[("SDS_LINGER", linger)]).await?;
    Ok((app, sidecar))
}

#[test]
fn a_deploy_under_load_fails_no_request() {
    alone("a_deploy_under_load_fails_no_request", async |stage| {
        let mut fleet = fleet(stage, "3s").await?;
        let load = Load::start(fleet.envoy.listener, RATE);
        load.flows(100).await?;
        // One leaves; then one is replaced by a new one, as a deploy does.
        for (nth, newcomer) in [None, Some("d")].into_iter().enumerate() {
            if let Some(name) = newcomer {
                fleet.tasks.push(task(stage, &fleet.api, name, "3s").await?);
                until("the new task to serve", SOON, async || {
                    ensure!(load.report().answered.contains_key(name));
                    Ok(())
                })
                .await?;
            }
            let (mut app, mut sidecar) = fleet.tasks.remove(0);
            let status = sidecar.stop_task(&mut app).await?;
            ensure!(status.success(), "sidecar {nth} ended with {status}");
            ensure!(fleet.api.status("web", &app.endpoint()).await? == "absent");
            load.flows(100).await?;
        }
        let report = load.stop().await?;
        println!("{report:?}");
        ensure!(report.failures() == 0, "{} answered, failed: {:?}", report.ok(), report.failed);
        ensure!(report.answered.len() == 4, "not all have served: {:?}", report.answered);
        Ok(())
    });
}

#[test]
fn without_a_drain_the_same_stop_fails_requests() {
    alone("without_a_drain_the_same_stop_fails_requests", async |stage| {
        let mut fleet = fleet(stage, "0s").await?;
        let load = Load::start(fleet.envoy.listener, RATE);
        // By luck Envoy may poll in the moment between; not three times.
        while let Some((mut app, mut sidecar)) = fleet.tasks.pop() {
            load.flows(50).await?;
            sidecar.stop_task(&mut app).await?;
            fleet.envoy.polled(1).await?;
            if load.report().failures() > 0 {
                println!("{:?}", load.report());
                return Ok(());
            }
        }
        bail!("no request failed: the load does not see what a drain is for")
    });
}
