//! An app that flaps as fast as its checks can see: its drops reach the registry at once, its returns at most once in ten
//! seconds.
//!
//! The app falls ill as soon as the registry has it as healthy, so that each drop is measured, and is otherwise well and
//! sick in turn for a second each.

use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::time::Instant;

use crate::{
    api::Api,
    app::App,
    sidecar::Sidecar,
    stage::Stage,
    wait::{SOON, until},
};

const QUICK: [(&str, &str); 2] = [("SDS_INTERVAL", "200ms"), ("SDS_TIMEOUT", "100ms")];
/// Fall x interval + timeout + 1 s.
const DROP: Duration = Duration::from_millis(3 * 200 + 100 + 1000);
/// Between two changes to healthy.
const PAUSE: Duration = Duration::from_secs(10);
/// The way to the registry and back to us takes now longer, now shorter.
const WAY: Duration = Duration::from_millis(200);
const PHASE: Duration = Duration::from_secs(1);

/// What was seen.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How long each drop took to arrive.
    pub drops: Vec<Duration>,
    /// From each change to healthy to the next one.
    pub pauses: Vec<Duration>,
}

/// Plays it until `span` is over.
pub async fn play(stage: &Stage, span: Duration) -> anyhow::Result<Outcome> {
    let api = Api::start(stage, &[]).await?;
    let app = App::start(stage, "flaps").await?;
    let _sidecar = Sidecar::start(stage, api.addr, "web", &app, &QUICK).await?;
    let at = app.endpoint();
    api.until_status("web", &at, "healthy", SOON).await?;
    let (start, mut outcome, mut well) = (Instant::now(), Outcome::default(), Instant::now());
    while start.elapsed() < span {
        app.mode("sick").await?;
        let sick = Instant::now();
        api.until_status("web", &at, "unhealthy", DROP).await.context("a drop was delayed")?;
        outcome.drops.push(sick.elapsed());
        let returned = until("it to be healthy again", 2 * PAUSE, async || {
            let phase = sick.elapsed().as_secs() / PHASE.as_secs();
            let mode = if phase.is_multiple_of(2) { "sick" } else { "ok" };
            app.mode(mode).await?;
            ensure!(api.status("web", &at).await? == "healthy");
            Ok(Instant::now())
        });
        let returned = returned.await?;
        outcome.pauses.push(returned - well);
        ensure!(returned - well + WAY >= PAUSE, "healthy again after {:?}", returned - well);
        well = returned;
    }
    Ok(outcome)
}
