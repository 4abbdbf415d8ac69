//! One connection with its streams, made anew for ever.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::Context;
use futures_util::future::try_join_all;
use tokio::time::sleep;
use tonic::transport::Channel;

use super::{BACK, Plan, Seen, name, wish};
use crate::xds::{Delta, Sotw, connect, delta, sotw};

/// Whether the streams of a connection are of the delta variant.
pub fn is_delta(connection: usize) -> bool {
    connection % 2 == 1
}

/// What a delta stream has, and in which versions.
type Held = HashMap<String, String>;

/// Runs it.
pub async fn run(addr: SocketAddr, nth: usize, plan: Plan, seen: Arc<Seen>) {
    let mut held = vec![Held::new(); plan.streams];
    loop {
        if let Ok(channel) = connect(addr).await {
            let (channel, seen) = (&channel, &*seen);
            let streams = held.iter_mut().enumerate().map(async |(at, held)| {
                let nth_stream = nth * plan.streams + at;
                let wanted: Vec<_> = (0..plan.wants).map(|want| name(wish(nth_stream, want))).collect();
                let wanted: Vec<_> = wanted.iter().map(String::as_str).collect();
                match is_delta(nth) {
                    false => state_of_the_world(channel, &wanted, seen).await,
                    true => incremental(channel, &wanted, held, seen).await,
                }
            });
            // The first that ends ends them all: the registry has gone.
            drop(try_join_all(streams).await);
        }
        sleep(Duration::from_millis(fastrand::u64(100..1000))).await;
    }
}

async fn state_of_the_world(channel: &Channel, wanted: &[&str], seen: &Seen) -> anyhow::Result<()> {
    let mut stream = Sotw::aggregated(channel).await?;
    stream.say(sotw(wanted, "")).await?;
    let mut response = stream.next(BACK).await.context("the first answer")?;
    seen.begun.fetch_add(1, Ordering::SeqCst);
    loop {
        stream.say(sotw(wanted, &response.nonce)).await?;
        response = stream.next(Duration::MAX).await?;
        seen.news.fetch_add(response.resources.len(), Ordering::SeqCst);
    }
}

async fn incremental(channel: &Channel, wanted: &[&str], held: &mut Held, seen: &Seen) -> anyhow::Result<()> {
    // Who holds all that it wants is not answered: by this name, which is never held, it is seen that its request was.
    const NEW: &str = "new";
    let mut stream = Delta::aggregated(channel).await?;
    let mut request = delta(&[wanted, &[NEW]].concat(), &[], "");
    request.initial_resource_versions.clone_from(held);
    stream.say(request).await?;
    let mut begun = false;
    loop {
        let response = stream.next(if begun { Duration::MAX } else { BACK }).await?;
        let resent = response.resources.iter().filter(|it| held.get(&it.name) == Some(&it.version)).count();
        seen.resent.fetch_add(resent, Ordering::SeqCst);
        if std::mem::replace(&mut begun, true) {
            seen.news.fetch_add(response.resources.len(), Ordering::SeqCst);
        } else {
            seen.held.fetch_add(held.len(), Ordering::SeqCst);
            seen.begun.fetch_add(1, Ordering::SeqCst);
        }
        held.extend(response.resources.into_iter().filter(|it| it.name != NEW).map(|it| (it.name, it.version)));
        stream.say(delta(&[], &[], &response.nonce)).await?;
    }
}
