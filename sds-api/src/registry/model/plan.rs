//! What happens in a run: a list made from the seed, of which single entries can be left out to see whether the run still
//! breaks a promise.

use sds_types::Label;

use super::{
    net::Link,
    sidecar::{Fate, Sidecar, Will},
    world::{Ms, World},
};
use crate::instance::{Key, Override, Status};

/// What kind of trouble a run has, besides sidecars that come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    Calm,
    Crashes,
    Pauses,
    Cuts,
    Mute,
    Lossy,
    Outages,
    Wipes,
    Silence,
    All,
}

#[derive(Debug, Clone, Copy)]
pub enum Event {
    // A tenant of a slot.
    Kill(usize),
    Leave(usize),
    Drain(usize),
    Flip(usize),
    Weigh(usize, i64),
    Reuse(usize, i64),
    Override(usize, Option<i64>),
    Hang(usize, Ms),
    // A replica.
    Crash(usize, Ms),
    Stop(usize, Ms),
    Cut(usize, Link, Ms),
    // All.
    Dead(Ms),
    Throttle(Ms),
    Wipe,
    Silence(usize, Ms),
}

pub const REPLICAS: usize = 3;
pub const SERVICES: usize = 3;
pub const SLOTS: usize = 15;
/// Trouble ends here.
pub const CALM: Ms = 110_000;
/// And the run here: a lease, a stall, a repair read and some more later.
pub const END: Ms = 240_000;

/// Minutes by which a clock is wrong.
pub fn skew(rng: &mut fastrand::Rng) -> i64 {
    [0, 0, 300_000, -300_000][rng.usize(0..4)]
}

pub fn plan(trouble: Trouble, rng: &mut fastrand::Rng) -> Vec<(Ms, Event)> {
    let mut plan = Vec::new();
    let mut at = 15_000;
    while at < CALM {
        plan.push((at, tenant(rng)));
        at += rng.u64(500..6_000);
    }
    let mut at = 20_000 + rng.u64(0..20_000);
    while at < CALM - 5_000 && trouble != Trouble::Calm {
        let (event, span) = fault(trouble, rng, CALM - at);
        plan.push((at, event));
        let next = rng.u64(2_000..30_000);
        // Two at once, at times; never two of one kind that end each other.
        at += if trouble == Trouble::All && rng.bool() { next } else { span + next };
    }
    plan.sort_by_key(|(at, _)| *at);
    plan
}

fn tenant(rng: &mut fastrand::Rng) -> Event {
    let slot = rng.usize(0..SLOTS);
    match rng.u8(0..20) {
        0..4 => Event::Kill(slot),
        4..7 => Event::Leave(slot),
        7 => Event::Drain(slot),
        8..11 => Event::Flip(slot),
        11..13 => Event::Weigh(slot, rng.i64(1..100)),
        13..18 => Event::Reuse(slot, skew(rng)),
        18 => Event::Override(slot, rng.bool().then(|| rng.i64(1..100))),
        _ => Event::Hang(slot, rng.u64(5_000..60_000)),
    }
}

fn fault(trouble: Trouble, rng: &mut fastrand::Rng, most: Ms) -> (Event, Ms) {
    let r = rng.usize(0..REPLICAS);
    let span = rng.u64(1_000..60_000).min(most);
    let short = span / 4 + 500;
    let event = match trouble {
        Trouble::Calm => Event::Wipe,
        Trouble::Crashes => return (Event::Crash(r, short), short),
        Trouble::Pauses => Event::Stop(r, span),
        Trouble::Cuts => {
            let mut link = Link { deaf: rng.bool(), ..Link::default() };
            match rng.u8(0..4) {
                0 => link.reads = true,
                1 => link.heads = true,
                _ => (link.reads, link.writes) = (true, true),
            }
            Event::Cut(r, link, span)
        }
        Trouble::Mute => Event::Cut(r, Link { writes: true, deaf: rng.bool(), ..Link::default() }, span),
        Trouble::Lossy => Event::Cut(r, Link { lossy: true, slow: rng.bool(), ..Link::default() }, span),
        Trouble::Outages if rng.bool() => Event::Throttle(span),
        Trouble::Outages => Event::Dead(span),
        Trouble::Wipes => return (Event::Wipe, 15_000),
        Trouble::Silence => Event::Silence(rng.usize(0..SERVICES), span),
        Trouble::All => {
            let kinds =
                [Trouble::Crashes, Trouble::Pauses, Trouble::Cuts, Trouble::Mute, Trouble::Lossy, Trouble::Outages];
            let kind = kinds[rng.usize(0..kinds.len())];
            return fault(kind, rng, most);
        }
    };
    (event, span)
}

