//! Sidecars, a legacy client or two, and the load balancer between them and the replicas: one call at a time, numbered; a
//! failed one is made again on a new connection; 409 is answered with a higher incarnation, as the plan says.

use std::{collections::BTreeMap, sync::Arc};

use sds_types::{Sequence, Weight};

use super::{
    replica::{Answer, Put},
    world::{LEASES, Ms, World, any, ms, one_in},
};
use crate::instance::{Content, Key, Status};

/// What it wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Will {
    Serve,
    Drain,
    Leave,
}

/// What has become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Here,
    /// It deregistered, and was told so.
    Left,
    /// `kill -9`.
    Dead,
}

/// One tenant of an address.
pub struct Sidecar {
    pub key: Key,
    pub service: usize,
    pub at: Sequence,
    /// Its machine's clock, against the right one.
    pub skew: i64,
    pub status: Status,
    pub weight: i64,
    pub will: Will,
    pub fate: Fate,
    pub legacy: bool,
    /// Nothing of it reaches anybody.
    pub cut: bool,
    /// It keeps a connection to this life of a replica.
    target: Option<(usize, u64)>,
    busy: bool,
    call: u64,
    timer: u64,
    said: Option<(Will, Status, i64)>,
    moves: u32,
    pub seen: Seen,
}

/// What the oracle has seen of it, in this incarnation.
#[derive(Debug, Default)]
pub struct Seen {
    /// Its first 200.
    pub registered: Option<Ms>,
    /// Its last one: when it was sent and when it came, what it said.
    pub acked: Option<(Ms, Sequence, Status)>,
    /// It was told 202: until two heartbeats after the store's return, what it says later may be overtaken by that.
    pub owed: bool,
    /// The newest sign of life that all must know by now.
    pub told: Option<Ms>,
    /// The newest that one replica heard itself.
    pub heard_by: BTreeMap<usize, (u64, Ms)>,
    /// The last time that anything of it arrived or was written anywhere.
    pub last_word: Ms,
    /// From here on no two answers were far apart.
    pub lively: Option<Ms>,
    /// Lives of replicas that had it in their answers.
    pub known_to: BTreeMap<usize, u64>,
}

impl World {
    /// A new tenant of an address starts; its clock, and nothing else, gives it its incarnation.
    pub fn start_sidecar(&mut self, key: Key, service: usize, skew: i64, legacy: bool) -> usize {
        let at = Sequence { incarnation: self.clock(skew), seq: 0 };
        let seen = Seen { last_word: self.now, ..Seen::default() };
        self.sidecars.push(Sidecar {
            key,
            service,
            at,
            skew,
            status: Status::Healthy,
            weight: 1,
            will: Will::Serve,
            fate: Fate::Here,
            legacy,
            cut: false,
            target: None,
            busy: false,
            call: 0,
            timer: 0,
            said: None,
            moves: 0,
            seen,
        });
        let s = self.sidecars.len() - 1;
        let sidecar = &self.sidecars[s];
        let what = format!("{} starts as {s}, incarnation {}", sidecar.key, at.incarnation);
        self.say(|| what);
        self.wake(s, any(0..500));
        s
    }

    /// It speaks after a while, whatever it had planned.
    pub fn wake(&mut self, s: usize, delay: Ms) {
        let sidecar = &mut self.sidecars[s];
        sidecar.timer += 1;
        let timer = sidecar.timer;
        self.later(delay, move |world| {
            if world.sidecars[s].timer == timer {
                world.speak(s);
            }
        });
    }

    fn speak(&mut self, s: usize) {
        let sidecar = &mut self.sidecars[s];
        if sidecar.fate != Fate::Here || sidecar.busy {
            return;
        }
        sidecar.busy = true;
        sidecar.call += 1;
        sidecar.at.seq += 1;
        sidecar.said = Some((sidecar.will, sidecar.status, sidecar.weight));
        let (call, sent) = (sidecar.call, self.now);
        let said = sidecar.says();
        self.later(1000, move |world| world.answered(s, call, None, sent, Answer::Failed));
        let (r, life) = match self.sidecars[s].target {
            Some(kept) => kept,
            None => self.balance(),
        };
        self.sidecars[s].target = Some((r, life));
        if self.sidecars[s].cut {
            return;
        }
        if self.replicas[r].mind.is_none() || self.replicas[r].life != life {
            // Refused, or reset.
            return self.later(5, move |world| world.answered(s, call, None, sent, Answer::Failed));
        }
        if one_in(25) {
            // A doubled request, on whatever way, comes late.
            let said = said.clone();
            self.later(any(0..10_000), move |world| {
                let (r, life) = world.balance();
                world.soon_in(r, life, 1, move |world| world.receive(s, r, said, |_, _| {}));
            });
        }
        let lost = one_in(150);
        self.soon_in(r, life, any(1..10), move |world| {
            world.receive(s, r, said, move |world, answer| {
                if !lost {
                    world.later(any(1..10), move |world| world.answered(s, call, Some((r, life)), sent, answer));
                }
            });
        });
    }

