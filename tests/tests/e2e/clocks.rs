//! Wrong clocks and replicas in trouble lose nobody who lives and keep nobody who died.

use std::time::Duration;

use e2e::scenario::clocks::{self, Plan, Trouble};

use crate::alone;

#[test]
fn wrong_clocks_and_a_replica_in_trouble_lose_nobody_and_keep_no_dead() {
    alone("wrong_clocks_and_a_replica_in_trouble_lose_nobody_and_keep_no_dead", async |stage| {
        let (lease, long) = (Duration::from_millis(4500), Duration::from_secs(9));
        // Who is cut off for a lease is forgiven its silence.
        let troubles = &[(Trouble::Frozen, long), (Trouble::WritesFail, long), (Trouble::Cut, lease)];
        let plan = Plan { lease, troubles };
        let outcome = clocks::play(stage, plan).await?;
        if !outcome.skewed {
            println!("This machine has no libfaketime: the clocks of the replicas were right.");
        }
        outcome.seen.iter().for_each(|seen| println!("{seen}"));
        Ok(())
    });
}
