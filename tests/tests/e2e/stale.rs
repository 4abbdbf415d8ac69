//! Late, doubled and reordered writes change nothing of what the newest tenant of an address says.

use e2e::scenario::stale::{self, Plan};

use crate::alone;

#[test]
fn the_newest_tenant_of_an_address_wins_whatever_arrives_late() {
    alone("the_newest_tenant_of_an_address_wins_whatever_arrives_late", async |stage| {
        println!("{:?}", stale::play(stage, Plan { stories: 200, seed: 4 }).await?);
        Ok(())
    });
}
