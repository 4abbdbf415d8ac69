//! Where the harness keeps its files: all below the target directory, so that `cargo clean` leaves nothing behind.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::Context;

/// `target/e2e`: of the running program's own target directory, else of this workspace.
pub fn home() -> PathBuf {
    let exe = std::env::current_exe().unwrap_or_default();
    let target = exe.ancestors().find(|dir| dir.join("CACHEDIR.TAG").exists());
    let target = target.map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target"), Path::to_owned);
    target.join("e2e")
}

/// One variable of the environment; the only place that looks at it.
#[allow(clippy::disallowed_methods, reason = "the harness has no configuration but these few names")]
pub fn var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Opens (creating it) a lock file in [`home`]; it is released when the file is dropped, also by a killed process.
pub fn lock_file(name: &str) -> anyhow::Result<File> {
    let path = home().join(name);
    fs::create_dir_all(home()).with_context(|| format!("creating {}", home().display()))?;
    File::options().create(true).write(true).truncate(false).open(&path).with_context(|| path.display().to_string())
}
