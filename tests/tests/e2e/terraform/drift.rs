//! The modules repeat what the programs decide: which calls of AWS they make, which variables they read, what their log says.
//! Here both are read and compared, so that neither changes alone.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::process::Command;

use super::{path, policies, read};
use crate::play;

/// Calls that SDS_CREATE_TABLE=true makes besides, which the module has no use for.
const CREATES: [&str; 4] = ["CreateTable", "DescribeTable", "DescribeTimeToLive", "UpdateTimeToLive"];
/// Variables of the registry that the module leaves out: of files in a container whose disk is read-only, of the embedded
/// store, of a table that Terraform makes, the ancestors' spelling, and defaults that follow from others.
const LEFT_OUT: [&str; 8] = [
    "PORT",
    "SDS_ALLOW_LOOPBACK",
    "SDS_CREATE_TABLE",
    "SDS_DATA",
    "SDS_SNAPSHOT",
    "SDS_STORE",
    "SDS_TLS_LISTENERS",
    "AWS_ENDPOINT_URL_DYNAMODB",
];
/// Those of the sidecar: a second form of SDS_CONFIG, and of `wait`, which is another container's.
const LEFT_OUT_OF_THE_SIDECAR: [&str; 3] = ["SDS_CONFIG_FILE", "SDS_ENVOY_ADMIN", "SDS_WAIT_TIMEOUT"];

type Words = BTreeSet<String>;

fn words<'a>(list: impl IntoIterator<Item = &'a str>) -> Words {
    list.into_iter().map(str::to_owned).collect()
}

/// All of the program's source but its tests.
fn source(dir: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.file_stem().is_some_and(|stem| stem == "tests") {
            continue;
        }
        if path.is_dir() {
            text.push_str(&source(&path)?);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            text.push_str(&fs::read_to_string(&path)?);
        }
    }
    Ok(text)
}

/// The calls that are made on a client of the SDK there, as IAM names them.
fn calls(dir: &str) -> anyhow::Result<Words> {
    let text: String = source(&path(dir))?.split_whitespace().collect();
    let after = text.split("client.").skip(1);
    let methods = after.filter_map(|rest| rest.split_once("()")).map(|(method, _)| method);
    let snake =
        methods.filter(|method| !method.is_empty() && method.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
    // Of the HTTP client below it.
    Ok(snake.filter(|method| !["clone", "connector_metadata"].contains(method)).map(pascal).collect())
}

fn pascal(snake: &str) -> String {
    let capital = |word: &str| word.get(..1).unwrap_or_default().to_uppercase() + word.get(1..).unwrap_or_default();
    snake.split('_').map(capital).collect()
}

/// What the registry's role may do, of one kind.
fn allowed(kind: &str) -> anyhow::Result<Words> {
    let policies = policies()?;
    let statements = policies["module.registry.aws_iam_role_policy.task"]["Statement"].as_array().cloned();
    let actions = statements.context("no policy")?.into_iter().flat_map(|it| it["Action"].as_array().cloned());
    let names = actions.flatten().filter_map(|action| Some(action.as_str()?.strip_prefix(kind)?.to_owned()));
    Ok(names.collect())
}

#[test]
fn the_role_may_what_the_program_calls_and_no_more() {
    play("the_role_may_what_the_program_calls_and_no_more", async |_| {
        let store: Words = calls("sds-api/src/store")?.difference(&words(CREATES)).cloned().collect();
        let role = allowed("dynamodb:")?;
        ensure!(role == store, "the role may {role:?}, the store calls {store:?}");
        let (role, ecs) = (allowed("ecs:")?, calls("sds-api/src/ecs")?);
        ensure!(role == ecs, "the role may {role:?}, the program calls {ecs:?}");
        Ok(())
    });
}

#[test]
fn the_manuals_name_the_same_actions() {
    play("the_manuals_name_the_same_actions", async |_| {
        let role = allowed("dynamodb:")?;
        let readme = read("sds-api/README.md")?;
        let (_, rest) = readme.split_once("On the table it needs `dynamodb:").context("the manual names no actions")?;
        let (named, _) = rest.split_once("(the full read)").context("nor the last of them")?;
        let named = words(named.split('`').filter(|word| word.chars().all(char::is_alphanumeric) && !word.is_empty()));
        ensure!(named == role, "the manual names {named:?}, the role may {role:?}");
        let security = read("sds-api/SECURITY.md")?;
        for action in role {
            ensure!(security.contains(&format!("\"dynamodb:{action}\"")), "SECURITY.md lacks {action}");
        }
        Ok(())
    });
}

/// The variables in a program's `--help`.
async fn variables(mut program: Command) -> anyhow::Result<Words> {
    let help = String::from_utf8(program.arg("--help").output().await?.stdout)?;
    let named = help.split("[env: ").skip(1).filter_map(|rest| rest.split(['=', ']']).next());
    Ok(words(named).into_iter().filter(|name| !name.starts_with("ECS_") && !name.starts_with("AWS_")).collect())
}

/// The words in capitals of a module's files.
fn mentioned(module: &str) -> anyhow::Result<Words> {
    let mut found = Words::new();
    for entry in fs::read_dir(path(module))? {
        let path = entry?.path();
        if path.extension().is_some_and(|kind| kind == "tf") {
            let text = fs::read_to_string(path)?;
            found.extend(text.split(|c: char| !c.is_ascii_uppercase() && c != '_').map(str::to_owned));
        }
    }
    Ok(found)
}

#[test]
fn the_modules_know_every_variable() {
    play("the_modules_know_every_variable", async |stage| {
        for (program, module, left_out) in [
            (stage.programs.api(), "terraform/modules/registry", &LEFT_OUT[..]),
            (stage.programs.sidecar(), "terraform/modules/sidecar", &LEFT_OUT_OF_THE_SIDECAR[..]),
        ] {
            let (known, mentioned) = (variables(program).await?, mentioned(module)?);
            ensure!(known.len() > 20, "that is no list of variables: {known:?}");
            let missing: Vec<_> = known.iter().filter(|name| !mentioned.contains(*name)).map(String::as_str).collect();
            let unexplained: Vec<_> = missing.iter().filter(|name| !left_out.contains(name)).collect();
            ensure!(unexplained.is_empty(), "{module} has no way to say {unexplained:?}");
            let ours = mentioned.iter().filter(|name| name.starts_with("SDS_") && name.len() > 4);
            let unknown: Vec<_> = ours.filter(|name| !known.contains(*name)).collect();
            ensure!(unknown.is_empty(), "{module} says {unknown:?}, which the program does not know");
        }
        Ok(())
    });
}

#[test]
fn the_alarms_know_the_words_of_the_log() {
    play("the_alarms_know_the_words_of_the_log", async |_| {
        let source = source(&path("sds-api/src"))?;
        let policies = policies()?;
        let patterns: Vec<_> =
            policies.as_object().into_iter().flatten().filter_map(|(_, it)| Value::as_str(it)).collect();
        ensure!(patterns.len() >= 4, "{patterns:?}");
        for pattern in patterns {
            let starts = pattern.split('"').nth(1).and_then(|text| text.strip_suffix('*'));
            let starts = starts.with_context(|| format!("another pattern than this test reads: {pattern}"))?;
            ensure!(source.contains(&format!("\"{starts}")), "the registry never says '{starts}'");
        }
        Ok(())
    });
}
