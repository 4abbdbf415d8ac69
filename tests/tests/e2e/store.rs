//! One suite of what the registry promises about races, repeats and restarts, run against two DynamoDB emulators that
//! share no code. It speaks to a real registry over HTTP and looks into the table with the SDK.

use anyhow::{Context, ensure};
use e2e::{
    api::Api,
    emulator::Emulator,
    stage::Stage,
    table::{Item, Table},
    wait::{SOON, until},
};
use futures_util::future::try_join_all;
use serde_json::json;

use crate::play;

const TABLE: &str = "sds-suite";
const AT: &str = "10.0.0.1:80";

#[test]
fn on_the_embedded_store() {
    play("on_the_embedded_store", async |stage| {
        let file = stage.file("data.sqlite");
        let env = [("SDS_DATA", file.to_str().context("not UTF-8")?), ("DDB_TABLE", TABLE)];
        let mut api = Api::start(stage, &env).await?;
        let table = Table::new(&api.store().await?, TABLE);
        suite(&api, &table).await?;
        let rows = table.rows().await?;
        survives(stage, api, &env).await?;
        let mut again = Api::start(stage, &env).await?;
        let table = Table::new(&again.store().await?, TABLE);
        ensure!(table.rows().await? == rows, "restarts changed rows");
        Ok(())
    });
}

#[test]
fn on_the_second_emulator() {
    play("on_the_second_emulator", async |stage| {
        let emulator = Emulator::start(stage).await?;
        let env = [
            ("SDS_STORE", "dynamodb"),
            ("DDB_TABLE", TABLE),
            ("SDS_CREATE_TABLE", "true"),
            ("AWS_ENDPOINT_URL_DYNAMODB", &emulator.endpoint),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ];
        let api = Api::start(stage, &env).await?;
        let table = Table::new(&emulator.endpoint, TABLE);
        suite(&api, &table).await?;
        let rows = table.rows().await?;
        survives(stage, api, &env).await?;
        ensure!(table.rows().await? == rows, "restarts changed rows");
        Ok(())
    });
}

async fn suite(api: &Api, table: &Table) -> anyhow::Result<()> {
    life(api, table).await.context("one life")?;
    tombstone(api, table).await.context("after a life")?;
    supersede(api, table).await.context("two incarnations")?;
    overtaken(api, table).await.context("a DELETE before its PUT")?;
    late(api, table).await.context("requests out of order")?;
    crowd(api, table).await.context("1,000 at once")
}

async fn row(table: &Table, service: &str) -> anyhow::Result<Item> {
    table.row(service, AT).await?.with_context(|| format!("no row {service}/{AT}"))
}

async fn life(api: &Api, table: &Table) -> anyhow::Result<()> {
    let told = api.put("life", AT, (1, 1), json!({"weight": 5, "revision": "r1"})).await?.expect(200)?.json()?;
    ensure!(told["lease_ms"] == 30_000 && told["heartbeat_ms"] == 10_000, "{told}");
    // A replica that has just created its table reads it at its next round only, and passes nobody on before.
    until("what it hears to be passed on", SOON, async || {
        let told = api.put("life", AT, (1, 1), json!({"weight": 5, "revision": "r1"})).await?.expect(200)?.json()?;
        ensure!(told["vouched"] == true, "{told}");
        Ok(())
    })
    .await?;
    let written = row(table, "life").await?;
    for name in ["incarnation", "seq", "rev", "status", "revision", "last_check_in", "tags", "origin", "fmt"] {
        ensure!(written.contains_key(name), "the row has no {name}: {written:?}");
    }
    ensure!(written.contains_key("expire_time"), "DynamoDB would keep the row for ever");

    // A repeat and a heartbeat write nothing; the content version stands.
    for seq in [1, 2, 3] {
        let same = api.put("life", AT, (1, seq), json!({"weight": 5, "revision": "r1"})).await?.expect(200)?.json()?;
        ensure!(same["version"] == told["version"], "a heartbeat moved the version");
    }
    ensure!(row(table, "life").await? == written, "a heartbeat wrote the row");

    // A change writes, and what is no longer said is gone.
    let changed = api.put("life", AT, (1, 4), json!({"weight": 6})).await?.expect(200)?.json()?;
    ensure!(changed["version"] != told["version"], "a new weight kept the version");
    let instance = &api.instances("life").await?[AT];
    ensure!(instance["weight"] == 6 && instance["revision"] == "", "{instance}");

    // Draining is left only by a higher incarnation.
    api.drain("life", AT, (1, 5)).await?.expect(200)?;
    api.drain("life", AT, (1, 6)).await?.expect(200)?;
    api.put("life", AT, (1, 7), json!({})).await?.expect(200)?;
    ensure!(api.status("life", AT).await? == "draining");
    api.put("life", AT, (2, 1), json!({})).await?.expect(200)?;
    ensure!(api.status("life", AT).await? == "healthy");
    Ok(())
}

