//! Several replicas whose store dies, is emptied, or is away when they start: nobody who lives leaves any answer.

use std::time::Duration;

use e2e::scenario::{blackstart, crowd::Size, storedeath};

use crate::alone;

const SIZE: Size = Size { services: 3, hosts: 5, apps: 2, rate: 50 };
const LEASE: Duration = Duration::from_secs(3);
/// What counts again within two heartbeats waits for calls and pauses that have a length of their own.
const LONGER: Duration = Duration::from_secs(6);

#[test]
fn without_the_store_nobody_is_lost_and_afterwards_nobody_is_a_zombie() {
    alone("without_the_store_nobody_is_lost_and_afterwards_nobody_is_a_zombie", async |stage| {
        let outcome = storedeath::play(stage, storedeath::Plan { size: SIZE, lease: LONGER, leases: 3 }).await?;
        println!("{outcome}");
        Ok(())
    });
}

#[test]
fn a_start_without_the_store_and_an_emptied_table_lose_nobody() {
    alone("a_start_without_the_store_and_an_emptied_table_lose_nobody", async |stage| {
        let outcome = blackstart::play(stage, blackstart::Plan { size: SIZE, lease: LEASE, leases: 2 }).await?;
        println!("{outcome}");
        Ok(())
    });
}
