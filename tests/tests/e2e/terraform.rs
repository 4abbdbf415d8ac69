//! What Terraform renders (`terraform/*/*/rendered`, kept up to date by `.ci/terraform`) does what they are for:
//! AWS's own model takes the files, tasks of theirs are deployed without a lost request, the registry starts as it is told to,
//! and what the modules say about the programs is what the programs say. None of it needs Terraform.

mod drift;
mod envoy;
mod registry;
mod sidecar;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use e2e::{
    ecs::definition::{Definition, NetworkMode},
    scenario::deploy::{self, Plan},
};
use serde_json::Value;

use crate::{alone, play};

/// A file of this repository.
fn path(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(name)
}

fn read(name: &str) -> anyhow::Result<String> {
    fs::read_to_string(path(name)).with_context(|| name.to_owned())
}

fn json(name: &str) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&read(name)?)?)
}

/// What the registry of the example may, and which lines of its log are counted.
fn policies() -> anyhow::Result<Value> {
    json("terraform/examples/registry/rendered/policies.json")
}

#[test]
fn aws_takes_every_rendered_task_definition() {
    play("aws_takes_every_rendered_task_definition", async |_| {
        for name in [
            "examples/registry/rendered/sds",
            "examples/fargate/rendered/web",
            "examples/fargate-envoy/rendered/web",
            "examples/ec2-bridge/rendered/web",
            "examples/from-cookpad-sds/rendered/sds",
            "modules/registry/rendered/whole/sds",
        ] {
            Definition::aws_takes(json(&format!("terraform/{name}.json"))?).await.context(name)?;
        }
        for name in ["one", "several"] {
            let container = json(&format!("terraform/modules/sidecar/rendered/{name}/container.json"))?;
            let task = serde_json::json!({"family": name, "containerDefinitions": [container]});
            Definition::aws_takes(task).await.context(name)?;
        }
        Ok(())
    });
}

/// A rolling deploy of the example's app, under load.
fn loses_nothing(test: &str, example: &str, mode: NetworkMode) {
    alone(test, async |stage| {
        let definition = Definition::read(&path(&format!("terraform/examples/{example}/rendered/web.json")))?;
        ensure!(definition.network_mode == mode, "{example} is about {mode:?}");
        let plan = Plan::plain(3, 1, definition);
        let outcome = deploy::play(stage, &plan).await?;
        println!("{} answered, {} failed", outcome.report.ok(), outcome.report.failures());
        outcome.lost_nothing(&plan)
    });
}

#[test]
fn a_deploy_of_the_rendered_fargate_task_fails_no_request() {
    loses_nothing("a_deploy_of_the_rendered_fargate_task_fails_no_request", "fargate", NetworkMode::Awsvpc);
}

#[test]
fn a_deploy_of_the_rendered_bridge_task_fails_no_request() {
    loses_nothing("a_deploy_of_the_rendered_bridge_task_fails_no_request", "ec2-bridge", NetworkMode::Bridge);
}
