//! EDS answers read by Envoy's own protobufs, v2 and v3, strictly: a field that Envoy does not know, or one of the wrong
//! type, is an error here, while a running Envoy might only ignore it. For v2 no Envoy can be had at all.

use anyhow::ensure;
use serde_json::{Value, json};

use crate::python::XDS_PROTOS;

/// Checks bodies of `version` ("v2" or "v3"); the error holds the first that does not fit.
pub async fn check(version: &str, bodies: &[Value]) -> anyhow::Result<()> {
    let questions: Vec<Value> = bodies.iter().map(|body| json!({"version": version, "body": body})).collect();
    let verdicts = XDS_PROTOS.judge(include_str!("../python/check_eds.py"), &questions).await?;
    for (body, verdict) in bodies.iter().zip(&verdicts) {
        ensure!(verdict.is_empty(), "{version}: {verdict}\nin {body}");
    }
    Ok(())
}