    /// A request arrives.
    fn receive(&mut self, s: usize, r: usize, said: Said, then: impl FnOnce(&mut Self, Answer) + 'static) {
        if said.put.at.incarnation == self.sidecars[s].at.incarnation || said.legacy {
            self.sidecars[s].seen.last_word = self.now;
        }
        match said {
            Said { legacy: true, put, .. } => self.legacy_put(r, put.key, put.content, then),
            Said { leaves: true, put, .. } => self.deregister(r, put.key, put.at, then),
            Said { put, .. } => self.put(r, put, then),
        }
    }

    fn answered(&mut self, s: usize, call: u64, by: Option<(usize, u64)>, sent: Ms, answer: Answer) {
        let sidecar = &mut self.sidecars[s];
        if sidecar.call != call || !sidecar.busy || sidecar.fate != Fate::Here {
            return;
        }
        sidecar.busy = false;
        let said = sidecar.said;
        let leaves = said.is_some_and(|(will, ..)| will == Will::Leave);
        let pause = match answer {
            Answer::Done { .. } | Answer::Owed => {
                self.oracle_acked(s, by, sent, leaves, answer == Answer::Owed);
                let sidecar = &mut self.sidecars[s];
                let vouched = answer != Answer::Done { vouched: false };
                if vouched {
                    sidecar.moves = 0;
                } else {
                    (sidecar.target, sidecar.moves) = (None, sidecar.moves + 1);
                }
                match (vouched, sidecar.moves, sidecar.legacy) {
                    (false, 0..=4, _) => 20,
                    (false, ..) => 2000,
                    (true, _, true) => ms(LEASES.legacy) / 3,
                    (true, _, false) => any(9_000..10_000),
                }
            }
            Answer::Superseded(_) if leaves => {
                self.sidecars[s].fate = Fate::Left;
                return;
            }
            Answer::Superseded(told) => {
                let told = told.map_or(sidecar.at.incarnation, |told| told.incarnation);
                sidecar.at = Sequence { incarnation: told.max(sidecar.at.incarnation) + 1, seq: 0 };
                sidecar.seen = Seen { last_word: self.now, ..Seen::default() };
                let incarnation = sidecar.at.incarnation;
                self.say(|| format!("sidecar {s} goes on as incarnation {incarnation}"));
                0
            }
            Answer::Unknown | Answer::Failed => {
                sidecar.target = None;
                self.say(|| format!("a call of sidecar {s} to {by:?} fails"));
                any(200..1500)
            }
        };
        let sidecar = &self.sidecars[s];
        let changed = said != Some((sidecar.will, sidecar.status, sidecar.weight));
        self.wake(s, if changed { 0 } else { pause });
    }

    /// A replica that the load balancer takes for alive.
    fn balance(&self) -> (usize, u64) {
        let alive: Vec<_> = (0..self.replicas.len()).filter(|r| self.replicas[*r].in_rotation()).collect();
        let r =
            if alive.is_empty() { fastrand::usize(0..self.replicas.len()) } else { fastrand::choice(alive).unwrap() };
        (r, self.replicas[r].life)
    }

    /// The load balancer's health check: three failures take a replica out, one success takes it in.
    pub fn check_health(&mut self) {
        for replica in &mut self.replicas {
            let ready = replica.stopped.is_none() && replica.mind.as_ref().is_some_and(|mind| mind.snapshot.is_some());
            replica.failed_checks = if ready { 0 } else { replica.failed_checks + 1 };
        }
        self.later(2000, Self::check_health);
    }
}

/// What one request says.
#[derive(Clone)]
struct Said {
    put: Put,
    leaves: bool,
    legacy: bool,
}

impl Sidecar {
    fn says(&self) -> Said {
        let status = if self.will == Will::Drain { Status::Draining } else { self.status };
        let content = Content { weight: Weight::try_from(self.weight).ok(), ..Content::default() };
        let put = Put { key: self.key.clone(), at: self.at, status, content: Arc::new(content) };
        Said { put, leaves: self.will == Will::Leave, legacy: self.legacy }
    }
}
