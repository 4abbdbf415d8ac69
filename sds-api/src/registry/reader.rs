//! The reader's rounds: the headers of all replicas three times a second, and what they make this one want. The work does
//! not grow with the number of instances, of Envoys or of heartbeats; only with what changed.
//!
//! A round that fails half-way hands over the rows that it has, but counts as not done: it is made again, and no lease runs
//! meanwhile.

use std::collections::HashMap;

use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    cursors::Cursors,
    doubts::Doubts,
    lease::Leases,
    pages::{self, Page},
    round::Round,
};
use crate::{
    replica::{PageKey, ReplicaId},
    store::{Store, StoreError},
};

/// Starts the rounds; they end when nobody takes them.
pub fn start(store: Store, own: ReplicaId, leases: Leases, doubts: Doubts) -> mpsc::Receiver<Round> {
    let (rounds, taken) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut cursors = Cursors::new(own);
        let mut every = interval(leases.poll());
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ended = Instant::now();
        loop {
            every.tick().await;
            let mut round = Round::default();
            round.failed = look(&store, &mut cursors, &doubts, &mut round).await.err();
            round.elapsed = ended.elapsed();
            ended += round.elapsed;
            if rounds.send(round).await.is_err() {
                return;
            }
        }
    });
    taken
}

async fn look(store: &Store, cursors: &mut Cursors, doubts: &Doubts, round: &mut Round) -> Result<(), StoreError> {
    round.began = Some(Instant::now());
    let mut heads = store.heads().await?;
    round.seen = heads.iter_mut().map(|head| (head.id.clone(), std::mem::take(&mut head.seen))).collect();
    let mut wanted = cursors.look(heads, doubts.all());
    round.beats = std::mem::take(&mut wanted.beats);
    round.tellers = std::mem::take(&mut wanted.tellers);
    round.full_read = wanted.full_read;
    round.doubted = wanted.doubted.keys().cloned().collect();
    round.rows = if wanted.keys.is_empty() { Vec::new() } else { store.rows(&wanted.keys).await? };
    let first = read_pages(store, &wanted.pages).await?;
    let rest = |(key, page): &(PageKey, Page)| {
        let (replica, beat) = (key.replica.clone(), key.beat);
        (1..page.chunks).map(move |chunk| PageKey { replica: replica.clone(), beat, chunk })
    };
    let rest: Vec<_> = first.iter().flat_map(rest).collect();
    let rest = read_pages(store, &rest).await?;
    let beats: HashMap<_, _> = round.beats.iter().map(|(id, beat, _)| (id.clone(), *beat)).collect();
    let told = |(key, page): (PageKey, Page)| {
        let beat = beats.get(&key.replica).copied()?;
        Some((key.replica, beat, page))
    };
    round.pages = first.into_iter().chain(rest).filter_map(told).collect();
    doubts.settle(&wanted.doubted);
    cursors.done(wanted);
    Ok(())
}

/// Pages that are not there, or not readable, are no evidence of anything.
async fn read_pages(store: &Store, keys: &[PageKey]) -> Result<Vec<(PageKey, Page)>, StoreError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let read = store.pages(keys).await?;
    let decoded = read.into_iter().filter_map(|(key, body)| match pages::of(key.beat, &body) {
        Ok(page) => page.map(|page| (key, page)),
        Err(error) => {
            tracing::warn!(replica = %key.replica, beat = key.beat, %error, "a page of heartbeats cannot be read");
            None
        }
    });
    Ok(decoded.collect())
}
