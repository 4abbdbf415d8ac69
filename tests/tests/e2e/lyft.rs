//! The clients of lyft/discovery work unchanged: their statuses and their bodies, to the byte; a host is its ip, tags are
//! merged, weights stay, and repositories have an index.

use anyhow::{Context, ensure};
use e2e::{api::Api, golden, http::Answer, raw, table::s, wait::SOON};
use futures_util::future::try_join_all;
use reqwest::Method;
use serde_json::json;

use crate::play;

const TAGS: &str = r#"tags={"az":"a","region":"r","instance_id":"i"}"#;

async fn form(api: &Api, path: &str, body: &str) -> anyhow::Result<Answer> {
    raw::request(api.addr, "POST", path, body.as_bytes()).await
}

async fn register(api: &Api, service: &str, ip: &str, port: u16, more: &str) -> anyhow::Result<()> {
    let body = format!("ip={ip}&port={port}&revision=r&{TAGS}{more}");
    form(api, &format!("/v1/registration/{service}"), &body).await?.expect(200).map(drop)
}

async fn weigh(api: &Api, path: &str, weight: u8) -> anyhow::Result<()> {
    let body = format!("load_balancing_weight={weight}");
    form(api, &format!("/v1/loadbalancing/{path}"), &body).await?.expect(204).map(drop)
}

async fn cookpad(api: &Api, service: &str, ip: &str, port: u16) -> anyhow::Result<()> {
    let body = json!({"ip": ip, "port": port, "revision": "r", "tags": {}});
    api.json(Method::POST, &format!("/v1/registration/{service}"), &body).await?.expect(202).map(drop)
}

async fn leave(api: &Api, service: &str, ip: &str) -> anyhow::Result<Answer> {
    let answer = raw::request(api.addr, "DELETE", &format!("/v1/registration/{service}/{ip}"), b"").await?;
    ensure!(answer.text() == "{}", "{}", answer.text());
    Ok(answer)
}

async fn weights(api: &Api, service: &str) -> anyhow::Result<Vec<Option<u64>>> {
    Ok(api.v1(service).await?.iter().map(|host| host.weight).collect())
}

#[test]
fn lyfts_dialect_to_the_byte() {
    play("lyfts_dialect_to_the_byte", async |stage| {
        let api = Api::start(stage, &[]).await?;
        golden::play(api.addr, include_str!("golden/lyft.txt")).await
    });
}

#[test]
fn a_new_port_replaces_the_same_hosts_old_one_only() {
    play("a_new_port_replaces_the_same_hosts_old_one_only", async |stage| {
        let mut api = Api::start(stage, &[]).await?;
        register(&api, "web", "10.0.0.1", 80, "").await?;
        register(&api, "web", "10.0.0.2", 80, "").await?;
        register(&api, "other", "10.0.0.1", 80, "").await?;
        cookpad(&api, "web", "10.0.0.1", 90).await?;
        register(&api, "web", "10.0.0.1", 81, "").await?;
        ensure!(api.v1_endpoints("web").await? == ["10.0.0.1:90", "10.0.0.1:81", "10.0.0.2:80"]);
        ensure!(api.v1_endpoints("other").await? == ["10.0.0.1:80"]);
        let row = api.table().await?.row("web", "10.0.0.1:80").await?.context("no row")?;
        ensure!(row.get("gone") == Some(&s("deregistered")), "{row:?}");
        Ok(())
    });
}

#[test]
fn an_ip_with_several_ports_is_not_deregistered_by_its_ip() {
    play("an_ip_with_several_ports_is_not_deregistered_by_its_ip", async |stage| {
        let api = Api::start(stage, &[]).await?;
        register(&api, "web", "10.0.0.1", 80, "").await?;
        cookpad(&api, "web", "10.0.0.1", 81).await?;
        let reason = leave(&api, "web", "10.0.0.1").await?.expect(400)?.header("x-sds-reason").to_owned();
        ensure!(reason == "more than one port is registered on this ip", "{reason}");
        ensure!(api.v1("web").await?.len() == 2);
        raw::request(api.addr, "DELETE", "/v1/registration/web/10.0.0.1:80", b"").await?.expect(202)?;
        leave(&api, "web", "10.0.0.1").await?.expect(200)?;
        ensure!(api.v1("web").await?.is_empty());
        leave(&api, "web", "10.0.0.1").await?.expect(400).map(drop)
    });
}

#[test]
fn a_weight_stays_until_the_address_has_another_tenant() {
    play("a_weight_stays_until_the_address_has_another_tenant", async |stage| {
        let mut api = Api::start(stage, &[]).await?;
        register(&api, "web", "10.0.0.1", 80, "").await?;
        weigh(&api, "web/10.0.0.1", 42).await?;
        for _ in 0..3 {
            register(&api, "web", "10.0.0.1", 80, "").await?;
            ensure!(weights(&api, "web").await? == [Some(42)]);
        }
        // Another revision of the same instance is a change of the row, and keeps the operator's word too.
        let changed = format!("ip=10.0.0.1&port=80&revision=new&{TAGS}");
        form(&api, "/v1/registration/web", &changed).await?.expect(200)?;
        ensure!(weights(&api, "web").await? == [Some(42)]);
        let row = api.table().await?.row("web", "10.0.0.1:80").await?.context("no row")?;
        let tags = row.get("tags").and_then(|tags| tags.as_m().ok()).context("no tags")?;
        ensure!(!tags.contains_key("load_balancing_weight"), "the registration was changed: {row:?}");
        ensure!(row.contains_key("ov_weight"), "{row:?}");

        leave(&api, "web", "10.0.0.1").await?.expect(200)?;
        let other = r#"ip=10.0.0.1&port=80&revision=r&tags={"az":"a","region":"r","instance_id":"another"}"#;
        form(&api, "/v1/registration/web", other).await?.expect(200)?;
        ensure!(weights(&api, "web").await? == [None]);
        Ok(())
    });
}

