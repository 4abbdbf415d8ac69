//! Who holds a stream, and what each wants, was told and said to that: kept where a stream finds its own at once, people can
//! read it, and a drain learns who knows of it.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    catalog::Kind,
    subscription::{Held, Subscription},
    wire::Node,
};
use crate::clock::Timestamp;

/// So much of what a client calls itself is kept.
const WORDS: usize = 256;
/// A client whose stream has ended goes on with what it holds until it has opened another one, here or elsewhere.
const GRACE: Duration = Duration::from_secs(5);

/// All streams of this replica; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Clients(Arc<Mutex<Streams>>);

type Shared = Arc<Mutex<Client>>;

#[derive(Debug, Default)]
struct Streams {
    open: BTreeMap<u64, Shared>,
    /// Those of the last [`GRACE`].
    ended: VecDeque<(Instant, Shared)>,
    last: u64,
}

impl Streams {
    fn forget(&mut self) {
        while self.ended.front().is_some_and(|(at, _)| at.elapsed() >= GRACE) {
            self.ended.pop_front();
        }
    }
}

/// One stream.
#[derive(Debug, Clone)]
pub struct Client {
    /// The other end, if it is known.
    pub peer: Option<SocketAddr>,
    /// As it called itself.
    pub node: Node,
    /// Of the protocol.
    pub variant: &'static str,
    /// When it was opened.
    pub since: Timestamp,
    /// By type.
    pub wants: Vec<Wants>,
}

/// What it wants of one type.
#[derive(Debug, Clone)]
pub struct Wants {
    /// Of which.
    pub kind: Kind,
    /// The names, and what was said of them on either side.
    pub subscription: Subscription,
    /// The version that it was told last.
    pub version: String,
    /// When.
    pub told: Timestamp,
    /// Why it last refused something, if it did.
    pub refusal: String,
}

/// A stream's place among them; it is given up when this is dropped.
#[derive(Debug)]
pub struct Place {
    clients: Clients,
    number: u64,
    client: Shared,
}

impl Clients {
    /// A stream was opened.
    pub fn open(&self, peer: Option<SocketAddr>, variant: &'static str) -> Place {
        let client = Client { peer, node: Node::default(), variant, since: Timestamp::now(), wants: Vec::new() };
        let client = Arc::new(Mutex::new(client));
        let mut streams = lock(&self.0);
        streams.last += 1;
        let number = streams.last;
        streams.open.insert(number, client.clone());
        drop(streams);
        Place { clients: self.clone(), number, client }
    }

    /// Those that `wanted` picks, the oldest first, at most `limit`; and how many there are in all.
    pub fn list(&self, limit: usize, wanted: impl Fn(&Client) -> bool) -> (Vec<Client>, usize) {
        let streams: Vec<_> = lock(&self.0).open.values().cloned().collect();
        let all = streams.len();
        let picked = streams.iter().map(lock).filter(|client| wanted(client)).map(|client| client.clone());
        (picked.take(limit).collect(), all)
    }

    /// Shows each client that wants a service's endpoints, and what it holds of them.
    pub fn holders(&self, service: &str, mut each: impl FnMut(&Client, Held)) {
        let mut streams = lock(&self.0);
        streams.forget();
        let ended = streams.ended.iter().map(|(_, client)| client);
        let all: Vec<_> = streams.open.values().chain(ended).cloned().collect();
        drop(streams);
        for client in &all {
            let client = lock(client);
            let endpoints = client.wants.iter().find(|wants| wants.kind == Kind::Endpoints);
            match endpoints.map_or(Held::Unwanted, |wants| wants.subscription.held(service)) {
                Held::Unwanted => {}
                held => each(&client, held),
            }
        }
    }
}

impl Place {
    /// It said who it is.
    pub fn is(&self, node: Node) {
        let short = |text: String| text.chars().take(WORDS).collect();
        lock(&self.client).node = Node { id: short(node.id), cluster: short(node.cluster) };
    }

    /// Who it is.
    pub fn node(&self) -> Node {
        lock(&self.client).node.clone()
    }

    /// The types that it wants something of.
    pub fn kinds(&self) -> Vec<Kind> {
        lock(&self.client).wants.iter().map(|wants| wants.kind).collect()
    }

    /// Works with what it wants of a type.
    pub fn with<T>(&self, kind: Kind, work: impl FnOnce(&mut Wants) -> T) -> T {
        let mut client = lock(&self.client);
        if let Some(wants) = client.wants.iter_mut().find(|wants| wants.kind == kind) {
            return work(wants);
        }
        let mut wants = Wants {
            kind,
            subscription: Subscription::default(),
            version: String::new(),
            told: Timestamp::of_seconds(0),
            refusal: String::new(),
        };
        let done = work(&mut wants);
        client.wants.push(wants);
        done
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut streams = lock(&self.clients.0);
        streams.forget();
        if let Some(client) = streams.open.remove(&self.number) {
            streams.ended.push_back((Instant::now(), client));
        }
    }
}

fn lock<T>(mutex: &Arc<Mutex<T>>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
