//! One replica: the real belief, and around it an imitation of the loop (`sync`), which does what that does in its order.

mod herald;
mod loader;
mod reader;
mod requests;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

pub use requests::{Answer, Put};

use super::{
    net::{Access, Link},
    world::{Job, LEASES, Ms, World, any, ms},
};
use crate::{
    clock::{Now, Timestamp},
    instance::{Key, Row, Standing},
    registry::{
        cursors::Cursors,
        doubts::Doubts,
        fold::{Fold, Source},
        phase::Phase,
        round::Round,
        snapshot::Snapshot,
        voice::{Untold, Voice},
        vouching::Vouching,
    },
    replica::ReplicaId,
    store::Write,
};

#[derive(Default)]
pub struct Replica {
    /// Counts its starts.
    pub life: u64,
    /// None while it is down.
    pub mind: Option<Mind>,
    /// SIGSTOP, until then.
    pub stopped: Option<Ms>,
    pub link: Link,
    /// Its wall clock, against the right one.
    pub skew: i64,
    /// What the last run kept.
    pub disk: Option<(Vec<Row>, Timestamp)>,
    pub keeps: bool,
    /// Of the load balancer, in a row.
    pub failed_checks: u32,
}

impl Replica {
    pub fn in_rotation(&self) -> bool {
        self.failed_checks < 3
    }
}

/// What a process holds in memory.
pub struct Mind {
    pub id: ReplicaId,
    pub started: Ms,
    pub fold: Fold,
    pub phase: Phase,
    /// The table was read once.
    pub read: bool,
    /// A snapshot stood in for it.
    pub kept: bool,
    pub snapshot: Option<Snapshot>,
    /// When reads began to be answered.
    pub opened: Option<Ms>,
    cursors: Cursors,
    doubts: Doubts,
    round_ended: Ms,
    vouching: Vouching,
    flushing: bool,
    /// For the oracle: how the last flush went, by what was seen of it.
    pub mute: bool,
    voice: Voice<Job>,
    untold: Untold<Job>,
    committing: bool,
    next_commit: Ms,
    failures: u32,
    /// A flush waits for its header.
    committed: bool,
    loader: loader::Loader,
    pulse: Pulse,
    paying: BTreeSet<Key>,
}

/// `pulse`, in the world's time.
struct Pulse {
    last: Ms,
    woken: bool,
    open: bool,
    vouches: bool,
    fresh: Ms,
}

impl World {
    /// A process starts: `Registry::start`.
    pub fn boot(&mut self, r: usize) {
        let now = self.now;
        let id = ReplicaId::random();
        let mut fold = Fold::new(LEASES);
        fold.read_begins();
        let mind = Mind {
            started: now,
            fold,
            phase: Phase::Reading,
            read: false,
            kept: false,
            snapshot: None,
            opened: None,
            cursors: Cursors::new(id.clone()),
            doubts: Doubts::default(),
            round_ended: now,
            vouching: Vouching::default(),
            flushing: false,
            mute: false,
            voice: Voice::new(id.clone(), LEASES.heartbeat()),
            untold: Untold::default(),
            committing: false,
            next_commit: now,
            failures: 0,
            committed: false,
            loader: loader::Loader::default(),
            pulse: Pulse { last: now, woken: false, open: false, vouches: true, fresh: now },
            paying: BTreeSet::new(),
            id,
        };
        let replica = &mut self.replicas[r];
        replica.life += 1;
        (replica.mind, replica.stopped) = (Some(mind), None);
        self.say(|| format!("replica {r} starts"));
        self.soon(r, 0, move |world| world.look(r));
        self.soon(r, 0, move |world| world.first_read(r));
        self.soon(r, 0, move |world| world.turn(r));
        self.soon(r, 0, move |world| world.flush_tick(r));
        self.soon(r, ms(LEASES.native), move |world| world.keep(r));
    }

    pub fn mind(&mut self, r: usize) -> &mut Mind {
        self.replicas[r].mind.as_mut().unwrap()
    }

    fn mono(&self, r: usize) -> Duration {
        Duration::from_millis(self.now - self.replicas[r].mind.as_ref().unwrap().started)
    }

    fn moment(&self, r: usize) -> Now {
        Now { wall: self.wall(r), mono: self.mono(r) }
    }

    /// The end of each turn of the loop: publish, then the pulse.
    fn touch(&mut self, r: usize) {
        let (wall, mono, now) = (self.wall(r), self.mono(r), self.now);
        let mind = self.mind(r);
        if mind.phase.opens(mono) {
            mind.snapshot = Some(mind.fold.publish(&Snapshot::default(), wall).unwrap_or_default());
            mind.opened = Some(now);
        } else if mind.phase == Phase::Serving
            && let Some(new) = mind.snapshot.as_ref().and_then(|before| mind.fold.publish(before, wall))
        {
            mind.snapshot = Some(new);
        }
        if now - mind.pulse.last >= 1000 {
            mind.pulse.woken = true;
        }
        mind.pulse.last = now;
        self.replica_published(r);
    }

    fn turn(&mut self, r: usize) {
        self.touch(r);
        self.soon(r, ms(LEASES.poll()), move |world| world.turn(r));
    }

    fn can_judge(&mut self, r: usize) -> bool {
        let now = self.now;
        let pulse = &self.mind(r).pulse;
        pulse.open && !pulse.woken && now - pulse.last < 1000
    }

