//! Rows that no API of ours would have written, put straight into the table: each is left out, counted and named, its
//! neighbours are served, and no Envoy refuses an answer because of it.

use std::time::Duration;

use anyhow::{Context, ensure};
use aws_sdk_dynamodb::types::AttributeValue;
use e2e::{
    api::Api,
    envoy::Envoy,
    table::{Item, good_row, n, s},
    wait::{SOON, until},
};
use serde_json::json;

use crate::play;

const GOOD: &str = "10.0.0.1:80";
const STRAIGHT: &str = "10.0.1.1:80";
const FOREIGN: &str = "10.0.7.1:80";

fn spoilt() -> Vec<Item> {
    let weight = |value: AttributeValue| AttributeValue::M([("load_balancing_weight".to_owned(), value)].into());
    let mut rows: Vec<Item> =
        ["app.local:80", "10.0.9.1:0", "10.0.9.1:abc", "010.0.9.1:80", "10.0.9.1", "239.0.0.1:80"]
            .map(|ip_port| good_row("web", ip_port))
            .into();
    rows.push(good_row("a/b", "10.0.9.2:80"));
    let changes = [
        ("tags", Some(weight(n(0)))),
        ("tags", Some(weight(n(101)))),
        ("tags", Some(weight(n("1.5")))),
        ("tags", Some(weight(s("5")))),
        ("tags", Some(weight(AttributeValue::Null(true)))),
        ("tags", Some(s("az=a"))),
        ("status", Some(s("FINE"))),
        ("status", Some(n(1))),
        ("status", None),
        ("seq", None),
        ("rev", Some(s("x"))),
        ("incarnation", Some(s("1"))),
        ("incarnation", Some(n(-1))),
        ("revision", Some(s(&"x".repeat(390_000)))),
        ("revision", Some(s("a\nb"))),
    ];
    for (nth, (name, value)) in changes.into_iter().enumerate() {
        let mut row = good_row("web", &format!("10.0.8.{}:80", nth + 1));
        match value {
            Some(value) => row.insert(name.to_owned(), value),
            None => row.remove(name),
        };
        rows.push(row);
    }
    rows
}

#[test]
fn a_bad_row_harms_nobody() {
    play("a_bad_row_harms_nobody", async |stage| {
        let file = stage.file("data.sqlite");
        let env = [("SDS_FULL_READ", "200ms"), ("SDS_DATA", file.to_str().context("not UTF-8")?)];
        let mut api = Api::start(stage, &env).await?;
        let envoy = Envoy::start(stage, api.addr, "web", Duration::from_millis(200)).await?;
        api.put("web", GOOD, (1, 1), json!({})).await?.expect(200)?;
        let table = api.table().await?;
        let bad = spoilt();
        for row in &bad {
            table.put(row.clone()).await?;
        }
        // A row that is well, with attributes of a newer release.
        let mut newer = good_row("web", STRAIGHT);
        newer.insert("of_a_newer_release".into(), AttributeValue::M([("a".to_owned(), n(1))].into()));
        newer.insert("fmt".into(), n(2));
        table.put(newer).await?;
        // An ancestor's row: no incarnation. Served while it has not expired, and counted apart.
        let mut foreign = good_row("web", FOREIGN);
        foreign.remove("incarnation");
        table.put(foreign).await?;

        counted(&api, bad.len()).await?;
        ensure!(api.v1_endpoints("web").await? == [GOOD, FOREIGN], "v1 has {:?}", api.v1_endpoints("web").await?);
        envoy.until_equal(&api, SOON).await?;
        for row in &bad {
            let key = row["ip_port"].as_s().map_err(|_| anyhow::anyhow!("no key"))?;
            ensure!(api.process.log().find(key).is_some(), "the log does not name {key}");
        }

        // The same rows meet a registry that starts: its first read takes what is well for alive.
        api.process.stop(SOON).await?;
        let addr = api.addr.to_string();
        let api = Api::start(stage, &[&env[..], &[("SDS_LISTEN", &addr)]].concat()).await?;
        counted(&api, bad.len()).await?;
        ensure!(
            api.v1_endpoints("web").await? == [GOOD, STRAIGHT, FOREIGN],
            "v1 has {:?}",
            api.v1_endpoints("web").await?
        );
        envoy.until_equal(&api, SOON).await?;
        envoy.polled(2).await?;
        ensure!(envoy.stat("update_rejected").await? == 0, "Envoy refused an answer");
        Ok(())
    });
}

#[test]
fn a_bad_row_gives_way_to_the_owner_of_its_address() {
    play("a_bad_row_gives_way_to_the_owner_of_its_address", async |stage| {
        let mut api = Api::start(stage, &[]).await?;
        let table = api.table().await?;
        let mut typed_wrong = good_row("web", GOOD);
        typed_wrong.insert("incarnation".into(), s("seven"));
        table.put(typed_wrong).await?;
        api.put("web", GOOD, (5, 1), json!({})).await?.expect(200)?;

        let mut ahead = good_row("web", STRAIGHT);
        ahead.extend([("incarnation".to_owned(), n(9)), ("status".to_owned(), s("FINE"))]);
        table.put(ahead).await?;
        let told = api.put("web", STRAIGHT, (5, 1), json!({})).await?.expect(409)?.json()?;
        ensure!(told["current"]["incarnation"] == 9, "{told}");
        api.put("web", STRAIGHT, (10, 2), json!({})).await?.expect(200)?;
        ensure!(api.v1_endpoints("web").await? == [GOOD, STRAIGHT]);
        Ok(())
    });
}

async fn counted(api: &Api, bad: usize) -> anyhow::Result<()> {
    until("the bad rows to be counted", SOON, async || {
        let (counted, foreign) = (api.metric("sds_bad_rows").await?, api.metric("sds_foreign_rows").await?);
        ensure!(counted == f64::from(u32::try_from(bad)?), "{counted} of {bad} bad rows");
        ensure!(foreign == 1.0, "{foreign} foreign rows");
        Ok(())
    })
    .await
}
