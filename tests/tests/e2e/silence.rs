//! Many that fall silent together are held, and one that dies alone is not.

use std::time::Duration;

use e2e::scenario::silence::{self, Plan};

use crate::alone;

#[test]
fn a_mass_silence_is_held_and_told_and_ends_by_its_cap() {
    alone("a_mass_silence_is_held_and_told_and_ends_by_its_cap", async |stage| {
        let plan = Plan { lease: Duration::from_secs(3), cap: Duration::from_secs(9), others: 100 };
        println!("{:.1?}", silence::play(stage, plan).await?);
        Ok(())
    });
}