#[test]
fn a_weight_is_anybodys_and_survives_a_restart() {
    play("a_weight_is_anybodys_and_survives_a_restart", async |stage| {
        let data = [("SDS_DATA", "weights.sqlite")];
        let mut api = Api::start(stage, &data).await?;
        register(&api, "web", "10.0.0.1", 80, "").await?;
        cookpad(&api, "web", "10.0.0.2", 80).await?;
        api.put("web", "10.0.0.3:80", (1, 1), json!({"weight": 3})).await?.expect(200)?;
        weigh(&api, "web", 7).await?;
        ensure!(weights(&api, "web").await? == [Some(7); 3]);
        weigh(&api, "web/10.0.0.3", 9).await?;
        api.put("web", "10.0.0.3:80", (1, 2), json!({"weight": 3})).await?.expect(200)?;
        let weights = async |api: &Api| weights(api, "web").await;
        ensure!(weights(&api).await? == [Some(7), Some(9), Some(7)], "{:?}", weights(&api).await?);
        api.process.stop(SOON).await?;
        let api = Api::start(stage, &data).await?;
        ensure!(weights(&api).await? == [Some(7), Some(9), Some(7)], "{:?}", weights(&api).await?);
        Ok(())
    });
}

#[test]
fn many_who_speak_for_one_host_at_once_are_all_heard() {
    play("many_who_speak_for_one_host_at_once_are_all_heard", async |stage| {
        let api = Api::start(stage, &[]).await?;
        // Each says something else, so that none is a repeat of another.
        let speak = async |nth: usize| {
            let body = format!("ip=10.0.0.1&port=80&revision=r{nth}&{TAGS}");
            form(&api, "/v1/registration/web", &body).await?.expect(200).map(drop)
        };
        try_join_all((0..50).map(speak)).await?;
        let hosts = api.v1("web").await?;
        ensure!(hosts.len() == 1, "{hosts:?}");
        Ok(())
    });
}

#[test]
fn the_index_by_repository() {
    play("the_index_by_repository", async |stage| {
        let api = Api::start(stage, &[]).await?;
        for (service, ip, more) in [
            ("b", "10.0.0.1", "&service_repo_name=x"),
            ("a", "10.0.0.2", "&service_repo_name=x"),
            ("a", "10.0.0.3", "&service_repo_name=y"),
            ("a", "10.0.0.4", ""),
            ("a", "10.0.0.5", "&service_repo_name=x"),
        ] {
            register(&api, service, ip, 80, more).await?;
        }
        let of = async |repo: &str| {
            let body = api.get(&format!("/v1/registration/repo/{repo}")).await?.expect(200)?.json()?;
            ensure!(body["service_repo_name"] == repo && body["env"] == "test", "{body}");
            let hosts = body["hosts"].as_array().context("no hosts")?;
            let hosts = hosts.iter().map(|host| format!("{}/{}", host["service"], host["ip_address"]).replace('"', ""));
            Ok(hosts.collect::<Vec<_>>())
        };
        ensure!(of("x").await? == ["a/10.0.0.2", "a/10.0.0.5", "b/10.0.0.1"], "{:?}", of("x").await?);
        ensure!(of("y").await? == ["a/10.0.0.3"]);
        ensure!(of("z").await?.is_empty());
        api.send(Method::HEAD, "/v1/registration/repo/x", &[], "").await?.expect(200)?;
        for (method, path, status) in [
            ("GET", "/v1/registration/repo/%ff", 400),
            ("GET", "/v1/registration/repo/a%0ab", 400),
            ("POST", "/v1/registration/repo/x", 405),
            ("POST", "/v1/registration/repo", 400),
        ] {
            raw::request(api.addr, method, path, b"").await?.expect(status).with_context(|| path.to_owned())?;
        }
        leave(&api, "a", "10.0.0.5").await?.expect(200)?;
        ensure!(of("x").await? == ["a/10.0.0.2", "b/10.0.0.1"]);
        Ok(())
    });
}

#[test]
fn a_host_may_be_who_sent_the_request() {
    play("a_host_may_be_who_sent_the_request", async |stage| {
        let api = Api::start(stage, &[]).await?;
        let body = format!("auto_ip=true&port=80&revision=r&{TAGS}");
        form(&api, "/v1/registration/web", &body).await?.expect(200)?;
        ensure!(api.v1_endpoints("web").await? == ["127.0.0.1:80"]);
        // An ip that is said wins.
        form(&api, "/v1/registration/web", &format!("ip=10.0.0.1&{body}")).await?.expect(200)?;
        ensure!(api.v1_endpoints("web").await? == ["10.0.0.1:80", "127.0.0.1:80"]);
        Ok(())
    });
}
