//! One registrant as the tests hold it: who it is, what it is to do, and what came of it. `caller` does it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinHandle, time::Instant};

use super::caller::Caller;
use crate::clock;

/// Who registers.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Its service.
    pub service: String,
    /// `ip:port`.
    pub at: String,
    /// The first one; by default the wall clock in ms, as a sidecar takes it.
    pub incarnation: u64,
    /// What is laid over a healthy registration.
    pub more: Value,
}

impl Spec {
    /// Of a service, at an address of its own: 10.0.0.0 and `nth` + 1.
    pub fn new(service: &str, nth: u32) -> Self {
        Self::at(service, SocketAddr::from((Ipv4Addr::from_bits(0x0a00_0001 + nth), 80)))
    }

    /// Of a service, at this address.
    pub fn at(service: &str, at: SocketAddr) -> Self {
        let incarnation = clock::epoch_seconds() * 1000;
        Self { service: service.to_owned(), at: at.to_string(), incarnation, more: json!({}) }
    }

    /// Of this task.
    pub fn task(mut self, arn: &str) -> Self {
        self.more["task_arn"] = json!(arn);
        self
    }

    /// In this zone.
    pub fn zone(mut self, zone: &str) -> Self {
        self.more["locality"] = json!({"region": "eu-1", "zone": zone});
        self
    }
}

/// What it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Serving,
    Draining,
    /// Says goodbye until that was heard.
    Leaving,
    /// Its connection stands and it says nothing.
    Silent,
    /// Its connection is gone too.
    Dead,
}

/// What it is to do, and what it says of itself.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub stage: Stage,
    pub more: Value,
}

/// What came of its calls so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    /// Answered with a 2xx.
    pub held: u64,
    /// Answered with a 2xx that told that this replica cannot vouch.
    pub unvouched: u64,
    /// Answered with 409.
    pub superseded: u64,
    /// Answered with a 503 and the like, or not at all.
    pub failed: u64,
    /// Answered with another 4xx.
    pub refused: u64,
    /// When it was last told that it holds.
    pub last: Option<Instant>,
    /// The incarnation that it has by now.
    pub incarnation: u64,
    /// Whether its goodbye was heard.
    pub gone: bool,
}

impl Seen {
    /// The counts of both.
    pub fn plus(self, other: Self) -> Self {
        Self {
            held: self.held + other.held,
            unvouched: self.unvouched + other.unvouched,
            superseded: self.superseded + other.superseded,
            failed: self.failed + other.failed,
            refused: self.refused + other.refused,
            ..other
        }
    }
}

/// A running one; dropped it is dead.
#[derive(Debug)]
pub struct Registrant {
    /// Who it is.
    pub spec: Spec,
    wish: watch::Sender<Wish>,
    seen: watch::Receiver<Seen>,
    task: JoinHandle<()>,
}

impl Registrant {
    /// Starts one after a while; it calls the first of the replicas, and another one when that does not work.
    pub fn start(spec: Spec, replicas: Vec<SocketAddr>, after: Duration) -> Self {
        let (wish, wished) = watch::channel(Wish { stage: Stage::Serving, more: spec.more.clone() });
        let (seen, receiver) = watch::channel(Seen { incarnation: spec.incarnation, ..Seen::default() });
        let task = tokio::spawn(Caller::new(&spec, replicas, seen).run(wished, Instant::now() + after));
        Self { spec, wish, seen: receiver, task }
    }

    /// What it has seen so far.
    pub fn seen(&self) -> Seen {
        *self.seen.borrow()
    }

    /// Registers (again, if it was silent) and goes on with heartbeats; after a goodbye with a new incarnation.
    pub fn serve(&self) {
        self.stage(Stage::Serving);
    }

    /// Serves with something else laid over its registration.
    pub fn change(&self, more: Value) {
        self.wish.send_replace(Wish { stage: Stage::Serving, more });
    }

    /// Drains.
    pub fn drain(&self) {
        self.stage(Stage::Draining);
    }

    /// Says goodbye.
    pub fn leave(&self) {
        self.stage(Stage::Leaving);
    }

    /// Falls silent; its connection stands.
    pub fn silence(&self) {
        self.stage(Stage::Silent);
    }

    /// Dies without a word.
    pub fn kill(&self) {
        self.stage(Stage::Dead);
    }

    fn stage(&self, stage: Stage) {
        self.wish.send_modify(|wish| wish.stage = stage);
    }
}

impl Drop for Registrant {
    fn drop(&mut self) {
        self.task.abort();
    }
}
