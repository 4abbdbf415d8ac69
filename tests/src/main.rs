//! One binary that is all programs of the house: the demo and the soaks, and the registry, the sidecar and the small app
//! that these and the tests start as processes. `cargo demo` and `cargo test` build no other package's binaries.

use std::{ffi::OsString, process::ExitCode};

const USAGE: &str = "usage: e2e demo [--once] | mesh [--once] | soak [NAME] | api [OPTIONS] | sidecar [OPTIONS] | app NAME [ADDR] | store ADDR DATA | floor DIR | bare-probe URL";

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let subcommand = args.next().unwrap_or_default();
    let args: Vec<OsString> = args.collect();
    match subcommand.to_str() {
        Some("api") => sds_api::cli([OsString::from("sds-api")].into_iter().chain(args)),
        Some("sidecar") => sds_sidecar::cli([OsString::from("sds-sidecar")].into_iter().chain(args)),
        Some(other) => ours(other, &args),
        None => ours("", &args),
    }
}

fn ours(subcommand: &str, args: &[OsString]) -> ExitCode {
    // `cargo demo -- --once` hands the `--` on.
    let args: Vec<String> =
        args.iter().map(|arg| arg.to_string_lossy().into_owned()).filter(|arg| arg != "--").collect();
    let Ok(runtime) = tokio::runtime::Runtime::new() else { return ExitCode::FAILURE };
    let outcome = runtime.block_on(async {
        match (subcommand, &args[..]) {
            ("demo", []) => e2e::demo::run(false).await,
            ("demo", [once]) if once == "--once" => e2e::demo::run(true).await,
            ("mesh", []) => e2e::mesh::show::run(false).await,
            ("mesh", [once]) if once == "--once" => e2e::mesh::show::run(true).await,
            ("soak", names) => e2e::soak::run(&names.join(" ")).await,
            ("floor", [dir]) => e2e::soak::floor::run(dir).await,
            ("bare-probe", [url]) => e2e::soak::footprint::probe(url).await,
            ("app", args) => e2e::app::run(args).await,
            ("store", [addr, data]) => e2e::dynamo::run(addr, data).await,
            _ => anyhow::bail!(USAGE),
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
