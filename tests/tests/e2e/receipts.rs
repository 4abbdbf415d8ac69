//! Drain receipts: a drain is complete when everybody who routes by the registry knows of it, and not before; then the
//! sidecar waits for what is in flight, and no longer.

use std::time::Duration;

use anyhow::{Context, ensure};
use e2e::{
    api::{Api, native_path},
    app::App,
    dynamo::Dynamo,
    envoy::{Envoy, Guards, HealthChecks, Mode, Setup},
    replicas,
    sidecar::Sidecar,
    wait::{SOON, throughout, until},
    xds::{Delta, Sotw, connect, delta, refusal, sotw},
};
use futures_util::future::try_join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{alone, play};

/// All replicas know within a second (P1), and say so within another one.
const TOLD: Duration = Duration::from_secs(2);
/// Several looks at who knows.
const AWHILE: Duration = Duration::from_millis(700);
const AT: &str = "10.0.0.1:80";

/// `AT` of `web`, which is not alone there, begins to drain.
async fn drains(api: &Api) -> anyhow::Result<()> {
    is_told_to_wait(api, 1).await
}

async fn serves(api: &Api) -> anyhow::Result<()> {
    for at in [AT, "10.0.0.2:80"] {
        api.put("web", at, (1, 1), json!({})).await?.expect(200)?;
    }
    Ok(())
}

async fn receipts(api: &Api) -> anyhow::Result<Value> {
    api.get(&format!("{}/drain", native_path("web", AT))).await?.expect(200)?.json()
}

/// The drain is complete, and the sidecar is told so.
async fn completes(api: &Api, within: Duration) -> anyhow::Result<()> {
    until("the drain to be complete", within, async || {
        let receipts = receipts(api).await?;
        ensure!(receipts["complete"] == true && receipts["waiting_for"] == 0, "{receipts}");
        Ok(())
    })
    .await?;
    let told = api.drain("web", AT, (1, 9)).await?.expect(200)?.json()?;
    ensure!(told["drained"] == true, "{told}");
    Ok(())
}

/// Somebody like this may not know of it, and that stays so.
async fn waits_for(api: &Api, incarnation: u64, who: &Value) -> anyhow::Result<()> {
    throughout("the drain waits", AWHILE, async || {
        let receipts = receipts(api).await?;
        let waiting = receipts["waiting"].as_array().context("no list")?;
        let same = |it: &&Value| who.as_object().is_some_and(|who| who.iter().all(|(name, is)| it[name] == *is));
        ensure!(receipts["complete"] == false && waiting.iter().any(|it| same(&it)), "{receipts}");
        Ok(())
    })
    .await?;
    is_told_to_wait(api, incarnation).await
}

async fn is_told_to_wait(api: &Api, incarnation: u64) -> anyhow::Result<()> {
    let told = api.drain("web", AT, (incarnation, 2)).await?.expect(200)?.json()?;
    ensure!(told["drained"] == false, "{told}");
    Ok(())
}

#[test]
fn a_drain_waits_for_each_streams_word() {
    play("a_drain_waits_for_each_streams_word", async |stage| {
        let api = Api::start(stage, &[]).await?;
        serves(&api).await?;
        let channel = connect(api.addr).await?;
        let mut stream = Sotw::endpoints(&channel).await?;
        stream.say(sotw(&["web"], "")).await?;
        accepts(&mut stream).await?;
        let mut other = Sotw::aggregated(&channel).await?;
        other.say(sotw(&["other"], "")).await?;
        stream_next(&mut other).await?;
        ensure!(api.get(&format!("{}/drain", native_path("web", AT))).await?.status == 404, "nobody drains yet");

        drains(&api).await?;
        let told = stream_next(&mut stream).await?;
        waits_for(&api, 1, &json!({"who": "test", "asks": "sotw"})).await?;
        let mut refused = sotw(&["web"], &told);
        refused.error_detail = refusal("not this one");
        stream.say(refused).await?;
        until("the refusal to be heard", SOON, async || {
            ensure!(api.metric("sds_xds_nacks_total").await? == 1.0);
            Ok(())
        })
        .await?;
        waits_for(&api, 1, &json!({"who": "test"})).await?;
        // Another change, in which it drains all the same.
        api.put("web", "10.0.0.3:80", (1, 1), json!({})).await?.expect(200)?;
        accepts(&mut stream).await?;
        completes(&api, TOLD).await?;
        let text = api.get(&format!("{}/drain?format=text", native_path("web", AT))).await?.expect(200)?.text();
        ensure!(text.starts_with("everywhere    complete"), "{text}");
        Ok(())
    });
}

