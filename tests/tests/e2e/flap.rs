//! A flapping app: quick to drop, slow to trust.

use std::time::Duration;

use e2e::scenario::flap;

use crate::alone;

#[test]
fn a_flapping_app_returns_at_most_once_in_ten_seconds() {
    alone("a_flapping_app_returns_at_most_once_in_ten_seconds", async |stage| {
        let flap::Outcome { drops, pauses } = flap::play(stage, Duration::from_secs(11)).await?;
        println!("drops arrived after {drops:.1?}, between two returns {pauses:.1?}");
        Ok(())
    });
}
