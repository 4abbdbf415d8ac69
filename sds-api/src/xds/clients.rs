//! Who holds a stream: each writes down what it wants, what it was told and what it said to that, for people to read.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    catalog::Kind,
    subscription::{Answer, Subscription},
    wire::Node,
};
use crate::clock::Timestamp;

/// So much of what a client calls itself is kept.
const WORDS: usize = 256;

/// All open streams of this replica; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Clients(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    streams: BTreeMap<u64, Arc<Mutex<Client>>>,
    last: u64,
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
    /// The names.
    pub names: Vec<Arc<str>>,
    /// The version that it was told last.
    pub version: String,
    /// When.
    pub told: Timestamp,
    /// What it said to that.
    pub answer: Answer,
    /// Why it last refused something, if it did.
    pub refusal: String,
}

/// A stream's place among them; it is given up when this is dropped.
#[derive(Debug)]
pub struct Place {
    clients: Clients,
    number: u64,
    client: Arc<Mutex<Client>>,
}

impl Clients {
    /// A stream was opened.
    pub fn open(&self, peer: Option<SocketAddr>, variant: &'static str) -> Place {
        let client = Client { peer, node: Node::default(), variant, since: Timestamp::now(), wants: Vec::new() };
        let client = Arc::new(Mutex::new(client));
        let mut open = lock(&self.0);
        open.last += 1;
        let number = open.last;
        open.streams.insert(number, client.clone());
        drop(open);
        Place { clients: self.clone(), number, client }
    }

    /// Those that `wanted` picks, the oldest first, at most `limit`; and how many there are in all.
    pub fn list(&self, limit: usize, wanted: impl Fn(&Client) -> bool) -> (Vec<Client>, usize) {
        let streams: Vec<_> = lock(&self.0).streams.values().cloned().collect();
        let all = streams.len();
        let picked = streams.iter().map(|client| lock(client).clone()).filter(|client| wanted(client));
        (picked.take(limit).collect(), all)
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

    /// A request was heard; why it refused, if it did.
    pub fn heard(&self, kind: Kind, subscription: &Subscription, refusal: Option<&str>) {
        self.update(kind, |wants| {
            // Most requests accept something, and name what they named before.
            if !wants.names.iter().eq(subscription.names()) {
                wants.names = subscription.names().cloned().collect();
            }
            wants.answer = subscription.answer();
            if let Some(refusal) = refusal {
                refusal.clone_into(&mut wants.refusal);
            }
        });
    }

    /// A response was sent.
    pub fn told(&self, kind: Kind, version: String) {
        self.update(kind, |wants| {
            (wants.version, wants.told, wants.answer) = (version, Timestamp::now(), Answer::Awaited);
        });
    }

    fn update(&self, kind: Kind, change: impl FnOnce(&mut Wants)) {
        let mut client = lock(&self.client);
        if let Some(wants) = client.wants.iter_mut().find(|wants| wants.kind == kind) {
            return change(wants);
        }
        let mut wants = Wants {
            kind,
            names: Vec::new(),
            version: String::new(),
            told: Timestamp::of_seconds(0),
            answer: Answer::Awaited,
            refusal: String::new(),
        };
        change(&mut wants);
        client.wants.push(wants);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.clients.0).streams.remove(&self.number);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