/// What comes next for `web` is accepted.
async fn accepts(stream: &mut Sotw) -> anyhow::Result<()> {
    let told = stream_next(stream).await?;
    stream.say(sotw(&["web"], &told)).await
}

async fn stream_next(stream: &mut Sotw) -> anyhow::Result<String> {
    Ok(stream.next(SOON).await?.nonce)
}

#[test]
fn a_drain_waits_for_the_streams_of_other_replicas() {
    play("a_drain_waits_for_the_streams_of_other_replicas", async |stage| {
        let store = Dynamo::in_memory(stage).await?;
        let replicas = replicas::start(stage, store.addr, 2, &[]).await?;
        let [here, there] = [&replicas[0].api, &replicas[1].api];
        serves(here).await?;
        there.until_status("web", "10.0.0.2:80", "healthy", SOON).await?;
        let mut stream = Delta::aggregated(&connect(there.addr).await?).await?;
        stream.say(delta(&["web"], &[], "")).await?;
        let first = stream.next(SOON).await?.nonce;
        stream.say(delta(&[], &[], &first)).await?;
        drains(here).await?;
        let told = stream.next(SOON).await?.nonce;
        throughout("the drain waits", AWHILE, async || {
            let receipts = receipts(here).await?;
            ensure!(receipts["complete"] == false, "{receipts}");
            Ok(())
        })
        .await?;
        is_told_to_wait(here, 1).await?;
        let receipts = receipts(here).await?;
        ensure!(receipts["here"] == true && receipts["others"][0]["complete"] == false, "{receipts}");
        stream.say(delta(&[], &[], &told)).await?;
        completes(here, TOLD).await?;
        completes(there, TOLD).await
    });
}

#[test]
fn a_drain_waits_for_the_next_poll_of_each_poller() {
    play("a_drain_waits_for_the_next_poll_of_each_poller", async |stage| {
        let api = Api::start(stage, &[]).await?;
        serves(&api).await?;
        let polls = async |who: &str, v1: bool| {
            let headers = [("x-forwarded-for", who), ("content-type", "application/json")];
            let body = json!({"resource_names": ["web"]}).to_string();
            let answer = match v1 {
                true => api.send(Method::GET, "/v1/registration/web", &headers, "").await?,
                false => api.send(Method::POST, "/v3/discovery:endpoints", &headers, body).await?,
            };
            answer.expect(200).map(drop)
        };
        for (who, v1) in [("10.1.0.1", true), ("10.1.0.2", false), ("10.1.0.3", true)] {
            polls(who, v1).await?;
        }
        drains(&api).await?;
        waits_for(&api, 1, &json!({"who": "10.1.0.1", "asks": "v1"})).await?;
        polls("10.1.0.1", true).await?;
        waits_for(&api, 1, &json!({"who": "10.1.0.2", "asks": "eds"})).await?;
        polls("10.1.0.2", false).await?;
        waits_for(&api, 1, &json!({"who": "10.1.0.3"})).await?;
        polls("10.1.0.3", true).await?;
        completes(&api, TOLD).await?;

        // A list that has nobody else goes on with those that drain.
        api.delete("web", "10.0.0.2:80", (1, 2)).await?.expect(204)?;
        api.delete("web", AT, (1, 10)).await?.expect(204)?;
        api.put("web", AT, (2, 1), json!({})).await?.expect(200)?;
        polls("10.1.0.2", false).await?;
        api.drain("web", AT, (2, 2)).await?.expect(200)?;
        for (who, v1) in [("10.1.0.1", true), ("10.1.0.2", false), ("10.1.0.3", true)] {
            polls(who, v1).await?;
        }
        waits_for(&api, 2, &json!({"who": "10.1.0.1", "asks": "v1"})).await?;
        let last = receipts(&api).await?;
        ensure!(last["waiting_for"] == 2, "it is told the health: {last}");
        Ok(())
    });
}

