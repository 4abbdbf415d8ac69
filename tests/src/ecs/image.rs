//! What the images of a definition hold, on a machine without images: the sidecar (of another release if its tag is
//! `other`), the harness's small app, or `busybox` with whatever its `command` says.

use std::net::SocketAddr;

use anyhow::Context;
use tokio::process::Command;

use super::definition::Container;
use crate::programs::{Programs, bare};

/// The image of the other release's sidecar.
pub const OTHER_SIDECAR: &str = "sds-sidecar:other";

/// The program of a container; an app says `name` and listens at `listen`.
pub fn program(programs: &Programs, container: &Container, name: &str, listen: SocketAddr) -> anyhow::Result<Command> {
    let image = container.image.rsplit('/').next().unwrap_or_default();
    Ok(match image.split([':', '@']).next() {
        Some("sds-sidecar") => {
            let mut command = sidecar(programs, container);
            command.args(&container.command);
            command
        }
        Some("busybox") => plain(&container.command)?,
        _ => {
            let mut command = programs.ours("app");
            command.arg(name).arg(listen.to_string());
            command
        }
    })
}

fn sidecar(programs: &Programs, container: &Container) -> Command {
    match container.image == OTHER_SIDECAR {
        true => programs.other().sidecar(),
        false => programs.sidecar(),
    }
}

/// What a health check runs inside of a container.
pub fn check(programs: &Programs, container: &Container, check: &[String]) -> anyhow::Result<Command> {
    match check {
        [kind, line] if kind == "CMD-SHELL" => plain(&["sh".to_owned(), "-c".to_owned(), line.clone()]),
        [kind, program, args @ ..] if kind == "CMD" && program == "/sds-sidecar" => {
            let mut command = sidecar(programs, container);
            command.args(args);
            Ok(command)
        }
        [kind, command @ ..] if kind == "CMD" => plain(command),
        _ => anyhow::bail!("{check:?} is no health check"),
    }
}

fn plain(command: &[String]) -> anyhow::Result<Command> {
    let (program, args) = command.split_first().context("no command")?;
    let mut command = bare(program.as_ref());
    command.args(args);
    Ok(command)
}
