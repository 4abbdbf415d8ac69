//! Longer measurements, run by hand: `cargo run --release -p e2e -- soak polls`. They may need tools that no test needs,
//! and say which ones are missing.

mod alerts;
mod callgrind;
mod clocks;
mod cpu;
mod deaths;
mod deploy;
mod ecs;
mod emulators;
mod fanout;
mod flap;
pub mod floor;
pub mod footprint;
mod kill9;
mod loris;
mod nginx;
mod outage;
mod poison;
mod polls;
mod replicas;
mod roles;
mod rolling;
mod silence;
mod size;
mod stale;
mod storedeath;
mod streams;
mod visible;
mod wrk;

use std::path::Path;

use anyhow::{bail, ensure};

use crate::place;

/// Runs one by its name.
pub async fn run(name: &str) -> anyhow::Result<()> {
    match name {
        "alerts" => alerts::run().await,
        "blackstart" => storedeath::start().await,
        "clocks" => clocks::run().await,
        "deaths" => deaths::run().await,
        "deploy" => deploy::run().await,
        "ecs" => ecs::run().await,
        "emulators" => emulators::run().await,
        "fanout" => fanout::run().await,
        "flap" => flap::run().await,
        "footprint" => footprint::run().await,
        "kill9" => kill9::run().await,
        "loris" => loris::run().await,
        "outage" => outage::run().await,
        "poison" => poison::run().await,
        "polls" => polls::run().await,
        "releases" => rolling::releases().await,
        "replicas" => replicas::run().await,
        "roles" => roles::run().await,
        "rolling" => rolling::restarts().await,
        "silence" => silence::run().await,
        "size" => size::run().await,
        "stale" => stale::run().await,
        "storedeath" => storedeath::death().await,
        "streams" => streams::run().await,
        "visible" => visible::run().await,
        _ => bail!(
            "no soak '{name}'; there are: alerts, blackstart, clocks, deaths, deploy, ecs, emulators, fanout, flap, footprint, kill9, loris, outage, poison, polls, releases, replicas, roles, rolling, silence, size, stale, storedeath, streams, visible"
        ),
    }
}

/// One line of a result.
#[allow(clippy::print_stdout, reason = "a measurement's result belongs on stdout")]
fn say(line: impl AsRef<str>) {
    println!("{}", line.as_ref());
}

/// An error that names all that is missing of `tools` (program, Debian package).
fn need(tools: &[(&str, &str)]) -> anyhow::Result<()> {
    let path = place::var("PATH").unwrap_or_default();
    // nginx is where an ordinary user's PATH does not look.
    let found = |name: &str| path.split(':').chain(["/usr/sbin"]).any(|dir| Path::new(dir).join(name).exists());
    let missing: Vec<_> = tools.iter().filter(|(name, _)| !found(name)).map(|(_, package)| *package).collect();
    ensure!(missing.is_empty(), "this soak needs more: apt-get install {}", missing.join(" "));
    Ok(())
}

/// The middle one.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
