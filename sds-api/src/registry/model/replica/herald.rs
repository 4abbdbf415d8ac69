//! `herald`: the task that writes the header and the pages.

use std::time::Duration;

use super::{
    super::{
        net::Access,
        world::{Job, LEASES, World, ms},
    },
    Mind,
};
use crate::{
    instance::Key,
    registry::pages,
    replica::{InstanceHash, PageKey},
    store::{HeadWrite, StoreError},
};

impl Mind {
    fn is_due(&self) -> bool {
        !self.committing && self.voice.is_due()
    }
}

impl World {
    /// `Herald::announce` and `announce_later`.
    pub fn announce(&mut self, r: usize, key: Key, told: Option<Job>) {
        let mind = self.mind(r);
        mind.untold.add(key.clone());
        mind.voice.announce(key, told);
        self.kick(r);
    }

    /// `Herald::told`.
    pub fn when_told(&mut self, r: usize, key: &Key, job: Job) {
        match self.mind(r).untold.waiting(key) {
            None => job(self),
            Some(waiting) => waiting.push(job),
        }
    }

    /// `Herald::flush`: pages first.
    pub fn order_flush(&mut self, r: usize, heard: &[(InstanceHash, Duration)], bye: bool) {
        let mind = self.mind(r);
        let beat = mind.voice.begin_flush(bye);
        let chunks = if heard.is_empty() { Vec::new() } else { pages::encode(beat, LEASES.flush(), heard) };
        let key = PageKey { replica: mind.id.clone(), beat, chunk: 0 };
        self.write_pages(r, key, chunks.into_iter());
    }

    fn write_pages(&mut self, r: usize, key: PageKey, mut chunks: std::vec::IntoIter<Vec<u8>>) {
        let Some(body) = chunks.next() else {
            let mind = self.mind(r);
            mind.voice.flushed(key.beat);
            mind.committed = true;
            return self.kick(r);
        };
        let here = key.clone();
        self.call(
            r,
            Access::Write,
            move |world| world.table.write_page(here, body),
            move |world, written| match written {
                Ok(()) => world.write_pages(r, PageKey { chunk: key.chunk + 1, ..key }, chunks),
                Err(_) => world.flushed(r, false),
            },
        );
    }

    /// Until the next header may be written.
    fn kick(&mut self, r: usize) {
        let now = self.now;
        let mind = self.mind(r);
        if !mind.is_due() {
            return;
        }
        mind.committing = true;
        let wait = mind.next_commit.saturating_sub(now);
        self.soon(r, wait, move |world| world.commit(r));
    }

    /// `Speaker::commit`.
    fn commit(&mut self, r: usize) {
        let mono = self.mono(r);
        let mind = self.mind(r);
        let head = mind.voice.head(mono);
        let flushed = std::mem::take(&mut mind.committed);
        let written = head.clone();
        let op = move |world: &mut Self| world.table.write_head(written);
        self.call(r, Access::Write, op, move |world, written: Result<HeadWrite, StoreError>| {
            let now = world.now;
            let mind = world.mind(r);
            let (mut told, mut wiped) = (Vec::new(), false);
            match written {
                Ok(write @ (HeadWrite::Done | HeadWrite::Anew)) => {
                    mind.failures = 0;
                    wiped = mind.voice.was_lost(write == HeadWrite::Anew);
                    told = mind.voice.told(&head, &mut mind.untold);
                }
                Ok(HeadWrite::Refused) => mind.failures = 0,
                Err(_) => mind.failures += 1,
            }
            let pause = ms((LEASES.poll() * 3 / 10 * (1 << mind.failures.min(4))).min(Duration::from_secs(1)));
            mind.next_commit = now + pause;
            mind.committing = false;
            told.into_iter().for_each(|told| told(world));
            if wiped {
                world.say(|| format!("replica {r} sees that the table was emptied"));
                world.wiped(r);
            }
            if flushed {
                world.flushed(r, matches!(written, Ok(HeadWrite::Done | HeadWrite::Anew)));
            }
            world.kick(r);
        });
    }
}
