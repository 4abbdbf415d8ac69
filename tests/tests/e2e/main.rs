//! What must hold, shown on the real parts: one module for each promise, all from outside, over HTTP and with signals.
//!
//! `E2E_BIN_DIR=dir cargo test -p e2e` runs the same against `dir/sds-api` and `dir/sds-sidecar`.

mod answers;
mod attack;
mod clocks;
mod compose;
mod config;
mod conformance;
mod cookpad;
mod dashboards;
mod death;
mod deploy;
mod dialects;
mod docs;
mod ecs;
mod eds;
mod events;
mod explain;
mod faults;
mod flap;
mod fleet;
mod forged;
mod http;
mod image;
mod kumonos;
mod limits;
mod listeners;
mod lyft;
mod mesh;
mod metrics;
mod native;
mod operator;
mod outage;
mod policy;
mod proof;
mod quarantine;
mod receipts;
mod replicas;
mod restart;
mod roles;
mod routing;
mod services;
mod sidecar;
mod silence;
mod size;
mod slow;
mod stale;
mod store;
mod storeless;
mod systemd;
mod targets;
mod task;
mod terraform;
mod tls;
mod truth;
mod upgrade;
mod waiting;
mod xds;

use e2e::{
    play::{self, Pace},
    programs::Programs,
    stage::Stage,
};

/// Plays a test beside others.
fn play(name: &str, test: impl AsyncFn(&Stage) -> anyhow::Result<()>) {
    play::play(name, Programs::new(env!("CARGO_BIN_EXE_e2e")), Pace::Shared, test);
}

/// Plays a test that measures time, alone.
fn alone(name: &str, test: impl AsyncFn(&Stage) -> anyhow::Result<()>) {
    play::play(name, Programs::new(env!("CARGO_BIN_EXE_e2e")), Pace::Alone, test);
}
