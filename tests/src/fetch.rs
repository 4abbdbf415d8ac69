//! Fetching what the machine lacks, once: into a directory of its own below the target directory, which gets its name only
//! when it is whole. A lock file makes parallel tests fetch it once.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use tokio::process::Command;

use crate::place;

/// Where the tool of this name is, or will be.
pub fn dir(name: &str) -> PathBuf {
    place::home().join("tools").join(name)
}

/// The directory `dir`, filled by `fill` if it is not there yet.
pub async fn once(dir: PathBuf, fill: impl AsyncFnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<PathBuf> {
    if dir.exists() {
        return Ok(dir);
    }
    let lock = tokio::task::spawn_blocking(|| {
        let file = place::lock_file("tools.lock")?;
        file.lock()?;
        anyhow::Ok(file)
    });
    let _lock = lock.await??;
    if dir.exists() {
        return Ok(dir);
    }
    // Not `with_extension`: a version's last part would be taken for one.
    let mut half = dir.clone().into_os_string();
    half.push(".half");
    let half = PathBuf::from(half);
    if half.exists() {
        fs::remove_dir_all(&half)?;
    }
    fs::create_dir_all(&half)?;
    fill(&half).await?;
    fs::rename(&half, &dir)?;
    Ok(dir)
}

/// Runs a command to its end and tells what it said; a failure shows all of it.
pub async fn run(mut command: Command, what: &str) -> anyhow::Result<String> {
    let output = command.kill_on_drop(true).output().await.with_context(|| what.to_owned())?;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        bail!("{what} failed ({}):\n{text}", output.status);
    }
    Ok(text)
}
