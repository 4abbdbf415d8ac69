//! Replicas are replaced one after the other, by the same release or another one, and back: nobody notices.

use std::time::Duration;

use anyhow::ensure;
use e2e::scenario::{deploy, releases, rolling};

use crate::alone;

#[test]
fn a_release_rolled_out_and_back_during_deploys_fails_no_request() {
    alone("a_release_rolled_out_and_back_during_deploys_fails_no_request", async |stage| {
        let plan = deploy::Plan::with_receipts(3, 2)?;
        let outcome = rolling::play(stage, &plan, 50).await?;
        let (ok, failed) = (outcome.report.ok(), outcome.report.failures());
        println!("{ok} answered, {failed} failed, {:.0}/s, rounds {:.1?}", outcome.rate, outcome.rounds);
        outcome.lost_nothing(&plan)
    });
}

#[test]
fn two_releases_on_one_table_answer_the_same() {
    alone("two_releases_on_one_table_answer_the_same", async |stage| {
        let lease = Duration::from_secs(3);
        let polls = releases::play(stage, releases::Plan { hosts: 4, lease, leases: 2 }).await?;
        println!("{polls} polls");
        ensure!(polls > 0);
        Ok(())
    });
}
