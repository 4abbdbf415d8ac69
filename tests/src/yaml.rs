//! YAML as JSON, read by a parser from PyPI: none of the workspace's own crates needs one.

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::python::RUAMEL;

/// What a text says; anchors are followed. It must be one document without duplicate keys.
pub async fn read(text: &str) -> anyhow::Result<Value> {
    let answers = RUAMEL.judge(include_str!("../python/read_yaml.py"), &[json!(text)]).await?;
    let value: Value = serde_json::from_str(answers.first().context("no answer")?)?;
    ensure!(!value.is_null(), "it says nothing");
    Ok(value)
}
