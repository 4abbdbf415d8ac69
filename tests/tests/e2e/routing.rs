//! A real Envoy with v3 REST EDS sends requests to registered instances only, and its hosts are the registry's after
//! each kind of change.

use std::time::Duration;

use anyhow::ensure;
use e2e::{
    api::Api,
    app::App,
    envoy::Envoy,
    http,
    load::Load,
    wait::{SOON, throughout, until},
};
use reqwest::Method;
use serde_json::json;

use crate::play;

const REFRESH: Duration = Duration::from_millis(200);

#[test]
fn requests_reach_registered_instances_only() {
    play("requests_reach_registered_instances_only", async |stage| {
        let api = Api::start(stage, &[]).await?;
        let envoy = Envoy::start(stage, api.addr, "web", REFRESH).await?;
        let client = http::client(Duration::from_secs(5));
        let front = format!("http://{}/", envoy.listener);
        http::send(&client, Method::GET, &front, &[], "").await?.expect(503)?;

        let (a, b) = (App::start(stage, "a").await?, App::start(stage, "b").await?);
        api.put("web", &a.endpoint(), (1, 1), json!({})).await?.expect(200)?;
        // b serves, but nobody registered it for this service.
        api.put("other", &b.endpoint(), (1, 1), json!({})).await?.expect(200)?;
        envoy.until_equal(&api, SOON).await?;
        let load = Load::start(envoy.listener, 50);
        load.flows(50).await?;
        let report = load.stop().await?;
        ensure!(report.failures() == 0, "{:?}", report.failed);
        ensure!(report.answered.keys().eq(["a"]), "answered by {:?}", report.answered);

        api.put("web", &b.endpoint(), (1, 1), json!({})).await?.expect(200)?;
        api.delete("web", &a.endpoint(), (1, 2)).await?.expect(204)?;
        until("b to have all of the traffic", SOON, async || {
            ensure!(envoy.hosts().await?.keys().eq([&b.endpoint()]));
            Ok(())
        })
        .await?;
        throughout("only b answers", Duration::from_millis(500), async || {
            let name = http::send(&client, Method::GET, &front, &[], "").await?.expect(200)?.text();
            ensure!(name == "b\n", "{name} answered");
            Ok(())
        })
        .await
    });
}

#[test]
fn envoy_has_the_registrys_hosts_after_each_change() {
    play("envoy_has_the_registrys_hosts_after_each_change", async |stage| {
        let api = Api::start(stage, &[]).await?;
        let envoy = Envoy::start(stage, api.addr, "web", REFRESH).await?;
        let (first, second, v6) = ("10.0.0.1:80", "10.0.0.2:81", "[2001:db8::1]:80");
        let zone = |zone: &str| json!({"region": "r", "zone": zone});
        ensure!(envoy.until_equal(&api, SOON).await?.is_empty());

        api.put("web", first, (1, 1), json!({"locality": zone("a")})).await?.expect(200)?;
        ensure!(envoy.until_equal(&api, SOON).await?.len() == 1);
        api.put("web", second, (1, 1), json!({"weight": 3, "locality": zone("b")})).await?.expect(200)?;
        api.put("web", v6, (1, 1), json!({"canary": true, "tags": {"shard": "1"}})).await?.expect(200)?;
        ensure!(envoy.until_equal(&api, SOON).await?.len() == 3);

        api.put("web", second, (1, 2), json!({"weight": 100, "locality": zone("b")})).await?.expect(200)?;
        ensure!(envoy.until_equal(&api, SOON).await?[second].weight == 100);
        api.put("web", second, (1, 3), json!({"health": "unhealthy", "locality": zone("b")})).await?.expect(200)?;
        ensure!(envoy.until_equal(&api, SOON).await?[second].health == "UNHEALTHY");
        api.put("web", second, (1, 4), json!({"locality": zone("b")})).await?.expect(200)?;
        ensure!(envoy.until_equal(&api, SOON).await?[second].health == "HEALTHY");

        api.drain("web", first, (1, 2)).await?.expect(200)?;
        ensure!(envoy.until_equal(&api, SOON).await?[first].health == "DRAINING");
        for (at, seq) in [(first, 3), (second, 5), (v6, 2)] {
            api.delete("web", at, (1, seq)).await?.expect(204)?;
            envoy.until_equal(&api, SOON).await?;
        }
        ensure!(envoy.hosts().await?.is_empty());
        for stat in ["update_rejected", "update_failure"] {
            ensure!(envoy.stat(stat).await? == 0, "Envoy counts {} of {stat}", envoy.stat(stat).await?);
        }
        ensure!(envoy.stat("update_success").await? > 0);
        Ok(())
    });
}

