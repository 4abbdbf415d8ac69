//! The clients of kumonos-sds work unchanged: their statuses and their bodies, to the byte.

use anyhow::ensure;
use e2e::{api::Api, golden};
use reqwest::Method;
use serde_json::{Value, json};

use crate::play;

#[test]
fn kumonos_dialect_to_the_byte() {
    play("kumonos_dialect_to_the_byte", async |stage| {
        let api = Api::start(stage, &[]).await?;
        golden::play(api.addr, include_str!("golden/kumonos.txt")).await
    });
}

#[test]
fn a_long_list_comes_to_its_end_by_repetition() {
    play("a_long_list_comes_to_its_end_by_repetition", async |stage| {
        let api = Api::start(stage, &[]).await?;
        let hosts: Vec<Value> =
            (0..400).map(|n| json!({"ip_address": format!("10.0.{}.{}", n / 250, n % 250 + 1), "port": 80})).collect();
        let list = json!({"hosts": hosts});
        // What did not fit into one answer's time is answered 503 and goes on; the client says it again, as it does anyway.
        let repeat = async |path: &str| {
            for _ in 0..40 {
                let answer = api.json(Method::POST, path, &list).await?;
                match answer.status {
                    201 => return Ok(()),
                    status => ensure!(status == 503 && answer.header("retry-after") == "1", "{}", answer.text()),
                }
            }
            anyhow::bail!("{path} never came to an end")
        };
        repeat("/v1/registration/web").await?;
        ensure!(api.v1("web").await?.len() == 400);
        repeat("/v1/deregistration/web").await?;
        ensure!(api.v1("web").await?.is_empty());
        Ok(())
    });
}
