//! The native API as on-call people read it, and its smaller rules.

use anyhow::ensure;
use e2e::api::{Api, native_path};
use reqwest::Method;
use serde_json::json;

use crate::play;

#[test]
fn no_incarnation_can_lock_an_address_for_ever() {
    play("no_incarnation_can_lock_an_address_for_ever", async |stage| {
        let api = Api::start(stage, &[]).await?;
        for answer in [
            api.put("web", "10.0.0.1:80", (u64::MAX, 1), json!({})).await?,
            api.delete("web", "10.0.0.1:80", (u64::MAX, 1)).await?,
        ] {
            ensure!(answer.expect(400)?.json()?["field"] == "incarnation");
        }
        api.put("web", "10.0.0.1:80", (1, 1), json!({})).await?.expect(200).map(drop)
    });
}

#[test]
fn lists_for_programs_and_for_people() {
    play("lists_for_programs_and_for_people", async |stage| {
        let api = Api::start(stage, &[]).await?;
        ensure!(api.get("/v1/services").await?.expect(200)?.json()?["services"] == json!([]));
        ensure!(api.get("/v1/services/web").await?.expect(404)?.json()?["id"] == "NotFound");
        let more = json!({"weight": 7, "canary": true, "revision": "r1", "locality": {"region": "r", "zone": "z"},
            "instance_id": "i-1", "task_arn": "arn:1", "tags": {"shard": "x"}});
        api.put("web", "10.0.0.1:80", (3, 4), more.clone()).await?.expect(200)?;
        api.put("web", "10.0.0.2:80", (1, 1), json!({"health": "unhealthy"})).await?.expect(200)?;
        api.put("api", "10.0.1.1:80", (1, 1), json!({})).await?.expect(200)?;

        let list = api.get("/v1/services").await?.expect(200)?.json()?;
        let names: Vec<_> = list["services"].as_array().into_iter().flatten().map(|s| s["service"].clone()).collect();
        ensure!(names == ["api", "web"], "{list}");
        ensure!(list["services"][1]["healthy"] == 1 && list["services"][1]["unhealthy"] == 1, "{list}");

        let shown = &api.instances("web").await?["10.0.0.1:80"];
        for (name, value) in more.as_object().into_iter().flatten() {
            ensure!(shown[name] == *value, "{name} is {} in {shown}", shown[name]);
        }
        ensure!(shown["incarnation"] == 3 && shown["seq"] == 4 && shown["status"] == "healthy", "{shown}");
        ensure!(shown["lease_age_ms"].as_u64().is_some_and(|age| age < 10_000), "{shown}");

        for page in [
            api.get("/v1/services?format=text").await?,
            api.send(Method::GET, "/v1/services/web", &[("accept", "text/plain")], "").await?,
        ] {
            let page = page.expect(200)?;
            ensure!(page.header("content-type").starts_with("text/plain"), "{}", page.header("content-type"));
            ensure!(
                page.text().lines().count() >= 2 && serde_json::from_slice::<serde_json::Value>(&page.body).is_err()
            );
        }
        let first = api.get("/v1/services?limit=1").await?.expect(200)?.json()?;
        ensure!(first["services"].as_array().map(Vec::len) == Some(1) && first["next"].is_string(), "{first}");
        let whole = api.get("/v1/services?limit=2").await?.expect(200)?;
        ensure!(
            whole.header("etag") != api.get("/v1/services?limit=1").await?.header("etag"),
            "one ETag for two lists"
        );
        let next = format!("/v1/services?limit=1&next={}", first["next"].as_str().unwrap_or_default());
        let second = api.get(&next).await?.expect(200)?.json()?;
        ensure!(second["services"][0]["service"] == "web" && second.get("next").is_none(), "{second}");
        Ok(())
    });
}

#[test]
fn a_delete_says_whose_life_it_ends() {
    play("a_delete_says_whose_life_it_ends", async |stage| {
        let api = Api::start(stage, &[]).await?;
        api.put("web", "10.0.0.1:80", (1, 1), json!({})).await?.expect(200)?;
        let path = native_path("web", "10.0.0.1:80");
        let bare = api.send(Method::DELETE, &path, &[], "").await?.expect(400)?.json()?;
        ensure!(bare["reason"].as_str().is_some_and(|reason| reason.contains("incarnation is required")), "{bare}");
        for query in ["?seq=1", "?incarnation=x&seq=1", "?incarnation=0&seq=1", "?incarnation=1&seq=-1"] {
            api.send(Method::DELETE, &format!("{path}{query}"), &[], "").await?.expect(400)?;
        }
        ensure!(api.status("web", "10.0.0.1:80").await? == "healthy");
        api.send(Method::DELETE, &format!("{path}?incarnation=1&seq=2&reason=unhealthy"), &[], "")
            .await?
            .expect(204)?;
        ensure!(api.status("web", "10.0.0.1:80").await? == "absent");
        Ok(())
    });
}

#[test]
fn where_instances_may_be() {
    play("where_instances_may_be", async |stage| {
        let api =
            Api::start(stage, &[("SDS_CIDRS", "10.0.0.0/8,2001:db8::/32"), ("SDS_ALLOW_LOOPBACK", "false")]).await?;
        for at in ["10.255.0.1:80", "[2001:db8::1]:80"] {
            api.put("web", at, (1, 1), json!({})).await?.expect(200)?;
        }
        for at in ["192.168.0.1:80", "[2001:db9::1]:80"] {
            api.put("web", at, (1, 1), json!({})).await?.expect(403)?;
        }
        for at in ["127.0.0.1:80", "[::1]:80"] {
            api.put("web", at, (1, 1), json!({})).await?.expect(400)?;
        }
        ensure!(api.v1("web").await?.len() == 2);
        Ok(())
    });
}
