#![doc = ""]
use std::{ffi::OsString, process::ExitCode};
/// Runs the program.
pub fn cli(_args: impl IntoIterator<Item = OsString>) -> ExitCode {
    ExitCode::SUCCESS
}
