//! What the registry makes of single calls of the store that go wrong: it tries again while a request can wait, tells one
//! kind of trouble from another, and does nothing that nobody waits for any more.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, ensure};
use e2e::{
    dynamo::Dynamo,
    gate::Fault,
    replicas::{Replica, TABLE},
    stage::Stage,
    wait::{SOON, until},
    wire::Message,
};
use futures_util::future::try_join_all;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::alone;

async fn one(stage: &Stage) -> anyhow::Result<(Dynamo, Replica)> {
    let store = Dynamo::in_memory(stage).await?;
    let replica = Replica::start(stage, store.addr, &[]).await?;
    replica.ready(SOON).await?;
    Ok((store, replica))
}

/// A write of the row at this address, not of a header that tells of it.
fn writes(at: &str) -> impl FnMut(&Message) -> bool + Send + use<> {
    let row = format!(r#""ip_port":{{"S":"{at}"}}"#);
    move |request| request.operation() == "UpdateItem" && request.says(&row) && !request.says("#replica")
}

#[test]
fn one_call_that_goes_wrong_is_made_again() {
    alone("one_call_that_goes_wrong_is_made_again", async |stage| {
        let (store, replica) = one(stage).await?;
        let faults = [Fault::broken(), Fault::throttled(), Fault::garbage(), Fault::Lost, Fault::Unanswered];
        for (nth, fault) in faults.into_iter().chain([Fault::Truncated(0), Fault::Truncated(100)]).enumerate() {
            let (at, how) = (format!("10.0.0.{}:80", nth + 1), format!("{fault:?}"));
            replica.gate.strike_once(fault, writes(&at));
            let start = Instant::now();
            // Where only the answer was lost, the second try finds the first one's row: that is no lost race.
            replica.api.put("web", &at, (1, 1), json!({"weight": 7})).await?.expect(200).context(how.clone())?;
            ensure!(start.elapsed() < Duration::from_secs(1), "{how}: it took {:?}", start.elapsed());
            ensure!(replica.api.v1_endpoints("web").await?.contains(&at), "{how}");
            ensure!(store.table(TABLE).row("web", &at).await?.is_some(), "{how}");
            replica.gate.spare();
        }
        Ok(())
    });
}

#[test]
fn throttling_an_outage_and_a_refusal_are_told_apart() {
    alone("throttling_an_outage_and_a_refusal_are_told_apart", async |stage| {
        let (_store, replica) = one(stage).await?;
        let cases = [
            (Fault::throttled(), "StoreThrottled", "throttled", 2..=3),
            (
                Fault::error(400, "com.amazonaws.dynamodb.v20120810#RequestLimitExceeded"),
                "StoreThrottled",
                "throttled",
                2..=3,
            ),
            (
                Fault::error(429, "com.amazon.coral.availability#ThrottlingException"),
                "StoreThrottled",
                "throttled",
                2..=3,
            ),
            (Fault::broken(), "StoreUnavailable", "failed", 2..=3),
            (Fault::Lost, "StoreUnavailable", "failed", 2..=2),
            // Nothing is to be hoped of another try.
            (Fault::denied(), "StoreUnavailable", "denied", 1..=1),
            (Fault::no_table(), "StoreUnavailable", "denied", 1..=1),
            (Fault::error(400, "com.amazon.coral.service#ExpiredTokenException"), "StoreUnavailable", "denied", 1..=1),
        ];
        for (fault, id, outcome, tries) in cases {
            let how = format!("{fault:?}");
            let name = format!(r#"sds_store_calls_total{{call="UpdateItem",outcome="{outcome}"}}"#);
            let before = (replica.gate.struck(), replica.api.metric(&name).await.unwrap_or(0.0));
            replica.gate.strike(fault, writes("10.0.0.1:80"));
            let start = Instant::now();
            let answer =
                replica.api.put("web", "10.0.0.1:80", (1, 1), json!({})).await?.expect(503).context(how.clone())?;
            ensure!(start.elapsed() < Duration::from_secs(1), "{how}: it took {:?}", start.elapsed());
            ensure!(answer.headers.contains_key("retry-after") && answer.json()?["id"] == id, "{how}: {answer:?}");
            let struck = replica.gate.struck() - before.0;
            ensure!(tries.contains(&struck), "{how}: {struck} tries");
            let counted = replica.api.metric(&name).await? - before.1;
            ensure!(counted >= struck as f64, "{how}: {counted} of {struck} counted as {outcome}");
            replica.gate.spare();
        }
        // Nothing was done, and nothing stands in the way.
        replica.api.put("web", "10.0.0.1:80", (1, 1), json!({})).await?.expect(200).map(drop)
    });
}

#[test]
fn connections_that_died_in_silence_cost_a_try_and_no_more() {
    alone("connections_that_died_in_silence_cost_a_try_and_no_more", async |stage| {
        let (_store, replica) = one(stage).await?;
        let put = async |nth: usize| {
            let at = format!("10.0.{}.{}:80", nth / 256, nth % 256);
            replica.api.put("web", &at, (1, 1), json!({})).await
        };
        for answer in try_join_all((1..=16).map(put)).await? {
            answer.expect(200)?;
        }
        let before = replica.gate.accepted().len();
        ensure!(before > 8, "only {before} connections to lose");
        replica.gate.forget();
        for nth in 100..110 {
            let start = Instant::now();
            put(nth).await?.expect(200).with_context(|| format!("{nth}, after {:?}", start.elapsed()))?;
        }
        Ok(())
    });
}

#[test]
fn a_process_that_was_stopped_does_not_go_on_with_what_nobody_waits_for() {
    alone("a_process_that_was_stopped_does_not_go_on_with_what_nobody_waits_for", async |stage| {
        let (store, replica) = one(stage).await?;
        let sent = Arc::new(AtomicUsize::new(0));
        let counts = {
            let (sent, mut writes) = (sent.clone(), writes("10.0.0.1:80"));
            move |request: &Message| writes(request) && sent.fetch_add(1, Ordering::SeqCst) == 0
        };
        // The first try is lost; the second would be made 0.4 s later.
        replica.gate.strike(Fault::Lost, counts);
        let write = async { replica.api.put("web", "10.0.0.1:80", (1, 1), json!({})).await };
        let stop = async {
            until("the first try", SOON, async || {
                ensure!(sent.load(Ordering::SeqCst) == 1, "not yet");
                Ok(())
            })
            .await?;
            replica.freeze()?;
            // The pause itself is what is tested: it is longer than any request waits.
            sleep(Duration::from_millis(1500)).await;
            replica.thaw()
        };
        let (answer, stopped) = tokio::join!(write, stop);
        stopped?;
        answer?.expect(503)?;
        let rounds = r#"sds_store_calls_total{call="Query",outcome="ok"}"#;
        // Before its first round there is no such counter.
        let before = replica.api.metric(rounds).await.unwrap_or(0.0);
        until("it to run again", SOON, async || {
            ensure!(replica.api.metric(rounds).await? > before + 2.0, "not yet");
            Ok(())
        })
        .await?;
        ensure!(sent.load(Ordering::SeqCst) == 1, "it was tried again");
        ensure!(store.table(TABLE).row("web", "10.0.0.1:80").await?.is_none(), "it was written");
        replica.api.put("web", "10.0.0.1:80", (1, 2), json!({})).await?.expect(200).map(drop)
    });
}
