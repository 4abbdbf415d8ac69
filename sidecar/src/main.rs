//! The program: all of it is in the library, so that the end-to-end tests can start it as a subcommand of theirs
//! and a machine without its binary can run it all the same. What the exit codes mean is told there too, at
//! `sds_sidecar::cli`.

fn main() -> std::process::ExitCode {
    sds_sidecar::cli(std::env::args_os())
}
