//! A wrong configuration ends the program at once: exit 64, one line that names the variable, and nothing is registered.

use std::time::Duration;

use anyhow::{Context, ensure};
use e2e::{api::Api, programs::Programs, stage::Stage};
use tokio::{process::Command, time::Instant};

use crate::play;

/// Runs a program that must refuse to start and name `variable`.
async fn refuses(stage: &Stage, mut command: Command, env: &[(&str, &str)], variable: &str) -> anyhow::Result<()> {
    command.current_dir(stage.dir()).envs(env.iter().copied());
    let start = Instant::now();
    let mut process = stage.spawn(variable, command)?;
    let status = process.exit(Duration::from_secs(5)).await.with_context(|| format!("{env:?} was accepted"))?;
    let took = start.elapsed();
    ensure!(status.code() == Some(64), "{env:?}: {status}");
    ensure!(took < Duration::from_secs(1), "{env:?}: took {took:?}");
    let said = process.says(variable).await.with_context(|| format!("{env:?}: {variable} is not named"))?;
    let lines = process.log().lines();
    ensure!(lines.len() == 1, "{env:?}: more than a line: {lines:?}");
    ensure!(!said.contains("panicked"), "{said}");
    Ok(())
}

#[test]
fn of_the_registry() {
    play("of_the_registry", async |stage| {
        for (env, variable) in [
            (&[("SDS_LISTEN", "localhost")][..], "SDS_LISTEN"),
            (&[("SDS_LISTEN", "0.0.0.0:0")], "SDS_ALLOW_OPEN_WRITES"),
            (&[("PORT", "70000")], "PORT"),
            (&[("SDS_STORE", "etcd")], "SDS_STORE"),
            (&[("SDS_LEASE", "0")], "SDS_LEASE"),
            (&[("SDS_LEASE", "soon")], "SDS_LEASE"),
            (&[("HOST_TTL", "-1")], "HOST_TTL"),
            (&[("SDS_FULL_READ", "x")], "SDS_FULL_READ"),
            (&[("SDS_FAIL_OPEN", "yes")], "SDS_FAIL_OPEN"),
            (&[("SDS_CIDRS", "10.0.0.0/33")], "SDS_CIDRS"),
            (&[("SDS_LOG_FORMAT", "xml")], "SDS_LOG_FORMAT"),
            (&[("SDS_WRITE_LISTEN", "0.0.0.0:0")], "SDS_ALLOW_OPEN_WRITES"),
            (&[("SDS_TLS_CERT", "/no/such/file"), ("SDS_TLS_KEY", "/no/such/file")], "SDS_TLS_CERT"),
            (&[("SDS_TLS_CERT", "-----BEGIN CERTIFICATE-----"), ("SDS_TLS_KEY", "x")], "SDS_TLS_"),
        ] {
            refuses(stage, stage.programs.api(), env, variable).await?;
        }
        Ok(())
    });
}

#[test]
fn of_the_sidecar() {
    play("of_the_sidecar", async |stage| {
        let api = Api::start(stage, &[]).await?;
        let url = api.url("");
        let good = [
            ("SDS_API_URL", url.as_str()),
            ("SDS_SERVICE", "web"),
            ("SDS_PORT", "8080"),
            ("SDS_HOST", "127.0.0.1"),
            ("SDS_CHECK", "tcp://:8080"),
            ("SDS_ADMIN_LISTEN", "127.0.0.1:0"),
        ];
        for (name, value) in [
            ("SDS_API_URL", ""),
            ("SDS_API_URL", "sds:8080"),
            ("SDS_API_CA", "/no/such/file"),
            ("SDS_SERVICE", ""),
            ("SDS_SERVICE", "a/b"),
            ("SDS_PORT", "0"),
            ("SDS_CHECK", ""),
            ("SDS_CHECK", "ftp://:80"),
            ("SDS_CHECK", "http://10.9.9.9:80/"),
            ("SDS_HOST", "app.local"),
            ("SDS_INTERVAL", "0"),
            ("SDS_TIMEOUT", "2s"),
            ("SDS_FALL", "0"),
            ("SDS_LINGER", "21s"),
            ("SDS_WEIGHT", "101"),
            ("SDS_CANARY", "maybe"),
            ("SDS_TAGS", "a"),
            ("SDS_ADMIN_LISTEN", "0.0.0.0:9902"),
        ] {
            refuses(stage, stage.programs.sidecar(), &[&good[..], &[(name, value)]].concat(), name).await?;
        }
        let own = [&good[..], &[("SDS_ADMIN_LISTEN", "127.0.0.1:8080")]].concat();
        refuses(stage, stage.programs.sidecar(), &own, "SDS_PORT").await?;
        ensure!(api.instances("web").await?.is_empty(), "something was registered");
        Ok(())
    });
}

#[test]
fn one_file_has_one_registry() {
    play("one_file_has_one_registry", async |stage| {
        let file = stage.file("data.sqlite");
        let data = ("SDS_DATA", file.to_str().context("not UTF-8")?);
        let mut first = Api::start(stage, &[data]).await?;
        let env = [data, ("SDS_STORE", "embedded"), ("SDS_LISTEN", "127.0.0.1:0")];
        refuses(stage, stage.programs.api(), &env, "SDS_DATA").await?;
        first.process.kill().await?;
        Api::start(stage, &[data]).await.map(drop)
    });
}

#[test]
fn help_and_version_are_told() {
    play("help_and_version_are_told", async |stage| {
        for (program, variables) in [
            (Programs::api as fn(&Programs) -> Command, ["SDS_LISTEN", "DDB_TABLE", "SDS_LEASE"]),
            (Programs::sidecar, ["SDS_API_URL", "SDS_CHECK", "SDS_LINGER"]),
        ] {
            let mut command = program(&stage.programs);
            let help = command.arg("--help").output().await?;
            let text = String::from_utf8(help.stdout)?;
            ensure!(help.status.success() && variables.iter().all(|name| text.contains(name)), "{text}");
            let mut command = program(&stage.programs);
            let version = command.arg("--version").output().await?;
            ensure!(version.status.success() && String::from_utf8(version.stdout)?.contains("0."));
        }
        Ok(())
    });
}
