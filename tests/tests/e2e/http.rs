//! What every answer has, and the pages for people and their machines.

use anyhow::ensure;
use e2e::api::Api;
use reqwest::Method;
use serde_json::json;

use crate::play;

#[test]
fn each_answer_has_an_id() {
    play("each_answer_has_an_id", async |stage| {
        let api = Api::start(stage, &[]).await?;
        let own = api.send(Method::GET, "/readyz", &[("x-request-id", "my-id-1")], "").await?;
        ensure!(own.header("x-request-id") == "my-id-1", "{}", own.header("x-request-id"));
        for odd in ["a b", "", &"x".repeat(129)] {
            let answer = api.send(Method::GET, "/readyz", &[("x-request-id", odd)], "").await?;
            let id = answer.header("x-request-id");
            ensure!(id.len() == 16 && id != odd, "{id}");
        }
        let (one, two) = (api.get("/readyz").await?, api.get("/readyz").await?);
        ensure!(one.header("x-request-id") != two.header("x-request-id"), "ids repeat");
        Ok(())
    });
}

#[test]
fn pages_for_people() {
    play("pages_for_people", async |stage| {
        let api = Api::start(stage, &[]).await?;
        api.put("web", "10.0.0.1:80", (1, 1), json!({})).await?.expect(200)?;
        let usage = api.get("/").await?.expect(200)?.text();
        for words in ["curl", "/v1/registration/", "/v1/services", "/v3/discovery:endpoints", "/metrics", "/livez"] {
            ensure!(usage.contains(words), "the usage page does not say {words}:\n{usage}");
        }
        for (path, word) in [("/hc", "ok"), ("/healthcheck", "OK")] {
            ensure!(api.get(path).await?.expect(200)?.text() == word);
        }
        let metrics = api.get("/metrics").await?.expect(200)?.text();
        ensure!(metrics.lines().all(|line| line.starts_with('#') || line.starts_with("sds_")), "{metrics}");
        Ok(())
    });
}
