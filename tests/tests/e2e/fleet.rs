//! The harness's own registrants: to the registry they are sidecars.

use std::time::Duration;

use anyhow::ensure;
use e2e::{
    api::Api,
    fleet::{Fleet, Registrant, Spec},
    wait::{SOON, throughout, until},
};
use serde_json::json;

use crate::alone;

const LEASE: (&str, &str) = ("SDS_LEASE", "3s");
const GONE: Duration = Duration::from_secs(3 + 2);

#[test]
fn a_fleet_lives_and_dies_as_sidecars_do() {
    alone("a_fleet_lives_and_dies_as_sidecars_do", async |stage| {
        let api = Api::start(stage, &[LEASE]).await?;
        let specs = (0..100).map(|nth| Spec::new("web", nth).zone("a"));
        let fleet = Fleet::start(specs, &[api.addr], Duration::from_secs(1));
        fleet.registered(SOON).await?;
        throughout("all are heard", Duration::from_secs(5), async || {
            let listed = api.v1("web").await?.len();
            ensure!(listed == 100, "{listed} are listed");
            Ok(())
        })
        .await?;
        let is = async |one: &Registrant, status: &str, within: Duration| {
            api.until_status("web", &one.spec.at, status, within).await
        };
        let [drained, left, killed, silent, changed, ..] = &fleet.all[..] else { anyhow::bail!("too few") };
        changed.change(json!({"health": "unhealthy"}));
        is(changed, "unhealthy", SOON).await?;
        drained.drain();
        is(drained, "draining", SOON).await?;
        left.leave();
        is(left, "absent", GONE / 2).await?;
        killed.kill();
        silent.silence();
        is(killed, "absent", GONE).await?;
        is(silent, "absent", GONE).await?;
        silent.serve();
        is(silent, "healthy", SOON).await?;
        // Who has said goodbye comes back as somebody new.
        left.serve();
        is(left, "healthy", SOON).await?;
        ensure!(left.seen().incarnation == left.spec.incarnation + 1);
        is(drained, "draining", SOON).await?;
        let sum = fleet.sum();
        ensure!(sum.failed == 0 && sum.refused == 0 && sum.superseded == 0, "{sum:?}");
        Ok(())
    });
}

#[test]
fn a_registrant_overtakes_a_ghost_and_changes_its_replica() {
    alone("a_registrant_overtakes_a_ghost_and_changes_its_replica", async |stage| {
        let mut dead = Api::start(stage, &[LEASE]).await?;
        let api = Api::start(stage, &[LEASE]).await?;
        let spec = Spec::new("web", 0);
        let ghost = spec.incarnation + 1_000_000;
        api.put("web", &spec.at, (ghost, 1), json!({"weight": 9})).await?.expect(200)?;
        let fleet = Fleet::start([spec], &[dead.addr, api.addr], Duration::ZERO);
        fleet.registered(SOON).await?;
        dead.process.kill().await?;
        let one = &fleet.all[0];
        until("it to be registered at the other one", SOON, async || {
            let instances = api.instances("web").await?;
            let weight = &instances[&one.spec.at]["weight"];
            ensure!(weight.is_null() && one.seen().incarnation == ghost + 1, "{weight}, {:?}", one.seen());
            Ok(())
        })
        .await?;
        ensure!(one.seen().superseded == 1, "{:?}", one.seen());
        Ok(())
    });
}
