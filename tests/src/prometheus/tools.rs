//! Where Prometheus and promtool come from: a path that is given, Debian's package (unpacked below the target directory,
//! not installed), or the PATH. Any release from 2.42 on will do.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use tokio::process::Command;

use crate::{
    fetch::{self, once, run},
    place,
};

/// The server.
pub async fn prometheus() -> anyhow::Result<PathBuf> {
    find("prometheus", "PROMETHEUS_BIN").await
}

/// The checker of its files.
pub async fn promtool() -> anyhow::Result<PathBuf> {
    find("promtool", "PROMTOOL_BIN").await
}

async fn find(name: &str, variable: &str) -> anyhow::Result<PathBuf> {
    if let Some(given) = place::var(variable).map(PathBuf::from) {
        ensure!(given.is_file(), "{variable}: {} is no file", given.display());
        return Ok(given);
    }
    let failure = match once(fetch::dir("prometheus-deb"), download).await {
        Ok(dir) => return Ok(dir.join("usr/bin").join(name)),
        Err(error) => error,
    };
    let path = place::var("PATH").unwrap_or_default();
    let found = path.split(':').map(|dir| Path::new(dir).join(name)).find(|file| file.is_file());
    found.with_context(|| format!("{name} cannot be had: give its path as {variable}, or install it ({failure:#})"))
}

/// Debian's package, checked by apt against its signed lists. Only a lack of those needs root.
async fn download(dir: &Path) -> anyhow::Result<()> {
    if let Err(error) = run(apt(dir, &["download", "prometheus"]), "apt-get download prometheus").await {
        run(apt(dir, &["update"]), "apt-get update").await.map_err(|_| error)?;
        run(apt(dir, &["download", "prometheus"]), "apt-get download prometheus").await?;
    }
    let mut files = std::fs::read_dir(dir)?.filter_map(Result::ok).map(|entry| entry.path());
    let Some(package) = files.find(|file| file.extension().is_some_and(|end| end == "deb")) else {
        bail!("apt-get download left no package")
    };
    let mut unpack = Command::new("dpkg");
    unpack.arg("-x").arg(&package).arg(dir);
    run(unpack, "dpkg -x").await?;
    std::fs::remove_file(package)?;
    Ok(())
}

fn apt(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.arg("-qq").args(args).current_dir(dir);
    command
}