pub fn key(slot: usize) -> Key {
    let service = format!("service-{}", slot % SERVICES).parse().unwrap();
    Key { service, endpoint: format!("10.0.0.{}:80", slot + 1).parse().unwrap() }
}

impl World {
    /// Who holds a slot's address now, if anybody lives there.
    fn tenant(&self, slot: usize) -> Option<usize> {
        let key = key(slot);
        (0..self.sidecars.len()).rev().find(|s| self.sidecars[*s].key == key && self.sidecars[*s].fate == Fate::Here)
    }

    pub fn happen(&mut self, event: Event) {
        self.say(|| format!("-- {event:?}"));
        match event {
            Event::Kill(slot) => self.change(slot, |sidecar| sidecar.fate = Fate::Dead),
            Event::Leave(slot) => self.change(slot, |sidecar| {
                if !sidecar.legacy {
                    sidecar.will = Will::Leave;
                }
            }),
            Event::Drain(slot) => self.change(slot, |sidecar| {
                if sidecar.will == Will::Serve && !sidecar.legacy {
                    sidecar.will = Will::Drain;
                }
            }),
            Event::Flip(slot) => self.change(slot, |sidecar| {
                sidecar.status = if sidecar.status == Status::Healthy { Status::Unhealthy } else { Status::Healthy };
            }),
            Event::Weigh(slot, weight) => self.change(slot, |sidecar| sidecar.weight = weight),
            Event::Reuse(slot, skew) => {
                let skew = match self.tenant(slot) {
                    // A restart: on the same machine.
                    Some(s) => {
                        self.sidecars[s].fate = Fate::Dead;
                        self.sidecars[s].skew
                    }
                    None => skew,
                };
                self.start_sidecar(key(slot), slot % SERVICES, skew, false);
            }
            Event::Override(slot, weight) => {
                let r = fastrand::usize(0..self.replicas.len());
                let tenant = self.tenant(slot).map_or(0, |s| self.sidecars[s].at.incarnation).to_string();
                let word = |weight| Override {
                    status: None,
                    weight: sds_types::Weight::try_from(weight).ok(),
                    canary: None,
                    reason: Label::default(),
                    who: Label::default(),
                    until: u64::MAX,
                    tenant,
                };
                let word = weight.map(word);
                self.soon(r, 1, move |world| world.set_override(r, key(slot), word));
            }
            // SIGSTOP: nothing of it arrives, and then it goes on.
            Event::Hang(slot, span) => {
                let Some(s) = self.tenant(slot) else { return };
                self.sidecars[s].cut = true;
                self.later(span, move |world| world.heard_again(s));
            }
            Event::Crash(r, span) => {
                self.unwell(r);
                self.replicas[r].mind = None;
                self.oracle.crashed = Some(self.now);
                self.replicas[r].life += 1;
                let life = self.replicas[r].life;
                self.later(span, move |world| {
                    if world.replicas[r].life == life {
                        world.boot(r);
                    }
                });
            }
            Event::Stop(r, span) => {
                let until = self.now + span;
                self.unwell(r);
                self.replicas[r].stopped = Some(until);
                self.later(span, move |world| {
                    world.unwell(r);
                    if world.replicas[r].stopped == Some(until) {
                        world.replicas[r].stopped = None;
                    }
                });
            }
            Event::Cut(r, link, span) => {
                self.unwell(r);
                self.replicas[r].link = link;
                self.later(span, move |world| {
                    world.unwell(r);
                    world.replicas[r].link = Link::default();
                });
            }
            Event::Dead(span) => self.weather_turns(span, |weather, on| weather.dead = on),
            Event::Throttle(span) => self.weather_turns(span, |weather, on| weather.throttled = on),
            Event::Wipe => {
                self.table = super::table::Table::default();
                self.oracle_wiped();
            }
            Event::Silence(service, span) => {
                self.mass_begins(service);
                self.later(span, Self::mass_ends);
            }
        }
    }

    fn change(&mut self, slot: usize, change: impl FnOnce(&mut Sidecar)) {
        if let Some(s) = self.tenant(slot) {
            change(&mut self.sidecars[s]);
            self.wake(s, 0);
        }
    }

    fn weather_turns(&mut self, span: Ms, turn: fn(&mut super::net::Weather, bool)) {
        let all = |world: &mut Self| (0..world.replicas.len()).for_each(|r| world.unwell(r));
        all(self);
        turn(&mut self.weather, true);
        self.later(span, move |world| {
            turn(&mut world.weather, false);
            all(world);
        });
    }
}
