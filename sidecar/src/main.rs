fn main() -> std::process::ExitCode {
    sds_sidecar::cli(std::env::args_os())
}