/// It goes on with what it has until it has found the registry again.
#[test]
fn a_drain_waits_a_while_for_a_stream_that_has_ended() {
    play("a_drain_waits_a_while_for_a_stream_that_has_ended", async |stage| {
        const MISSED: Duration = Duration::from_secs(5);
        let api = Api::start(stage, &[]).await?;
        serves(&api).await?;
        let mut stream = Sotw::endpoints(&connect(api.addr).await?).await?;
        stream.say(sotw(&["web"], "")).await?;
        accepts(&mut stream).await?;
        drains(&api).await?;
        drop(stream);
        let ended = Instant::now();
        waits_for(&api, 1, &json!({"who": "test"})).await?;
        completes(&api, MISSED + TOLD).await?;
        ensure!(ended.elapsed() > MISSED - Duration::from_millis(500), "after {:?}", ended.elapsed());
        Ok(())
    });
}

#[test]
fn a_sidecar_waits_for_what_is_in_flight_and_not_for_the_linger() {
    alone("a_sidecar_waits_for_what_is_in_flight_and_not_for_the_linger", async |stage| {
        const INFLIGHT: Duration = Duration::from_secs(1);
        const LINGER: Duration = Duration::from_secs(10);
        let store = Dynamo::in_memory(stage).await?;
        let replicas = replicas::start(stage, store.addr, 2, &[]).await?;
        let (apps, [here, there]) = ([App::start(stage, "a").await?, App::start(stage, "b").await?], [0, 1]);
        let modes = [(Mode::DeltaAds, there), (Mode::Ads, here), (Mode::Rest(Duration::from_millis(250)), here)];
        let env = [("SDS_INFLIGHT", "1s"), ("SDS_LINGER", "10s")];
        let mut sidecars = Vec::new();
        for app in &apps {
            sidecars.push(Sidecar::start(stage, replicas[here].api.addr, "web", app, &env).await?);
        }
        let known = async |app: &App| {
            let at = app.endpoint();
            try_join_all(replicas.iter().map(|it| it.api.until_status("web", &at, "healthy", SOON))).await.map(drop)
        };
        known(&apps[0]).await?;
        known(&apps[1]).await?;
        let mut envoys = Vec::new();
        for (mode, nth) in modes {
            let (replicas, services) = (vec![replicas[nth].api.addr], vec!["web".to_owned()]);
            let setup = Setup { replicas, services, mode, checks: HealthChecks::Off, guards: Guards::default() };
            envoys.push(Envoy::set_up(stage, &setup).await?);
        }
        for envoy in &envoys {
            envoy.until_equal(&replicas[here].api, SOON).await?;
        }
        let start = Instant::now();
        let status = sidecars[0].process.stop(SOON + LINGER).await?;
        let took = start.elapsed();
        println!("with receipts the drain took {took:.1?}");
        ensure!(status.success() && took >= INFLIGHT && took < INFLIGHT + TOLD, "{status} after {took:?}");

        // A replica that stops without a word may have clients that nobody else can ask.
        let app = App::start(stage, "c").await?;
        let mut last = Sidecar::start(stage, replicas[here].api.addr, "web", &app, &env).await?;
        known(&app).await?;
        replicas[there].freeze()?;
        let start = Instant::now();
        let status = last.process.stop(SOON + LINGER).await?;
        ensure!(status.success() && start.elapsed() >= LINGER, "{status} after {:?}", start.elapsed());
        replicas[there].thaw()
    });
}
