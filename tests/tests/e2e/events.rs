//! What happened lately, as one replica saw it.

use anyhow::{Context, ensure};
use e2e::{
    api::{Api, native_path},
    wait::{SOON, until},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{alone, play};

const AT: &str = "10.0.0.1:80";

async fn events(api: &Api, query: &str) -> anyhow::Result<Value> {
    api.get(&format!("/v1/events{query}")).await?.expect(200)?.json()
}

/// `event` or `event: detail`, in order.
fn told(page: &Value) -> Vec<String> {
    let events = page["events"].as_array().into_iter().flatten();
    let text = |event: &Value| {
        let detail = event["detail"].as_str().map_or_else(String::new, |detail| format!(": {detail}"));
        format!("{}{detail}", event["event"].as_str().unwrap_or_default())
    };
    events.map(text).collect()
}

#[test]
fn a_life_is_told_in_order() {
    alone("a_life_is_told_in_order", async |stage| {
        let file = stage.file("data.sqlite");
        let env = [("SDS_LEASE", "2s"), ("SDS_DATA", file.to_str().context("not UTF-8")?)];
        let mut api = Api::start(stage, &env).await?;
        api.put("web", AT, (1, 1), json!({"task_arn": "task-1"})).await?.expect(200)?;
        api.put("web", AT, (1, 2), json!({"task_arn": "task-1"})).await?.expect(200)?;
        let sick = json!({"task_arn": "task-1", "health": "unhealthy", "weight": 7});
        api.put("web", AT, (1, 3), sick.clone()).await?.expect(200)?;
        let path = format!("{}/override", native_path("web", AT));
        let word = json!({"canary": true, "reason": "a test", "until": "2999-01-01T00:00:00Z", "for": null});
        api.json(Method::PUT, &path, &word).await?.expect(400)?;
        let word = json!({"canary": true, "reason": "a test"});
        api.json(Method::PUT, &path, &word).await?.expect(200)?;
        api.send(Method::DELETE, &path, &[], "").await?.expect(204)?;
        until("it to be silent", SOON, async || {
            let events = told(&events(&api, "?service=web").await?);
            ensure!(events.last().is_some_and(|last| last.starts_with("silent")), "{events:?}");
            Ok(())
        })
        .await?;
        api.put("web", AT, (1, 4), sick).await?.expect(200)?;
        api.put("web", AT, (2, 1), json!({"task_arn": "task-2"})).await?.expect(200)?;
        api.drain("web", AT, (2, 2)).await?.expect(200)?;
        api.delete("web", AT, (2, 3)).await?.expect(204)?;

        let page = events(&api, "?service=web").await?;
        let found = told(&page);
        let override_until = found.iter().find(|event| event.starts_with("override: canary true until ")).cloned();
        let expected = [
            "registered: healthy",
            "unhealthy: was healthy",
            "changed: weight unset -> 7",
            &override_until.context("no override")?,
            "changed: canary true",
            "override_ended: taken back",
            "changed: canary false",
            "silent: left the answers",
            "heard_again",
            "new_tenant: task-1 -> task-2",
            "healthy: was unhealthy",
            "changed: weight 7 -> unset, task_arn",
            "draining: was healthy",
            "changed: task_arn",
            "deregistered: its owner left",
        ];
        ensure!(found == expected, "{found:#?}");
        ensure!(page["events"][0]["endpoint"] == AT && page["events"][0]["service"] == "web", "{page}");

        // What a replica finds at its start is one event.
        api.put("web", AT, (3, 1), json!({})).await?.expect(200)?;
        api.process.stop(SOON).await?;
        let api = Api::start(stage, &env).await?;
        let page = events(&api, "").await?;
        ensure!(told(&page)[0] == "serving: 1 services, 1 instances", "{page}");
        Ok(())
    });
}

#[test]
fn pages_of_events() {
    play("pages_of_events", async |stage| {
        let api = Api::start(stage, &[]).await?;
        for nth in 1..=4 {
            let service = if nth == 4 { "other" } else { "web" };
            api.put(service, &format!("10.0.0.{nth}:80"), (1, 1), json!({})).await?.expect(200)?;
        }
        let numbers = |page: &Value| -> Vec<u64> {
            page["events"].as_array().into_iter().flatten().filter_map(|event| event["n"].as_u64()).collect()
        };
        let all = events(&api, "").await?;
        // Each registration is also a write, which only the audit shows.
        ensure!(numbers(&all) == [1, 3, 5, 7, 9] && all["last"] == 9 && told(&all)[0].starts_with("serving"), "{all}");
        ensure!(numbers(&events(&api, "?limit=2").await?) == [7, 9]);
        ensure!(numbers(&events(&api, "?service=web&limit=2").await?) == [5, 7]);
        ensure!(numbers(&events(&api, "?service=web&limit=2&audit=true").await?) == [6, 7]);
        let first = events(&api, "?after=1&limit=3").await?;
        ensure!(numbers(&first) == [3, 5, 7] && first["next"] == 7, "{first}");
        let rest = events(&api, "?after=7&limit=3").await?;
        ensure!(numbers(&rest) == [9] && rest.get("next").is_none(), "{rest}");
        ensure!(numbers(&events(&api, "?after=9").await?).is_empty());
        for bad in ["?limit=0", "?limit=1001", "?after=x", "?service=a/b"] {
            api.get(&format!("/v1/events{bad}")).await?.expect(400)?;
        }
        let page = api.get("/v1/events?format=text").await?.expect(200)?.text();
        ensure!(page.starts_with("N  AT ") && page.lines().count() == 6, "{page}");
        Ok(())
    });
}
