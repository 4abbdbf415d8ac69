//! The life of an instance, step by step: sick and well again, stopped as ECS stops it, and killed. A step that is not seen
//! in the time that is promised for it ends the show with an error.

use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::time::Instant;

use super::{INTERVAL, LEASE, LINGER, LONG, REFRESH, SERVICE, Scene, TIMEOUT, say};
use crate::wait::until;

/// Three failures make an app unhealthy; plus the promise's second.
const SICK: Duration = Duration::from_millis(3 * INTERVAL.as_millis() as u64 + TIMEOUT.as_millis() as u64 + 1000);

/// Plays the three acts.
pub async fn play(scene: &mut Scene) -> anyhow::Result<()> {
    sick_and_well(scene).await.context("an app was made sick")?;
    stopped(scene).await.context("an instance was stopped")?;
    killed(scene).await.context("an instance was killed")
}

async fn sick_and_well(scene: &Scene) -> anyhow::Result<()> {
    let app = &scene.tasks[0].app;
    let at = app.endpoint();
    say(format!("\n1. {} is made sick: its health check answers 503.", app.name));
    let start = Instant::now();
    app.mode("sick").await?;
    scene.api.until_status(SERVICE, &at, "unhealthy", SICK).await?;
    say(format!("   After {:.1?} its sidecar has told the registry: unhealthy.", start.elapsed()));
    ensure!(!scene.api.v1_endpoints(SERVICE).await?.contains(&at), "v1 still lists it");
    say("   It has left the answers of v1; EDS marks it UNHEALTHY.");
    unused(scene, &app.name, &at).await?;
    say("   Envoy sends it nothing any more; the other two answer everything.");
    app.mode("ok").await?;
    scene.api.until_status(SERVICE, &at, "healthy", LONG).await?;
    let before = answered(scene, &app.name);
    until("it to answer again", LONG, async || {
        ensure!(answered(scene, &app.name) > before);
        Ok(())
    })
    .await?;
    say("   It recovered, is back in the answers, and serves again.");
    none_failed(scene)
}

async fn stopped(scene: &mut Scene) -> anyhow::Result<()> {
    let mut task = scene.tasks.remove(0);
    let (name, at) = (task.app.name.clone(), task.app.endpoint());
    say(format!(
        "\n2. {name} is stopped as ECS stops a task: SIGTERM to the sidecar first, to the app only after it exited."
    ));
    let start = Instant::now();
    let stop = task.sidecar.stop_task(&mut task.app);
    let watch = async {
        scene.api.until_status(SERVICE, &at, "draining", LINGER).await?;
        say(format!("   After {:.1?} it is DRAINING: what is in flight ends, nothing new comes.", start.elapsed()));
        anyhow::Ok(())
    };
    let (status, ()) = tokio::try_join!(stop, watch)?;
    ensure!(status.success(), "the sidecar ended with {status}");
    ensure!(scene.api.status(SERVICE, &at).await? == "absent", "it is still registered");
    say(format!("   After {:.1?} it is deregistered, and sidecar and app have exited.", start.elapsed()));
    scene.load.flows(40).await?;
    none_failed(scene)?;
    say(format!("   Requests that failed: 0 of {} so far.", scene.load.report().ok()));
    Ok(())
}

async fn killed(scene: &mut Scene) -> anyhow::Result<()> {
    let mut task = scene.tasks.remove(0);
    let (name, at) = (task.app.name.clone(), task.app.endpoint());
    say(format!("\n3. {name} is killed: kill -9 of the app and its sidecar, so nobody can say goodbye."));
    say(
        "   Until its lease runs out Envoy still sends it a share, and those requests fail. That is what a drain is for.",
    );
    task.sidecar.kill_task(&mut task.app).await?;
    let start = Instant::now();
    scene.api.until_status(SERVICE, &at, "absent", LEASE + Duration::from_secs(2)).await?;
    say(format!(
        "   After {:.1?} it has left the answers (the lease of {LEASE:?} counts from its last heartbeat).",
        start.elapsed()
    ));
    until("Envoy to drop it", 4 * REFRESH + LONG, async || {
        ensure!(!scene.envoy.hosts().await?.contains_key(&at));
        Ok(())
    })
    .await?;
    let failed = scene.load.report().failures();
    scene.load.flows(40).await?;
    let after = scene.load.report().failures() - failed;
    ensure!(after == 0, "{after} requests failed after it was gone");
    say(format!("   {failed} requests had failed meanwhile; none fails any more, the last instance answers them all."));
    Ok(())
}

/// Waits until an instance gets no more requests: none while twice as many as usual are answered by others.
async fn unused(scene: &Scene, name: &str, at: &str) -> anyhow::Result<()> {
    until("Envoy to see it", LONG, async || {
        let hosts = scene.envoy.hosts().await?;
        ensure!(hosts.get(at).is_some_and(|host| host.health == "UNHEALTHY"), "{hosts:?}");
        Ok(())
    })
    .await?;
    // What was sent to it before may still be answered.
    scene.load.flows(5).await?;
    let before = answered(scene, name);
    scene.load.flows(20).await?;
    ensure!(answered(scene, name) == before, "it still gets requests");
    Ok(())
}

fn answered(scene: &Scene, name: &str) -> u64 {
    scene.load.report().answered.get(name).copied().unwrap_or(0)
}

fn none_failed(scene: &Scene) -> anyhow::Result<()> {
    let report = scene.load.report();
    ensure!(report.failures() == 0, "requests failed: {:?}", report.failed);
    Ok(())
}
