//! EDS answers read by Envoy's own protobufs, v2 and v3, strictly: a field that Envoy does not know, or one of the wrong
//! type, is an error here, while a running Envoy might only ignore it. For v2 no Envoy can be had at all.

use std::process::Stdio;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::python::XDS_PROTOS;

/// Checks bodies of `version` ("v2" or "v3"); the error holds the first that does not fit.
pub async fn check(version: &str, bodies: &[Value]) -> anyhow::Result<()> {
    let mut python = XDS_PROTOS.python().await?;
    python.arg("-c").arg(include_str!("../python/check_eds.py")).kill_on_drop(true);
    python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = python.spawn().context("starting python")?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    let lines: String = bodies.iter().map(|body| format!("{}\n", json!({"version": version, "body": body}))).collect();
    let write = async move { stdin.write_all(lines.as_bytes()).await };
    let (written, output) = tokio::join!(write, child.wait_with_output());
    let output = output?;
    ensure!(output.status.success(), "python failed: {}", String::from_utf8_lossy(&output.stderr));
    written?;
    let verdicts = String::from_utf8(output.stdout)?;
    ensure!(verdicts.lines().count() == bodies.len(), "{} bodies, but verdicts: {verdicts}", bodies.len());
    for (body, verdict) in bodies.iter().zip(verdicts.lines()) {
        ensure!(verdict.is_empty(), "{version}: {verdict}\nin {body}");
    }
    Ok(())
}
