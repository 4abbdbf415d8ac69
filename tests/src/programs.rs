//! How the programs under test are started: the one multi-call binary of this package, or, with `E2E_BIN_DIR`, the
//! shipped `sds-api` and `sds-sidecar` of that directory, so that the same tests judge what users get.
//!
//! A child sees none of our environment but PATH: a developer's own AWS or SDS_ settings must not decide a test.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use tokio::process::Command;

use crate::place;

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    e2e: PathBuf,
    shipped: Option<PathBuf>,
}

impl Programs {
    /// `e2e` is the multi-call binary.
    pub fn new(e2e: impl Into<PathBuf>) -> Self {
        Self { e2e: e2e.into(), shipped: place::var("E2E_BIN_DIR").map(PathBuf::from) }
    }

    /// The programs of another release, from the directory `E2E_OTHER_BIN_DIR`; without it the same ones.
    pub fn other(&self) -> Self {
        Self { shipped: place::var("E2E_OTHER_BIN_DIR").map(PathBuf::from).or(self.shipped.clone()), ..self.clone() }
    }

    /// The registry.
    pub fn api(&self) -> Command {
        self.either("sds-api", "api")
    }

    /// The sidecar.
    pub fn sidecar(&self) -> Command {
        self.either("sds-sidecar", "sidecar")
    }

    /// A part of the harness, such as the small app; never shipped.
    pub fn ours(&self, subcommand: &str) -> Command {
        let mut command = bare(&self.e2e);
        command.arg(subcommand);
        command
    }

    fn either(&self, shipped: &str, subcommand: &str) -> Command {
        let mut command = match &self.shipped {
            Some(dir) => bare(&dir.join(shipped)),
            None => self.ours(subcommand),
        };
        if let Some(level) = place::var("E2E_LOG") {
            command.env("SDS_LOG", level);
        }
        command
    }
}

/// A command with nothing but PATH in its environment, and no AWS configuration to find.
pub fn bare(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    if let Some(path) = place::var("PATH") {
        command.env("PATH", path);
    }
    command.envs(["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"].map(|name| (name, OsStr::new("/dev/null"))));
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command
}
