//! What dies, hangs or hears no more is seen in the answers in the time that is promised, and what can come back does.

use std::time::Duration;

use e2e::scenario::{
    deaths::{self, Seen},
    kill9::{self, Plan},
};

use crate::alone;

#[test]
fn deaths_and_hangs_are_seen_in_time() {
    alone("deaths_and_hangs_are_seen_in_time", async |stage| {
        for Seen { case, became, took, bound, back } in deaths::play(stage, Duration::ZERO).await? {
            println!("{case}: {became}, {took:.1?} of {bound:?}, back after {back:.1?}");
        }
        Ok(())
    });
}

#[test]
fn a_task_that_is_killed_costs_little_where_envoy_is_set_up_for_it() {
    alone("a_task_that_is_killed_costs_little_where_envoy_is_set_up_for_it", async |stage| {
        println!("{}", kill9::play(stage, Plan { kills: 2, rate: 40 }).await?);
        Ok(())
    });
}
