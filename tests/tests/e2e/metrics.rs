//! What Prometheus is told of the registry's state, as it is when it asks.

use e2e::{
    api::Api,
    dynamo::Dynamo,
    gate::Fault,
    replicas::Replica,
    wait::{SOON, until},
};

use anyhow::ensure;
use serde_json::json;

use crate::play;

#[test]
fn instances_are_counted_by_service_and_status_until_they_are_gone() {
    play("instances_are_counted_by_service_and_status_until_they_are_gone", async |stage| {
        let api = Api::start(stage, &[]).await?;
        let [one, two, three] = ["127.0.0.1:81", "127.0.0.1:82", "127.0.0.1:83"];
        api.put("web", one, (1, 1), json!({})).await?.expect(200)?;
        api.put("web", two, (1, 1), json!({"health": "unhealthy"})).await?.expect(200)?;
        api.put("db", three, (1, 1), json!({})).await?.expect(200)?;
        let count = async |service, status| {
            api.total("sds_service_instances", &[("service", service), ("status", status)]).await
        };
        let web = [count("web", "healthy").await?, count("web", "unhealthy").await?, count("web", "draining").await?];
        ensure!(web == [1.0, 1.0, 0.0] && count("db", "healthy").await? == 1.0, "{web:?}");
        api.drain("web", one, (1, 2)).await?.expect(200)?;
        ensure!(count("web", "healthy").await? == 0.0 && count("web", "draining").await? == 1.0);
        api.delete("web", one, (1, 3)).await?.expect(204)?;
        api.delete("web", two, (1, 3)).await?.expect(204)?;
        let text = api.get("/metrics").await?.expect(200)?.text();
        ensure!(!text.contains("service=\"web\"") && text.contains("service=\"db\""), "{text}");
        Ok(())
    });
}

#[test]
fn readiness_and_vouching_are_told() {
    play("readiness_and_vouching_are_told", async |stage| {
        let store = Dynamo::in_memory(stage).await?;
        let replica = Replica::start(stage, store.addr, &[("SDS_CONNECTIONS", "20")]).await?;
        let told =
            async || anyhow::Ok([replica.api.metric("sds_ready").await?, replica.api.metric("sds_vouching").await?]);
        ensure!(replica.api.metric("sds_connections_limit").await? == 20.0);
        let to_be = async |what: &str, wanted: [f64; 2]| {
            until(what, SOON, async || {
                let told = told().await?;
                ensure!(told == wanted, "{told:?}");
                Ok(())
            })
            .await
        };
        to_be("it to be ready and to vouch", [1.0, 1.0]).await?;
        // It hears, and cannot tell.
        replica.gate.strike(Fault::broken(), |request| request.operation() == "UpdateItem");
        to_be("it to vouch no longer", [1.0, 0.0]).await?;
        replica.gate.spare();
        to_be("it to vouch again", [1.0, 1.0]).await
    });
}
