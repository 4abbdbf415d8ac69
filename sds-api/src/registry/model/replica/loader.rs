//! `sync/load` and the parts of `sync/tell` that take in what it brings: full reads, page by page, and the kept snapshot.

use super::super::{
    net::Access,
    world::{FULL_READ, LEASES, World, any, ms},
};
use crate::{
    instance::{Key, Row},
    registry::{
        alarm::{self, Alarm},
        fold::{Found, Source},
        phase::Phase,
    },
    store::StoreError,
};

#[derive(Default)]
pub struct Loader {
    /// A read waits for its time; the number tells whether it is still this one.
    waits: Option<u64>,
    hurry: bool,
    searching: bool,
    alarm: Alarm,
    n: u64,
}

/// A read in the making.
#[derive(Default)]
struct Scan {
    rows: Vec<Row>,
    meta: bool,
    first: bool,
}

const PAGE: usize = 4;

impl World {
    pub fn first_read(&mut self, r: usize) {
        self.scan(r, None, Scan { first: true, ..Scan::default() });
    }

    /// The herald's `wiped`.
    pub fn wiped(&mut self, r: usize) {
        self.mind(r).loader.alarm = Alarm::raised();
        self.hurry(r);
    }

    /// `Loader::hurry`.
    pub fn hurry(&mut self, r: usize) {
        let loader = &mut self.mind(r).loader;
        if loader.waits.take().is_some() {
            self.due(r);
        } else {
            loader.hurry = true;
        }
    }

    /// `Loader::again`.
    fn again(&mut self, r: usize, failed: bool) {
        let loader = &mut self.mind(r).loader;
        loader.n += 1;
        let n = loader.n;
        loader.waits = Some(n);
        let pause = match (std::mem::take(&mut loader.hurry), failed) {
            (true, _) => 0,
            (_, true) => 1000,
            _ if loader.alarm.rings() => ms(LEASES.heartbeat() / alarm::A_HEARTBEAT),
            _ => any(FULL_READ * 9 / 10..FULL_READ * 11 / 10),
        };
        self.soon(r, pause, move |world| {
            if world.mind(r).loader.waits == Some(n) {
                world.mind(r).loader.waits = None;
                world.due(r);
            }
        });
    }

    /// `Loaded::Due`.
    fn due(&mut self, r: usize) {
        let mind = self.mind(r);
        mind.fold.read_begins();
        let first = !mind.read;
        self.scan(r, None, Scan { first, ..Scan::default() });
    }

    /// `Store::full_read`: strongly consistent pages, one after the other; one that fails fails the whole.
    fn scan(&mut self, r: usize, after: Option<Key>, mut scan: Scan) {
        let from = after.clone();
        let op = move |world: &mut Self| (world.table.scan(from.as_ref(), PAGE), world.table.meta);
        type Page = ((Vec<Row>, bool), bool);
        self.call(r, Access::Read, op, move |world, page: Result<Page, StoreError>| match page {
            Err(_) => world.read_failed(r),
            Ok(((rows, more), meta)) => {
                let last = rows.last().map(|row| row.key.clone());
                scan.rows.extend(rows);
                scan.meta |= meta;
                if more {
                    // A large table takes its time.
                    world.soon(r, any(0..300), move |world| world.scan(r, last, scan));
                } else {
                    world.scanned(r, scan);
                }
            }
        });
    }

    fn scanned(&mut self, r: usize, scan: Scan) {
        let wiped = scan.first && !scan.meta && scan.rows.is_empty();
        if !scan.first && !scan.meta {
            self.call(r, Access::Write, |world| world.table.meta = true, |_, _| {});
        }
        if wiped {
            self.search(r);
        }
        self.take_read(r, scan.rows, wiped);
        self.touch(r);
        self.again(r, false);
    }

    fn read_failed(&mut self, r: usize) {
        self.say(|| format!("replica {r} fails to read the table"));
        if !self.mind(r).read {
            self.search(r);
        }
        self.touch(r);
        self.again(r, true);
    }

    fn take_read(&mut self, r: usize, rows: Vec<Row>, wiped: bool) {
        let (wall, mono, now) = (self.wall(r), self.mono(r), self.now);
        let found = rows.len();
        let mind = self.mind(r);
        let first = !std::mem::replace(&mut mind.read, true);
        let source = if first { Source::Start } else { Source::Read };
        let Found { news, missed } = mind.fold.read(rows, source, wall);
        let loader = &mut mind.loader;
        loader.alarm = loader.alarm.after(missed);
        mind.pulse.fresh = now;
        mind.phase = mind.phase.read(wiped, LEASES.heartbeat(), mono);
        mind.pulse.open = true;
        self.say(|| format!("replica {r} has read {found} rows, news {news:?}"));
        for key in news {
            self.announce(r, key, None);
        }
    }

    fn search(&mut self, r: usize) {
        if std::mem::replace(&mut self.mind(r).loader.searching, true) {
            return;
        }
        self.soon(r, 10, move |world| {
            world.mind(r).loader.searching = false;
            world.take_kept(r);
        });
    }

    fn take_kept(&mut self, r: usize) {
        let (wall, mono) = (self.wall(r), self.mono(r));
        let Some((rows, _)) = self.replicas[r].disk.clone() else { return };
        let mind = self.mind(r);
        if mind.phase == Phase::Serving {
            return;
        }
        for row in rows {
            let key = row.key.clone();
            if mind.fold.row(row, Source::Start, wall) && mind.read {
                mind.fold.doubt(&key);
            }
        }
        mind.kept = true;
        mind.phase = mind.phase.kept(mono);
        mind.pulse.open = true;
        self.say(|| format!("replica {r} serves what it kept"));
        self.touch(r);
    }
}
