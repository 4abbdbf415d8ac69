//! `reader`: the rounds.

use std::collections::HashMap;

use super::super::{
    net::Access,
    world::{LEASES, Ms, World, ms},
};
use crate::{
    instance::Row,
    registry::{
        cursors::Wanted,
        pages::{self, Page},
        round::Round,
    },
    replica::PageKey,
    store::StoreError,
};

/// A round in the making.
struct Look {
    begun: Ms,
    round: Round,
    wanted: Wanted,
}

type Found = Vec<(PageKey, Vec<u8>)>;

impl World {
    pub fn look(&mut self, r: usize) {
        let begun = self.now;
        self.call(
            r,
            Access::Heads,
            |world| world.table.heads(),
            move |world, heads| match heads {
                Err(error) => world.ended(r, begun, Round { failed: Some(error), ..Round::default() }),
                Ok(heads) => {
                    let doubted = world.mind(r).doubts.all();
                    let mut wanted = world.mind(r).cursors.look(heads, doubted);
                    let beats = std::mem::take(&mut wanted.beats);
                    let tellers = std::mem::take(&mut wanted.tellers);
                    let doubted = wanted.doubted.keys().cloned().collect();
                    let round = Round { beats, tellers, doubted, full_read: wanted.full_read, ..Round::default() };
                    world.look_at_rows(r, Look { begun, round, wanted });
                }
            },
        );
    }

    fn look_at_rows(&mut self, r: usize, mut look: Look) {
        if look.wanted.keys.is_empty() {
            return self.look_at_pages(r, look);
        }
        let keys = look.wanted.keys.clone();
        let op = move |world: &mut Self| world.table.rows(&keys);
        self.call(r, Access::Read, op, move |world, rows: Result<Vec<Row>, StoreError>| match rows {
            Err(error) => look.failed(world, r, error),
            Ok(rows) => {
                look.round.rows = rows;
                world.look_at_pages(r, look);
            }
        });
    }

    fn look_at_pages(&mut self, r: usize, look: Look) {
        let keys = look.wanted.pages.clone();
        if keys.is_empty() {
            return self.looked(r, look, Vec::new());
        }
        let op = move |world: &mut Self| world.table.pages(&keys);
        self.call(r, Access::Read, op, move |world, found: Result<Found, StoreError>| match found {
            Err(error) => look.failed(world, r, error),
            // A world of this size needs one chunk.
            Ok(found) => {
                let page = |(key, body): (PageKey, Vec<u8>)| {
                    let page = pages::of(key.beat, &body).ok()??;
                    Some((key, page))
                };
                world.looked(r, look, found.into_iter().filter_map(page).collect());
            }
        });
    }

    fn looked(&mut self, r: usize, mut look: Look, found: Vec<(PageKey, Page)>) {
        let beats: HashMap<_, _> = look.round.beats.iter().map(|(id, beat, _)| (id.clone(), *beat)).collect();
        let told = |(key, page): (PageKey, Page)| {
            let beat = beats.get(&key.replica).copied()?;
            Some((key.replica, beat, page))
        };
        look.round.pages = found.into_iter().filter_map(told).collect();
        let mind = self.mind(r);
        mind.doubts.settle(&look.wanted.doubted);
        mind.cursors.done(look.wanted);
        self.ended(r, look.begun, look.round);
    }

    fn ended(&mut self, r: usize, begun: Ms, mut round: Round) {
        let now = self.now;
        let mind = self.mind(r);
        round.elapsed = std::time::Duration::from_millis(now - mind.round_ended);
        mind.round_ended = now;
        self.take_round(r, round);
        let next = (begun + ms(LEASES.poll())).saturating_sub(now);
        self.soon(r, next, move |world| world.look(r));
    }
}

impl Look {
    fn failed(mut self, world: &mut World, r: usize, error: StoreError) {
        self.round.failed = Some(error);
        world.ended(r, self.begun, self.round);
    }
}
