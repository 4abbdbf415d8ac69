//! The sidecar of the service discovery: one process in each ECS task, which keeps the app's ip:port registered while
//! the app is fit, says so when it is not, and drains it before the task stops.
//!
//! ```text
//! probe -> health -> lifecycle -> client ==HTTP==> the registry
//!            identity --^              an agent runs them for each service and port, admin tells about all
//! ```
//!
//! `health`, `lifecycle` and `identity/decide` decide and do no I/O; the others do I/O and decide nothing.

use std::{ffi::OsString, io::Write as _, process::ExitCode, time::Duration};

use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

mod admin;
mod agent;
mod aws;
mod client;
mod clock;
mod config;
mod health;
mod identity;
mod lifecycle;
mod log;
mod metrics;
mod probe;
#[cfg(test)]
mod stand_in;
mod task;
mod wait;
mod web;

use config::{Command, Config};
use sds_types::command::{Halt, MISCONFIGURED, Misconfigured};

/// Runs the program: `args` begins with the program's name. Exit codes: 0 done, 1 not healthy (`healthcheck`) or an
/// error of the machine, 64 a wrong configuration.
pub fn cli(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let command = match config::parse(args) {
        Ok(command) => command,
        Err(Halt::Shown(text)) => {
            let _ = std::io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(Halt::Wrong(error)) => return misconfigured(&error),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().max_blocking_threads(4).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let code = match command {
        Command::Healthcheck(address) => match runtime.block_on(admin::ask(address, "/healthcheck")) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => failed(&why),
        },
        Command::Wait(what, address, timeout) => match runtime.block_on(wait::until(what, address, timeout)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => failed(&why),
        },
        Command::Run(config) => {
            log::start(&config.log);
            runtime.block_on(async {
                let stop = signals()?;
                run(*config, stop).await
            })
        }
        .unwrap_or_else(|error: anyhow::Error| match error.downcast_ref::<Misconfigured>() {
            Some(error) => misconfigured(error),
            None => failed(&error),
        }),
    };
    // A name's lookup may still block a thread; the process does not wait for it.
    runtime.shutdown_timeout(Duration::ZERO);
    code
}

/// Serves admin and keeps the instances registered until `stop` has said so and each one's drain is over.
async fn run(config: Config, stop: watch::Receiver<u32>) -> anyhow::Result<ExitCode> {
    let taken = |error| Misconfigured::new("SDS_ADMIN_LISTEN", format!("{}: {error}", config.admin));
    let listener = TcpListener::bind(config.admin).await.map_err(taken)?;
    tell(&config);
    tracing::info!(addr = %listener.local_addr()?, "admin listening");
    let mut registry = prometheus_client::registry::Registry::default();
    let (task, statuses) = task::Task::new(config, stop, &mut registry)?;
    tokio::select! {
        ended = task.run() => ended.map(|()| ExitCode::SUCCESS),
        never = admin::serve(listener, statuses, registry) => match never {},
    }
}

/// What it was told to do, in a line for each service, so that a slip is seen before it matters.
fn tell(config: &Config) {
    let api: Vec<_> = config.api.iter().map(reqwest::Url::as_str).collect();
    let Config { linger, stop_timeout, .. } = config;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), api = api.join(","), ?linger, ?stop_timeout, "starting");
    for config::Instance { service, wants, checks, interval, timeout, .. } in &config.instances {
        let checks: Vec<_> = checks.iter().map(ToString::to_string).collect();
        tracing::info!(%service, port = wants.port, checks = checks.join(","), ?interval, ?timeout, "to be registered");
    }
    for variable in config::unknown_variables() {
        tracing::warn!(variable, "is set, and no option of this program");
    }
}

/// Counts SIGTERM from ECS and SIGINT from a terminal.
fn signals() -> anyhow::Result<watch::Receiver<u32>> {
    let (count, receiver) = watch::channel(0);
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        loop {
            tokio::select! { _ = term.recv() => {} _ = int.recv() => {} }
            count.send_modify(|count: &mut u32| *count = count.saturating_add(1));
        }
    });
    Ok(receiver)
}

fn misconfigured(error: &Misconfigured) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "{error}");
    ExitCode::from(MISCONFIGURED)
}

fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "sds-sidecar: {error}");
    ExitCode::FAILURE
}
