//! A registry that starts on a large table answers all of it. How much memory it needs is for the soak, in a release build.

use std::time::Duration;

use e2e::scenario::size::{self, Plan};

use crate::play;

#[test]
fn a_large_fleet_is_answered_in_full() {
    play("a_large_fleet_is_answered_in_full", async |stage| {
        let plan = Plan { services: 100, each: 20, big: 1000, ready: Duration::from_secs(60), memory: None };
        println!("{:.1?}", size::play(stage, plan).await?);
        Ok(())
    });
}
