//! The registry or the metadata away: a sidecar waits politely, no task ends, and afterwards everybody is there again.

use e2e::scenario::{
    blind,
    outage::{self, Away, LEASE, Plan},
};

use crate::alone;

#[test]
fn a_registry_that_comes_back_hears_everybody_within_two_heartbeats() {
    alone("a_registry_that_comes_back_hears_everybody_within_two_heartbeats", async |stage| {
        let plan = Plan { sidecars: 5, away: Away::Dead, outage: 3 * LEASE, keep: true };
        let plans = [plan, Plan { away: Away::Silent, keep: false, ..plan }];
        let play = async |plan: Plan| {
            let outcome = outage::play(stage, plan).await?;
            println!("{plan}: all back after {:.1?}, at most {:.2} calls/s", outcome.back, outcome.rate);
            anyhow::Ok(())
        };
        tokio::try_join!(play(plans[0]), play(plans[1])).map(drop)
    });
}

#[test]
fn metadata_that_fail_delay_a_registration_and_undo_none() {
    alone("metadata_that_fail_delay_a_registration_and_undo_none", async |stage| blind::play(stage, 2 * LEASE).await);
}
