//! A sidecar alone in its task: what it does while the registry, the app or the metadata is not there yet, and against
//! a rival at its address.

use std::time::Duration;

use anyhow::{Context, ensure};
use axum::{Json, Router, routing::get};
use e2e::{
    api::Api,
    app::App,
    process::Signal,
    sidecar::Sidecar,
    wait::{SOON, throughout, until},
};
use serde_json::json;
use tokio::{net::TcpListener, time::Instant};

use crate::{alone, play};

#[test]
fn it_waits_for_registry_and_app() {
    play("it_waits_for_registry_and_app", async |stage| {
        // An address that nobody listens on yet.
        let mut first = Api::start(stage, &[]).await?;
        first.process.stop(SOON).await?;
        let app = App::start(stage, "app").await?;
        app.mode("sick").await?;
        let sidecar = Sidecar::start(stage, first.addr, "web", &app, &[]).await?;
        throughout("it lives and is not ready", Duration::from_secs(1), async || {
            ensure!(sidecar.page("/livez").await? == 200 && sidecar.page("/readyz").await? == 503);
            ensure!(sidecar.page("/healthcheck").await? == 503);
            Ok(())
        })
        .await?;
        let addr = first.addr.to_string();
        let api = Api::start(stage, &[("SDS_LISTEN", &addr)]).await?;
        throughout("a sick app is not registered", Duration::from_secs(1), async || {
            ensure!(api.v1("web").await?.is_empty());
            Ok(())
        })
        .await?;
        app.mode("ok").await?;
        api.until_status("web", &app.endpoint(), "healthy", SOON).await?;
        until("it to be ready", SOON, async || {
            ensure!(sidecar.page("/readyz").await? == 200);
            Ok(())
        })
        .await?;
        ensure!(sidecar.page("/healthcheck").await? == 200 && sidecar.page("/metrics").await? == 200);
        // ECS asks through the binary itself.
        let mut command = stage.programs.sidecar();
        let status = command.arg("healthcheck").env("SDS_ADMIN_LISTEN", sidecar.admin.to_string()).status().await?;
        ensure!(status.success(), "{status}");
        // Trouble that comes later holds no task down.
        app.mode("sick").await?;
        api.until_status("web", &app.endpoint(), "unhealthy", SOON).await?;
        until("it not to be ready", SOON, async || {
            ensure!(sidecar.page("/readyz").await? == 503);
            Ok(())
        })
        .await?;
        ensure!(sidecar.page("/healthcheck").await? == 200);
        Ok(())
    });
}

#[test]
fn it_takes_its_address_back_from_a_ghost() {
    play("it_takes_its_address_back_from_a_ghost", async |stage| {
        let api = Api::start(stage, &[("SDS_LEASE", "3s")]).await?;
        let app = App::start(stage, "app").await?;
        let mut sidecar = Sidecar::start(stage, api.addr, "web", &app, &[("SDS_REVISION", "mine")]).await?;
        api.until_status("web", &app.endpoint(), "healthy", SOON).await?;
        // A late request of a former tenant, whose clock was far ahead.
        let ahead = (e2e::clock::epoch_seconds() + 3600) * 1000;
        let ghost = json!({"revision": "ghost"});
        api.put("web", &app.endpoint(), (ahead, 1), ghost).await?.expect(200)?;
        until("the sidecar to own its address again", SOON, async || {
            let instance = &api.instances("web").await?[&app.endpoint()];
            ensure!(instance["revision"] == "mine" && instance["incarnation"] == ahead + 1, "{instance}");
            Ok(())
        })
        .await?;
        let status = sidecar.process.stop(SOON).await?;
        ensure!(status.success(), "{status}");
        ensure!(api.status("web", &app.endpoint()).await? == "absent");
        Ok(())
    });
}

#[test]
fn a_second_sigterm_skips_the_linger() {
    play("a_second_sigterm_skips_the_linger", async |stage| {
        let api = Api::start(stage, &[]).await?;
        let app = App::start(stage, "app").await?;
        let mut sidecar = Sidecar::start(stage, api.addr, "web", &app, &[("SDS_LINGER", "20s")]).await?;
        api.until_status("web", &app.endpoint(), "healthy", SOON).await?;
        sidecar.process.signal(Signal::TERM)?;
        api.until_status("web", &app.endpoint(), "draining", SOON).await?;
        let status = sidecar.process.stop(Duration::from_secs(5)).await?;
        ensure!(status.success(), "{status}");
        ensure!(api.status("web", &app.endpoint()).await? == "absent");
        Ok(())
    });
}

#[test]
fn it_leaves_also_while_the_registry_is_away() {
    play("it_leaves_also_while_the_registry_is_away", async |stage| {
        let mut api = Api::start(stage, &[]).await?;
        let app = App::start(stage, "app").await?;
        let mut sidecar = Sidecar::start(stage, api.addr, "web", &app, &[]).await?;
        api.until_status("web", &app.endpoint(), "healthy", SOON).await?;
        api.process.kill().await?;
        // Linger and the retries around it: 1 s and at most 10 s.
        let status = sidecar.process.stop(Duration::from_secs(12)).await?;
        ensure!(status.code().is_some(), "it was killed: {status}");
        Ok(())
    });
}