async fn tombstone(api: &Api, table: &Table) -> anyhow::Result<()> {
    api.put("gone", AT, (1, 1), json!({})).await?.expect(200)?;
    api.delete("gone", AT, (1, 2)).await?.expect(204)?;
    ensure!(api.status("gone", AT).await? == "absent");
    let stone = row(table, "gone").await?;
    ensure!(stone.contains_key("gone"), "no tombstone: {stone:?}");
    api.delete("gone", AT, (1, 2)).await?.expect(204)?;
    api.delete("gone", AT, (1, 3)).await?.expect(204)?;

    // Whoever comes late with the same incarnation finds it closed.
    let late = api.put("gone", AT, (1, 9), json!({})).await?.expect(409)?.json()?;
    ensure!(late["id"] == "Superseded" && late["current"]["incarnation"] == 1, "{late}");
    api.drain("gone", AT, (1, 10)).await?.expect(409)?;
    ensure!(api.status("gone", AT).await? == "absent");
    ensure!(row(table, "gone").await?.contains_key("gone"));

    // A new incarnation may come, and is whole.
    api.put("gone", AT, (2, 1), json!({})).await?.expect(200)?;
    ensure!(api.status("gone", AT).await? == "healthy");
    ensure!(!row(table, "gone").await?.contains_key("gone"));
    api.delete("gone", AT, (2, 2)).await?.expect(204).map(drop)
}

async fn supersede(api: &Api, table: &Table) -> anyhow::Result<()> {
    api.put("two", AT, (5, 1), json!({"revision": "new"})).await?.expect(200)?;
    let before = row(table, "two").await?;
    for answer in [
        api.put("two", AT, (4, 9), json!({"revision": "old"})).await?,
        api.drain("two", AT, (4, 10)).await?,
        api.delete("two", AT, (4, 11)).await?,
    ] {
        let body = answer.expect(409)?.json()?;
        ensure!(body["id"] == "Superseded" && body["current"] == json!({"incarnation": 5, "seq": 1}), "{body}");
        ensure!(body["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{body}");
    }
    ensure!(row(table, "two").await? == before, "an old incarnation changed the row");
    api.put("two", AT, (6, 1), json!({"revision": "newer"})).await?.expect(200)?;
    ensure!(api.instances("two").await?[AT]["revision"] == "newer");
    Ok(())
}

async fn overtaken(api: &Api, table: &Table) -> anyhow::Result<()> {
    api.delete("over", AT, (1, 2)).await?.expect(204)?;
    ensure!(row(table, "over").await?.contains_key("gone"));
    api.put("over", AT, (1, 1), json!({})).await?.expect(409)?;
    ensure!(api.status("over", AT).await? == "absent");
    api.put("over", AT, (2, 1), json!({})).await?.expect(200).map(drop)
}

async fn late(api: &Api, table: &Table) -> anyhow::Result<()> {
    api.put("late", AT, (1, 5), json!({"weight": 50})).await?.expect(200)?;
    let before = row(table, "late").await?;
    api.put("late", AT, (1, 4), json!({"weight": 40})).await?.expect(200)?;
    ensure!(row(table, "late").await? == before, "an older request changed the row");
    ensure!(api.instances("late").await?[AT]["weight"] == 50);
    Ok(())
}

async fn crowd(api: &Api, table: &Table) -> anyhow::Result<()> {
    let all = try_join_all((0..1000).map(|_| api.put("crowd", AT, (1, 1), json!({})))).await?;
    for answer in all {
        answer.expect(200)?;
    }
    ensure!(api.instances("crowd").await?.len() == 1);
    let keys: Vec<_> = table.rows().await?.into_keys().filter(|key| key.starts_with("crowd/")).collect();
    ensure!(keys == [format!("crowd/{AT}")], "{keys:?}");
    Ok(())
}

/// Kills the registry and starts it again on the same table: what stood stands, what was closed stays closed.
async fn survives(stage: &Stage, mut api: Api, env: &[(&str, &str)]) -> anyhow::Result<()> {
    let services = ["life", "gone", "two", "over", "late", "crowd"];
    let mut before = Vec::new();
    for service in services {
        before.push((api.eds("v3", &[service], "").await?.expect(200)?.json()?, api.v1_endpoints(service).await?));
    }
    api.process.kill().await?;
    let mut api = Api::start(stage, env).await?;
    for (service, before) in services.into_iter().zip(before) {
        // The version too: it hashes the content, which a restart does not change.
        let now = (api.eds("v3", &[service], "").await?.expect(200)?.json()?, api.v1_endpoints(service).await?);
        ensure!(now == before, "{service} was {before:?}, is {now:?}");
    }
    api.put("gone", AT, (2, 9), json!({})).await?.expect(409)?;
    api.put("two", AT, (5, 9), json!({})).await?.expect(409)?;
    let status = api.process.stop(e2e::wait::SOON).await?;
    ensure!(status.success(), "the registry ended with {status}");
    Ok(())
}
