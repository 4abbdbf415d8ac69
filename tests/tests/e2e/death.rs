//! What dies or hangs leaves the answers in the time that is promised, measured from the moment it happened.

use std::time::Duration;

use anyhow::ensure;
use e2e::{
    api::Api,
    app::App,
    envoy::Envoy,
    process::Signal,
    sidecar::Sidecar,
    wait::{SOON, until},
};
use tokio::time::Instant;

use crate::alone;

const LEASE: Duration = Duration::from_secs(3);
/// The promise beyond the lease.
const GRACE: Duration = Duration::from_secs(2);
const ENV: [(&str, &str); 1] = [("SDS_LEASE", "3s")];
/// Fall x interval + timeout + 1 s, with the sidecar's short times of the harness.
const HUNG: Duration = Duration::from_millis(3 * 500 + 300 + 1000);

#[test]
fn a_killed_task_is_gone_within_its_lease() {
    alone("a_killed_task_is_gone_within_its_lease", async |stage| {
        let api = Api::start(stage, &ENV).await?;
        let (mut victim, other) = (App::start(stage, "victim").await?, App::start(stage, "other").await?);
        let mut sidecar = Sidecar::start(stage, api.addr, "web", &victim, &[]).await?;
        let _other = Sidecar::start(stage, api.addr, "web", &other, &[]).await?;
        let envoy = Envoy::start(stage, api.addr, "web", Duration::from_millis(200)).await?;
        until("both to serve", SOON, async || {
            ensure!(envoy.hosts().await?.len() == 2);
            Ok(())
        })
        .await?;

        sidecar.kill_task(&mut victim).await?;
        let killed = Instant::now();
        api.until_status("web", &victim.endpoint(), "absent", LEASE + GRACE).await?;
        let took = killed.elapsed();
        println!("gone after {took:?}");
        // Two heartbeats may have been due since the last one: earlier would be no lease.
        ensure!(took > LEASE / 2, "gone after {took:?} already");
        ensure!(api.v1_endpoints("web").await? == [other.endpoint()]);
        envoy.until_equal(&api, SOON).await?;
        ensure!(api.metric("sds_instances_silent_total").await? == 1.0);
        Ok(())
    });
}

#[test]
fn a_killed_sidecar_is_gone_too_and_its_successor_takes_over() {
    alone("a_killed_sidecar_is_gone_too_and_its_successor_takes_over", async |stage| {
        let api = Api::start(stage, &ENV).await?;
        let app = App::start(stage, "app").await?;
        let mut sidecar = Sidecar::start(stage, api.addr, "web", &app, &[]).await?;
        api.until_status("web", &app.endpoint(), "healthy", SOON).await?;
        sidecar.process.kill().await?;
        api.until_status("web", &app.endpoint(), "absent", LEASE + GRACE).await?;
        let _successor = Sidecar::start(stage, api.addr, "web", &app, &[]).await?;
        api.until_status("web", &app.endpoint(), "healthy", SOON).await
    });
}

#[test]
fn a_frozen_sidecar_leaves_and_comes_back() {
    alone("a_frozen_sidecar_leaves_and_comes_back", async |stage| {
        let api = Api::start(stage, &ENV).await?;
        let app = App::start(stage, "app").await?;
        let sidecar = Sidecar::start(stage, api.addr, "web", &app, &[]).await?;
        api.until_status("web", &app.endpoint(), "healthy", SOON).await?;
        sidecar.process.signal(Signal::STOP)?;
        api.until_status("web", &app.endpoint(), "absent", LEASE + GRACE).await?;
        sidecar.process.signal(Signal::CONT)?;
        api.until_status("web", &app.endpoint(), "healthy", LEASE).await
    });
}

#[test]
fn a_hung_app_is_unhealthy_in_time() {
    alone("a_hung_app_is_unhealthy_in_time", async |stage| {
        let api = Api::start(stage, &ENV).await?;
        let app = App::start(stage, "app").await?;
        let _sidecar = Sidecar::start(stage, api.addr, "web", &app, &[]).await?;
        for (mode, promise) in [("hang", HUNG), ("sick", HUNG)] {
            api.until_status("web", &app.endpoint(), "healthy", SOON).await?;
            app.mode(mode).await?;
            let start = Instant::now();
            api.until_status("web", &app.endpoint(), "unhealthy", promise).await?;
            println!("{mode}: unhealthy after {:?}", start.elapsed());
            ensure!(api.v1("web").await?.is_empty(), "v1 lists an unhealthy instance");
            app.mode("ok").await?;
        }
        api.until_status("web", &app.endpoint(), "healthy", SOON).await
    });
}

#[test]
fn an_app_that_dies_alone_is_unhealthy_at_once() {
    alone("an_app_that_dies_alone_is_unhealthy_at_once", async |stage| {
        let api = Api::start(stage, &ENV).await?;
        let mut app = App::start(stage, "app").await?;
        let _sidecar = Sidecar::start(stage, api.addr, "web", &app, &[]).await?;
        api.until_status("web", &app.endpoint(), "healthy", SOON).await?;
        app.process.kill().await?;
        api.until_status("web", &app.endpoint(), "unhealthy", HUNG).await
    });
}
