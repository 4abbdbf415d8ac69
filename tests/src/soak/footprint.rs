//! What a sidecar costs each task of a fleet: the size of its static binary, its memory, and its CPU time beside that of
//! a bare probe, which does nothing but ask the app every two seconds.
//!
//! Both run at the same time with production's times, against the same app, so that what the machine does meanwhile hits
//! both alike. The binary is built here as an image would have it. A goal that is missed ends the soak with an error.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, ensure};
use axum::{Router, routing::get};
use tokio::{net::TcpListener, process::Command, time::sleep};

use super::{cpu, say};
use crate::{
    api::Api,
    app::App,
    http, place,
    process::Process,
    programs::{Programs, bare},
    stage::Stage,
    wait::SOON,
};

const INTERVAL: Duration = Duration::from_secs(2);
/// Long enough for twelve heartbeats and as many looks at the metadata.
const TIME: Duration = Duration::from_secs(120);
const TARGET: &str = "x86_64-unknown-linux-gnu";
const DAY: f64 = 24.0 * 3600.0;

/// The goals.
const MOST_BYTES: u64 = 6_000_000;
const MOST_MEMORY: u64 = 4 << 20;
const MOST_CPU: f64 = 10.0;

/// Builds, measures and prints.
pub async fn run() -> anyhow::Result<()> {
    let exe = std::env::current_exe().context("finding this program")?;
    let binary = build().await?;
    let size = fs::metadata(&binary)?.len();
    let stage = Stage::new("footprint", Programs::new(&exe))?;
    let (api, app) = (Api::start(&stage, &[]).await?, App::start(&stage, "app").await?);
    let health = format!("http://{}/health", app.addr);

    let mut command = bare(&exe);
    command.args(["bare-probe", &health]);
    let probe = stage.spawn("bare probe", command)?;
    let mut command = bare(&binary);
    command.env("SDS_API_URL", api.url("")).env("SDS_SERVICE", "web").env("SDS_HOST", "127.0.0.1");
    command.env("SDS_PORT", app.addr.port().to_string()).env("SDS_CHECK", &health);
    command.env("SDS_ADMIN_LISTEN", "127.0.0.1:0").env("ECS_CONTAINER_METADATA_URI_V4", metadata().await?);
    let sidecar = stage.spawn("sds-sidecar", command)?;
    api.until_status("web", &app.endpoint(), "healthy", SOON).await?;

    say(format!("{TIME:?} with a probe every {INTERVAL:?} and a heartbeat every 10 s ..."));
    let before = [spent(&probe)?, spent(&sidecar)?];
    sleep(TIME).await;
    let a_day = |process: &Process, before: Duration| {
        anyhow::Ok((spent(process)? - before).as_secs_f64() / TIME.as_secs_f64() * DAY)
    };
    let (bare_day, day) = (a_day(&probe, before[0])?, a_day(&sidecar, before[1])?);
    let memory = sidecar.resident()?[0];

    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    say(format!("static binary  {size:>9} bytes               (goal {MOST_BYTES})"));
    say(format!("resident       {:>9.2} MiB                 (goal {})", mib(memory), mib(MOST_MEMORY)));
    say(format!(
        "CPU a day      {day:>9.1} s, a bare probe {bare_day:.1} s, so {:+.1} s (goal {MOST_CPU:+})",
        day - bare_day
    ));
    ensure!(size <= MOST_BYTES, "the binary is larger than its goal");
    ensure!(memory <= MOST_MEMORY, "its memory is larger than its goal");
    ensure!(day - bare_day <= MOST_CPU, "its CPU time is larger than its goal");
    say("All goals are met.");
    Ok(())
}

/// The metadata of a task on Fargate, as recorded: a sidecar looks at them all day.
async fn metadata() -> anyhow::Result<String> {
    const TASK: &str = include_str!("../../ecs/fargate.json");
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let base = format!("http://{}/v4/id", listener.local_addr()?);
    let routes = Router::new()
        .route("/v4/id", get(async || r#"{"Name":"sds-sidecar"}"#))
        .route("/v4/id/task", get(async || TASK));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(base)
}

/// The bare probe itself: a fresh connection and a GET every two seconds.
pub async fn probe(url: &str) -> anyhow::Result<()> {
    let client = http::bare_client(Duration::from_secs(1));
    loop {
        drop(client.get(url).send().await?.bytes().await?);
        sleep(INTERVAL).await;
    }
}

/// The static release binary, as the image has it.
async fn build() -> anyhow::Result<PathBuf> {
    let target = place::home().join("static");
    say("Building the static binary (some minutes the first time) ...");
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--locked", "--profile", "sidecar", "-p", "sds-sidecar", "--target", TARGET]);
    cargo.arg("--target-dir").arg(&target).env("RUSTFLAGS", "-C target-feature=+crt-static");
    ensure!(cargo.status().await.context("running cargo")?.success(), "the static binary does not build");
    Ok(target.join(TARGET).join("sidecar/sds-sidecar"))
}

fn spent(process: &Process) -> anyhow::Result<Duration> {
    cpu::precise(process.pid().context("it has ended")?)
}
