//! Between a replica and the table: each call takes time there and back, and may be lost, late, refused for a while or of
//! unknown outcome. A call that was sent is made even if its caller is gone.

use std::{cell::RefCell, rc::Rc};

use super::world::{Ms, World, any, one_in};
use crate::store::{StoreError, Trouble};

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
    /// The headers: one hot partition.
    Heads,
}

/// What goes wrong between one replica and the table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Link {
    pub reads: bool,
    pub writes: bool,
    pub heads: bool,
    /// What is cut is cut on the way back: the call is made.
    pub deaf: bool,
    pub slow: bool,
    /// One call in eight is lost on one of the ways, one comes late.
    pub lossy: bool,
}

/// What goes wrong with the table for all.
#[derive(Debug, Default)]
pub struct Weather {
    pub dead: bool,
    pub throttled: bool,
}

/// What a call gives: its caller's deadline is [`IN_REQUEST`] from now unless it says otherwise.
pub const IN_REQUEST: Ms = 800;

impl World {
    pub fn call<T: 'static>(
        &mut self,
        r: usize,
        access: Access,
        op: impl FnOnce(&mut Self) -> T + 'static,
        then: impl FnOnce(&mut Self, Result<T, StoreError>) + 'static,
    ) {
        let once = Rc::new(RefCell::new(Some(then)));
        let late = once.clone();
        self.soon(r, IN_REQUEST, move |world| {
            if let Some(then) = late.take() {
                then(world, Err(StoreError::away("call", "no answer in time")));
            }
        });
        let link = self.replicas[r].link;
        if self.weather.throttled && one_in(2) {
            self.soon(r, any(10..60), move |world| {
                if let Some(then) = once.take() {
                    let kind = Trouble::Throttled;
                    then(world, Err(StoreError { call: "call", cause: "throttled".into(), kind }));
                }
            });
            return;
        }
        let cut = self.weather.dead
            || match access {
                Access::Read => link.reads,
                Access::Write => link.writes,
                Access::Heads => link.reads || link.heads,
            };
        let lost_there = (cut && !link.deaf) || (link.lossy && one_in(16));
        let lost_back = cut || (link.lossy && one_in(16));
        if lost_there {
            return;
        }
        let slow = |fast| if link.slow { any(50..500) } else { fast };
        let there = if link.lossy && one_in(8) { any(IN_REQUEST..4000) } else { slow(any(3..20)) };
        let back = slow(any(3..20));
        let life = self.replicas[r].life;
        self.later(there, move |world| {
            let done = op(world);
            if lost_back {
                return;
            }
            world.soon_in(r, life, back, move |world| {
                if let Some(then) = once.take() {
                    then(world, Ok(done));
                }
            });
        });
    }
}
