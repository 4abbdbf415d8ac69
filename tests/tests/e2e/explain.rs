//! Why an instance is or is not in the answers, told by the very parts that make them.

use std::time::Duration;

use anyhow::{Context, ensure};
use e2e::{
    api::{Api, native_path},
    dynamo::Dynamo,
    raw, replicas,
    table::{good_row, n, s},
    wait::{SOON, until},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{alone, play};

const AT: &str = "10.0.0.1:80";

async fn explain(api: &Api, at: &str) -> anyhow::Result<Value> {
    api.get(&native_path("web", at)).await?.expect(200)?.json()
}

async fn until_state(api: &Api, at: &str, state: &str) -> anyhow::Result<Value> {
    until(&format!("{at} to be {state}"), SOON, async || {
        let told = explain(api, at).await?;
        ensure!(told["state"] == state, "{told}");
        Ok(told)
    })
    .await
}

fn listed(told: &Value) -> [bool; 3] {
    ["v1", "eds", "native"].map(|answer| told["answers"][answer]["listed"] == true)
}

fn last_event(told: &Value) -> &Value {
    told["events"].as_array().and_then(|events| events.last()).unwrap_or(&Value::Null)
}

#[test]
fn who_is_in_service_and_who_left() {
    play("who_is_in_service_and_who_left", async |stage| {
        let api = Api::start(stage, &[]).await?;
        let unknown = api.get(&native_path("web", AT)).await?.expect(404)?.json()?;
        ensure!(
            unknown["reason"].as_str().is_some_and(|reason| reason.contains("nothing is known of web/10.0.0.1:80"))
        );
        api.put("web", AT, (7, 1), json!({"weight": 7, "revision": "r1"})).await?.expect(200)?;
        api.put("web", "10.0.0.2:80", (1, 1), json!({"health": "unhealthy"})).await?.expect(200)?;

        let told = explain(&api, AT).await?;
        ensure!(told["state"] == "in service" && listed(&told) == [true; 3], "{told}");
        let registrant = &told["registrant"];
        ensure!(registrant["incarnation"] == 7 && registrant["origin"] == "native", "{told}");
        ensure!(told["says"]["weight"] == 7 && told["says"]["revision"] == "r1", "{told}");
        ensure!(told["heard"]["by"] == "this replica" && told["lease_ms"] == 30_000, "{told}");
        ensure!(last_event(&told)["event"] == "registered", "{told}");
        let told = explain(&api, "10.0.0.2:80").await?;
        ensure!(
            listed(&told) == [false, true, true] && told["answers"]["eds"]["health_status"] == "UNHEALTHY",
            "{told}"
        );
        ensure!(told["answers"]["v1"]["because"] == "unhealthy, and 1 healthy is there", "{told}");

        let query = "?incarnation=7&seq=2&reason=unhealthy";
        let path = native_path("web", AT);
        api.send(Method::DELETE, &format!("{path}{query}"), &[], "").await?.expect(204)?;
        let told = explain(&api, AT).await?;
        ensure!(told["state"] == "gone" && listed(&told) == [false; 3], "{told}");
        ensure!(told["because"].as_str().is_some_and(|because| because.contains("the app stayed unfit")), "{told}");
        ensure!(last_event(&told)["event"] == "deregistered", "{told}");
        let alone = explain(&api, "10.0.0.2:80").await?;
        ensure!(
            alone["answers"]["v1"]["because"].as_str().is_some_and(|b| b.contains("a single unhealthy")),
            "{alone}"
        );

        let page = api.send(Method::GET, &path, &[("accept", "text/plain")], "").await?.expect(200)?;
        ensure!(page.header("content-type").starts_with("text/plain") && !page.header("x-sds-state").is_empty());
        ensure!(page.text().starts_with("web/10.0.0.1:80: gone\n"), "{}", page.text());
        Ok(())
    });
}

#[test]
fn who_is_silent_and_who_is_held() {
    alone("who_is_silent_and_who_is_held", async |stage| {
        let api = Api::start(stage, &[("SDS_LEASE", "1s"), ("SDS_FULL_READ", "200ms")]).await?;
        api.put("web", AT, (1, 1), json!({})).await?.expect(200)?;
        let told = until_state(&api, AT, "silent").await?;
        ensure!(listed(&told) == [false; 3] && last_event(&told)["event"] == "silent", "{told}");
        ensure!(told["because"].as_str().is_some_and(|because| because.contains("its lease is 1.0s")), "{told}");
        // Repair reads go on, and do not take it for forgotten.
        let reads = api.metric(r#"sds_store_calls_total{call="Scan",outcome="ok"}"#).await.unwrap_or_default();
        until("two more full reads", SOON, async || {
            let now = api.metric(r#"sds_store_calls_total{call="Scan",outcome="ok"}"#).await?;
            ensure!(now >= reads + 2.0, "{now}");
            Ok(())
        })
        .await?;
        ensure!(explain(&api, AT).await?["state"] == "silent");

        for nth in 1..=4 {
            api.put("held", &format!("10.0.1.{nth}:80"), (1, 1), json!({})).await?.expect(200)?;
        }
        let path = native_path("held", "10.0.1.1:80");
        let told = until("it to be held", SOON, async || {
            let told = api.get(&path).await?.expect(200)?;
            ensure!(told.json()?["state"] == "held", "{}", told.text());
            Ok(told)
        })
        .await?;
        ensure!(told.header("x-sds-state").contains("held;n="), "{}", told.header("x-sds-state"));
        let shown = told.json()?;
        ensure!(listed(&shown) == [true; 3] && last_event(&shown)["event"] == "held", "{shown}");
        until("the lists to say so", SOON, async || {
            let list = api.get("/v1/services").await?.expect(200)?;
            ensure!(list.json()?["services"][0]["held"] == 4, "{}", list.text());
            ensure!(list.header("x-sds-state") == "held;n=4", "{}", list.header("x-sds-state"));
            let one = api.get("/v1/services/held?format=text").await?.expect(200)?.text();
            ensure!(one.lines().filter(|line| line.ends_with("held")).count() == 4, "{one}");
            Ok(())
        })
        .await
    });
}

#[test]
fn a_row_that_is_left_out_is_named() {
    play("a_row_that_is_left_out_is_named", async |stage| {
        let mut api = Api::start(stage, &[("SDS_FULL_READ", "200ms"), ("SDS_CIDRS", "10.0.0.0/8")]).await?;
        let table = api.table().await?;
        let mut weighty = good_row("web", "10.0.9.1:80");
        weighty.insert("incarnation".into(), s("seven"));
        let outside = good_row("web", "192.168.0.1:80");
        for row in [weighty, outside, good_row("web", "app.local:80"), good_row("a/b", "10.0.9.2:80")] {
            table.put(row).await?;
        }
        let mut foreign = good_row("web", "10.0.7.1:80");
        foreign.remove("incarnation");
        foreign.insert("expire_time".into(), n(e2e::clock::epoch_seconds() + 60));
        table.put(foreign).await?;
        for (service, at, why) in [
            ("web", "10.0.9.1:80", "incarnation"),
            ("web", "192.168.0.1:80", "SDS_CIDRS"),
            ("web", "app.local:80", "not an IPv4"),
            ("a%2Fb", "10.0.9.2:80", "not a service name"),
        ] {
            let told = until("the row to be named", SOON, async || {
                raw::request(api.addr, "GET", &native_path(service, at), b"").await?.expect(200)?.json()
            })
            .await?;
            ensure!(told["state"] == "quarantined" && listed(&told) == [false; 3], "{told}");
            ensure!(told["quarantine"].as_str().is_some_and(|reason| reason.contains(why)), "{told}");
        }
        let told = until_state(&api, "10.0.7.1:80", "in service").await?;
        ensure!(told["because"].as_str().is_some_and(|because| because.contains("another registry's row")), "{told}");
        ensure!(told["registrant"]["expires"].is_string(), "{told}");
        // No row, and no address: what is wrong with the words.
        let told =
            raw::request(api.addr, "GET", &native_path("web", "other.local:80"), b"").await?.expect(400)?.json()?;
        ensure!(told["field"] == "ip", "{told}");
        raw::request(api.addr, "GET", &native_path("web", "%ff"), b"").await?.expect(400).map(drop)
    });
}

#[test]
fn whom_another_replica_heard() {
    alone("whom_another_replica_heard", async |stage| {
        let store = Dynamo::in_memory(stage).await?;
        let replicas = replicas::start(stage, store.addr, 2, &[("SDS_LEASE", "3s")]).await?;
        let [one, two] = [&replicas[0].api, &replicas[1].api];
        let mut seq = 0;
        let by = until("the other one to have heard it", SOON, async || {
            seq += 1;
            one.put("web", AT, (1, seq), json!({})).await?.expect(200)?;
            let told = explain(two, AT).await?;
            let by = told["heard"]["by"].as_str().context("nobody heard it")?;
            ensure!(by != "this replica", "{told}");
            Ok(by.to_owned())
        })
        .await?;
        let log = format!("replica={by}");
        ensure!(replicas[0].api.process.log().find(&log).is_some(), "{by} is not the first one's name");
        ensure!(explain(one, AT).await?["heard"]["by"] == "this replica");
        let page = two.get(&format!("{}?format=text", native_path("web", AT))).await?.expect(200)?.text();
        ensure!(page.contains(&format!(" by {by}, lease 3.0s")), "{page}");
        // Killed, it is silent on both.
        for api in [one, two] {
            until_state(api, AT, "silent").await?;
        }
        ensure!(
            Duration::from_millis(explain(two, AT).await?["heard"]["age_ms"].as_u64().context("no age")?)
                >= Duration::from_secs(3)
        );
        Ok(())
    });
}