    /// `Loop::take_round`.
    fn take_round(&mut self, r: usize, round: Round) {
        let (wall, mono, now) = (self.wall(r), self.mono(r), self.now);
        let missed = round.full_read;
        let (failed, lines): (bool, Vec<_>) = (round.failed.is_some(), round.rows.iter().map(told).collect());
        for line in lines {
            self.say(|| format!("replica {r} reads {line}{}", if failed { ", and fails" } else { "" }));
        }
        let mind = self.mind(r);
        let mute = mind.vouching.is_failing(LEASES.flush(), mono);
        let complete = round.failed.is_none();
        let before = mind.fold.lease_now();
        let folded = round.fold(&mut mind.fold, mute, wall);
        mind.pulse.woken = false;
        mind.pulse.vouches = !(complete && mute);
        let blind = !complete || mind.mute;
        let ran = mind.fold.lease_now() > before;
        if complete {
            if mind.read {
                mind.pulse.fresh = now;
            }
            self.pay(r);
        }
        if missed || folded.swept.as_ref().is_some_and(|swept| swept.stopped) {
            self.say(|| format!("replica {r} missed something: {missed}, or another stopped"));
            self.hurry(r);
        }
        for key in folded.found {
            self.announce(r, key, None);
        }
        for row in folded.swept.into_iter().flat_map(|swept| swept.silent) {
            self.say(|| format!("replica {r} drops {} {}", row.key, row.at.incarnation));
            self.soon(r, any(0..5000), move |world| world.leave_hint(r, row));
        }
        self.touch(r);
        if blind && ran {
            self.breaks(format!("replica {r} lets leases run while it is blind or mute"));
        }
    }

    /// `Loop::keep`.
    fn keep(&mut self, r: usize) {
        let (wall, now) = (self.wall(r), self.now);
        let mind = self.mind(r);
        if mind.phase == Phase::Serving && now - mind.pulse.fresh < 2000 {
            let rows = mind.fold.served_rows();
            if self.replicas[r].keeps {
                self.replicas[r].disk = Some((rows, wall));
            }
        }
        self.soon(r, ms(LEASES.native), move |world| world.keep(r));
    }

    /// `Loop::begin_flush`, at each tick of its interval.
    fn flush_tick(&mut self, r: usize) {
        if !self.mind(r).flushing {
            let mono = self.mono(r);
            let mind = self.mind(r);
            mind.flushing = true;
            let heard = mind.vouching.begin(&mut mind.fold, mono);
            self.order_flush(r, &heard, false);
        }
        self.touch(r);
        self.soon(r, ms(LEASES.flush()), move |world| world.flush_tick(r));
    }

    /// `Loop::flushed`.
    fn flushed(&mut self, r: usize, done: bool) {
        let mind = self.mind(r);
        (mind.flushing, mind.mute) = (false, !done);
        mind.vouching.ended(&mut mind.fold, done);
        self.touch(r);
    }

    /// `Chore::Lost`.
    fn leave_hint(&mut self, r: usize, row: Row) {
        let op = move |world: &mut Self| {
            let written = world.table.mark_lost(&row);
            if let Write::Done(row) = &written {
                world.oracle_lost(row);
            }
            written
        };
        self.call(r, Access::Write, op, move |world, written| {
            if let Ok(Write::Done(row)) = written {
                world.announce(r, row.key.clone(), None);
                world.take_row(r, row, Source::Read);
                world.touch(r);
            }
        });
    }

    fn take_row(&mut self, r: usize, row: Row, source: Source) {
        let wall = self.wall(r);
        self.mind(r).fold.row(row, source, wall);
    }

    /// `Loop::pay`, the chore and what becomes of it.
    fn pay(&mut self, r: usize) {
        if !self.mind(r).paying.is_empty() {
            return;
        }
        let owed: BTreeMap<_, _> = self.mind(r).fold.owed().into_iter().map(|row| (row.key.clone(), row)).collect();
        for (key, row) in owed {
            self.mind(r).paying.insert(key.clone());
            let wall = self.wall(r).millis();
            let op = move |world: &mut Self| match &row.standing {
                Standing::In(registration) => {
                    let written = world.table.register(&row.key, row.at, registration, wall);
                    // The others cannot tell it from a word that was just spoken.
                    world.landed(&row.key, row.at, &written);
                    written
                }
                Standing::Gone(why) => world.table.deregister(&row.key, row.at, *why, wall),
            };
            self.call(r, Access::Write, op, move |world, written| {
                world.mind(r).paying.remove(&key);
                match written {
                    Ok(Write::Done(row)) => {
                        world.take_row(r, row, Source::Written);
                        world.announce(r, key, None);
                    }
                    Ok(Write::Refused { row, .. }) => {
                        world.mind(r).fold.forgive(&key);
                        if let Some(row) = row {
                            world.take_row(r, row, Source::Read);
                        }
                        world.announce(r, key, None);
                    }
                    Err(_) => {}
                }
                world.touch(r);
            });
        }
    }
}

/// A row in a line.
fn told(row: &Row) -> String {
    let standing = row.registration().map_or("gone".into(), |standing| format!("{:?}", standing.status));
    format!("{} {} {} {standing} {}", row.key, row.at.incarnation, row.at.seq, row.rev)
}