#[test]
fn it_learns_who_it_is_from_ecs() {
    play("it_learns_who_it_is_from_ecs", async |stage| {
        let task = json!({
            "Cluster": "arn:aws:ecs:ap-northeast-1:123456789012:cluster/prod",
            "TaskARN": "arn:aws:ecs:ap-northeast-1:123456789012:task/prod/0123456789abcdef0123456789abcdef",
            "Family": "web", "Revision": "7", "DesiredStatus": "RUNNING", "KnownStatus": "RUNNING",
            "LaunchType": "FARGATE", "AvailabilityZone": "ap-northeast-1c",
            "Containers": [
                {"DockerId": "a-1", "Name": "~internal~ecs~pause", "Type": "CNI_PAUSE", "KnownStatus": "RESOURCES_PROVISIONED"},
                {"DockerId": "a-3", "Name": "sds", "Type": "NORMAL", "KnownStatus": "RUNNING"},
                {"DockerId": "a-2", "Name": "app", "Type": "NORMAL", "KnownStatus": "RUNNING", "NewKey": [1],
                 "Networks": [{"NetworkMode": "awsvpc", "IPv4Addresses": ["10.0.2.106"], "SubnetGatewayIpv4Address": "10.0.2.1/24"}]},
            ],
        });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let metadata = format!("http://{}/v4/a-3", listener.local_addr()?);
        let own = json!({"DockerId": "a-3", "Name": "sds", "Type": "NORMAL"});
        let routes = Router::new().route("/v4/a-3/task", get(move || async move { Json(task) }));
        let routes = routes.route("/v4/a-3", get(move || async move { Json(own) }));
        tokio::spawn(async move { axum::serve(listener, routes).await });

        let api = Api::start(stage, &[]).await?;
        let app = App::start(stage, "app").await?;
        let env = [("SDS_HOST", ""), ("ECS_CONTAINER_METADATA_URI_V4", metadata.as_str())];
        let _sidecar = Sidecar::start(stage, api.addr, "web", &app, &env).await?;
        let at = format!("10.0.2.106:{}", app.addr.port());
        api.until_status("web", &at, "healthy", SOON).await?;
        let instance = api.instances("web").await?.remove(&at).context("gone")?;
        ensure!(instance["locality"] == json!({"region": "ap-northeast-1", "zone": "ap-northeast-1c"}), "{instance}");
        ensure!(instance["task_arn"].as_str().is_some_and(|arn| arn.contains("0123456789abcdef")), "{instance}");
        ensure!(instance["revision"] == "web:7", "{instance}");
        Ok(())
    });
}

#[test]
fn it_checks_by_connecting_too() {
    play("it_checks_by_connecting_too", async |stage| {
        let api = Api::start(stage, &[]).await?;
        let mut app = App::start(stage, "app").await?;
        let check = format!("tcp://:{}", app.addr.port());
        let both = format!("{check},http://:{}/health", app.addr.port());
        let _tcp = Sidecar::start(stage, api.addr, "tcp", &app, &[("SDS_CHECK", &check)]).await?;
        let _both = Sidecar::start(stage, api.addr, "both", &app, &[("SDS_CHECK", &both)]).await?;
        for service in ["tcp", "both"] {
            api.until_status(service, &app.endpoint(), "healthy", SOON).await?;
        }
        // All checks must pass.
        app.mode("sick").await?;
        api.until_status("both", &app.endpoint(), "unhealthy", SOON).await?;
        ensure!(api.status("tcp", &app.endpoint()).await? == "healthy");
        app.process.kill().await?;
        api.until_status("tcp", &app.endpoint(), "unhealthy", SOON).await
    });
}

#[test]
fn who_stays_unhealthy_for_too_long_is_deregistered() {
    alone("who_stays_unhealthy_for_too_long_is_deregistered", async |stage| {
        let api = Api::start(stage, &[]).await?;
        let app = App::start(stage, "app").await?;
        let env = [("SDS_DEREGISTER_AFTER", "2s")];
        let mut sidecar = Sidecar::start(stage, api.addr, "web", &app, &env).await?;
        let at = app.endpoint();
        api.until_status("web", &at, "healthy", SOON).await?;
        app.mode("sick").await?;
        api.until_status("web", &at, "unhealthy", SOON).await?;
        let sick = Instant::now();
        api.until_status("web", &at, "absent", Duration::from_secs(3)).await?;
        ensure!(sick.elapsed() > Duration::from_millis(1500), "gone after {:?}", sick.elapsed());
        ensure!(sidecar.page("/livez").await? == 200 && sidecar.page("/healthcheck").await? == 200);
        app.mode("ok").await?;
        api.until_status("web", &at, "healthy", SOON).await?;
        // Its later life ends as any other.
        let status = sidecar.process.stop(SOON).await?;
        ensure!(status.success() && api.status("web", &at).await? == "absent", "{status}");
        Ok(())
    });
}