#[test]
fn an_old_envoy_reads_the_same_instances() {
    play("an_old_envoy_reads_the_same_instances", async |stage| {
        let api = Api::start(stage, &[]).await?;
        // Every body below goes through the old Envoy's rules inside of `v1_endpoints`.
        ensure!(api.v1_endpoints("web").await?.is_empty());
        for (at, more) in [
            ("10.0.0.9:80", json!({"locality": {"zone": "a"}, "weight": 1})),
            ("10.0.0.10:80", json!({"locality": {"zone": "a"}, "weight": 100, "canary": true})),
            ("10.0.0.10:79", json!({"locality": {"zone": "a"}, "tags": {"shard": "x"}})),
            ("[2001:db8::1]:80", json!({"locality": {"zone": "a"}, "revision": "v2"})),
            ("10.0.0.1:80", json!({"locality": {"zone": "b", "region": "r"}})),
        ] {
            api.put("web", at, (1, 1), more).await?.expect(200)?;
        }
        let order = ["10.0.0.9:80", "10.0.0.10:79", "10.0.0.10:80", "[2001:db8::1]:80", "10.0.0.1:80"];
        ensure!(api.v1_endpoints("web").await? == order, "{:?}", api.v1_endpoints("web").await?);

        // Unhealthy and draining ones leave the list.
        api.put("web", order[0], (1, 2), json!({"health": "unhealthy"})).await?.expect(200)?;
        api.drain("web", order[1], (1, 2)).await?.expect(200)?;
        ensure!(api.v1_endpoints("web").await? == order[2..]);

        // Never a 304 without If-None-Match; with it, only while the content is the same.
        let etag = api.get("/v1/registration/web").await?.expect(200)?.header("etag").to_owned();
        ensure!(!etag.is_empty());
        let held = [("if-none-match", etag.as_str())];
        api.send(Method::GET, "/v1/registration/web", &held, "").await?.expect(304)?;
        api.put("web", order[2], (1, 2), json!({"locality": {"zone": "a"}, "weight": 7})).await?.expect(200)?;
        api.send(Method::GET, "/v1/registration/web", &held, "").await?.expect(200)?;
        Ok(())
    });
}

#[test]
fn v1_falls_open_rather_than_empty() {
    play("v1_falls_open_rather_than_empty", async |stage| {
        let open = Api::start(stage, &[]).await?;
        let closed = Api::start(stage, &[("SDS_FAIL_OPEN", "false")]).await?;
        let (first, second) = ("10.0.0.1:80", "10.0.0.2:80");
        for (api, two, draining) in [(&open, 2, 1), (&closed, 0, 0)] {
            api.put("web", first, (1, 1), json!({"health": "unhealthy"})).await?.expect(200)?;
            ensure!(api.v1("web").await?.is_empty(), "a single unhealthy instance was listed");
            api.put("web", second, (1, 1), json!({"health": "unhealthy"})).await?.expect(200)?;
            ensure!(api.v1("web").await?.len() == two, "two unhealthy: {:?}", api.v1("web").await?);
            let state = api.get("/v1/registration/web").await?.header("x-sds-state").to_owned();
            ensure!(state == if two > 0 { "fail-open" } else { "fresh" }, "x-sds-state: {state}");
            api.delete("web", first, (1, 2)).await?.expect(204)?;
            api.drain("web", second, (1, 2)).await?.expect(200)?;
            ensure!(api.v1("web").await?.len() == draining, "one draining: {:?}", api.v1("web").await?);
        }
        Ok(())
    });
}
