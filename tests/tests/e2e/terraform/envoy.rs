//! The Envoy that a rendered task starts: a real one takes its command line, with nothing in it that it would ignore. The small
//! ECS has no container for it, so the task itself is not deployed; `mesh` runs such tasks as processes.

use std::time::Duration;

use anyhow::{Context, ensure};
use e2e::envoy;
use serde_json::Value;
use tokio::{process::Command, time::timeout};

use super::json;
use crate::play;

/// An Envoy that looks at its configuration alone is much quicker.
const VALIDATED: Duration = Duration::from_secs(60);

#[test]
fn an_envoy_takes_the_rendered_command_line() {
    play("an_envoy_takes_the_rendered_command_line", async |_| {
        let task = json("terraform/examples/fargate-envoy/rendered/web.json")?;
        let containers = task["containerDefinitions"].as_array().context("no containers")?;
        let envoy = containers.iter().find(|it| it["name"] == "envoy").context("no envoy")?;
        let args: Vec<_> = envoy["command"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        ensure!(
            args.iter().any(|arg| arg.contains("\"address\":\"sds.internal\"")),
            "it asks another registry: {args:?}"
        );
        let mut command = Command::new(envoy::binary().await?);
        command.args(args).args(["--mode", "validate", "--reject-unknown-dynamic-fields"]).kill_on_drop(true);
        let output = timeout(VALIDATED, command.output()).await.context("Envoy does not end")??;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    });
}
