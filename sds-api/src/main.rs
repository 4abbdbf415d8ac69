//! The registry for Amazon ECS, as a program.

fn main() -> std::process::ExitCode {
    sds_api::cli(std::env::args_os())
}
