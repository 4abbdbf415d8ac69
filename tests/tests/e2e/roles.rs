//! Tasks that register by their role: their whole life, with and without AWS; and how a fleet of legacy clients gets there.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, ensure};
use e2e::{
    api::Api,
    app::App,
    aws::{
        credentials::Credentials,
        ecs::{Ecs, task::Task},
        metadata::Metadata,
        sts::Sts,
    },
    http,
    scenario::roles::{self, KEYS, POLICY},
    sidecar::Sidecar,
    wait::{SOON, until},
};
use reqwest::Method;
use serde_json::json;

use crate::{alone, play};

#[test]
fn sidecars_live_by_their_role_and_without_aws() {
    alone("sidecars_live_by_their_role_and_without_aws", async |stage| roles::play(stage, 2, 3).await.map(drop));
}

/// A legacy client that renews several hosts of a service ten times a second until it is told to stop; the answers that were
/// no success.
async fn legacy(url: String, stop: Arc<AtomicBool>) -> anyhow::Result<Vec<String>> {
    let (client, mut refused) = (http::client(Duration::from_secs(5)), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        for port in [81, 82] {
            let body = json!({"ip": "127.0.0.1", "port": port, "revision": "r", "tags": {}}).to_string();
            let answer = http::send(&client, Method::POST, &url, &[], body).await?;
            if answer.status != 202 {
                refused.push(format!("{} {}", answer.status, answer.text()));
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(refused)
}

fn write(path: &Path, policy: &str) -> anyhow::Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, policy)?;
    Ok(std::fs::rename(new, path)?)
}

#[test]
fn a_fleet_moves_from_open_to_its_roles_without_a_refused_write() {
    play("a_fleet_moves_from_open_to_its_roles_without_a_refused_write", async |stage| {
        let (sts, ecs) = (Sts::start().await?, Ecs::start().await?);
        let path = stage.file("policy.toml");
        let tasks = POLICY.split_once("[[tasks]]").map(|(_, tasks)| format!("[[tasks]]{tasks}")).context("no tasks")?;
        let policy = |web: &str| {
            let service = |name: &str, mode: &str| format!("[[services]]\nnames = ['{name}']\nmode = {mode}\n");
            service("old", "'off'") + &service("web", web) + &tasks
        };
        write(&path, &policy("'off'"))?;
        let ours = [
            ("SDS_POLICY", path.to_str().context("not UTF-8")?),
            ("SDS_AUDIENCE", "sds.test"),
            ("SDS_TOKEN_KEYS", KEYS),
            ("AWS_ENDPOINT_URL_STS", &sts.endpoint),
        ];
        let api = Api::start(stage, &[&ours[..], &ecs.env("prod")].concat()).await?;
        let stop = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let [web, old] = [("web", &stop[0]), ("old", &stop[1])]
            .map(|(service, stop)| tokio::spawn(legacy(api.url(&format!("/v1/registration/{service}")), stop.clone())));

        // Its sidecars come beside it, while nobody is asked yet.
        let arn = ecs.run(Task { address: Some("127.0.0.1".parse()?), ..Task::new("prod", 0) });
        let credentials =
            Credentials::start(Some(sts.assume("web-task", arn.rsplit('/').next().unwrap_or("")))).await?;
        let metadata = Metadata::start(&arn).await?;
        let mut app = App::start(stage, "app").await?;
        let env = [
            ("SDS_API_AUDIENCE", "sds.test"),
            ("ECS_CONTAINER_METADATA_URI_V4", metadata.uri.as_str()),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", credentials.uri.as_str()),
        ];
        let mut sidecar = Sidecar::start(stage, api.addr, "web", &app, &env).await?;
        api.until_status("web", &app.endpoint(), "healthy", SOON).await?;
        ensure!(sts.count() == 0, "nobody is to be asked");

        write(&path, &policy("'aws'\nobserve = true"))?;
        let missing = [("deed", "register"), ("rule", "web"), ("why", "missing"), ("enforced", "false")];
        until("the legacy client to be observed", SOON, async || {
            ensure!(api.total("sds_writes_denied_total", &missing).await? > 0.0 && sts.count() > 0);
            Ok(())
        })
        .await?;
        // Whom the log names is whom to move; the sidecar is none of them.
        let seen = api.process.log().find("a write that the policy refuses").context("nothing is logged")?;
        ensure!(seen.contains("web/127.0.0.1") && seen.contains("enforced=false"), "{seen}");
        stop[0].store(true, Ordering::Relaxed);
        ensure!(web.await??.is_empty(), "a write of the legacy client was refused");

        write(&path, &policy("'aws'"))?;
        let again = async || {
            let body = json!({"ip": "127.0.0.1", "port": 81, "revision": "r", "tags": {}});
            api.json(Method::POST, "/v1/registration/web", &body).await?.expect(401)
        };
        until("the service to be closed", SOON, again).await?;
        ensure!(api.status("web", &app.endpoint()).await? == "healthy");
        ensure!(sidecar.stop_task(&mut app).await?.success());
        ensure!(api.status("web", &app.endpoint()).await? == "absent", "it could not leave");
        stop[1].store(true, Ordering::Relaxed);
        let refused = old.await??;
        ensure!(refused.is_empty(), "a write for a service that is open was refused: {refused:?}");
        for why in ["unproven", "forbidden", "away"] {
            let counted = api.total("sds_writes_denied_total", &[("why", why), ("enforced", "true")]).await?;
            ensure!(counted == 0.0, "{why}: {counted}");
        }
        Ok(())
    });
}
