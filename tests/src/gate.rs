//! A gate between two of our processes that does what networks and AWS do: it delays, holds, cuts and forgets
//! connections, and, if it stands before an HTTP server, answers requests in its place, delays them, doubles them, or
//! loses them or their answers. It counts who comes.
//!
//! `flow` carries bytes and decides about connections; `judge` and `rules` decide about single requests. A gate that is
//! not asked to look at HTTP carries anything.

mod flow;
mod judge;
mod rules;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    future::pending,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use flow::State;
pub use flow::{Flow, Lag};
use judge::Judge;
pub use rules::Fault;
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    task::JoinSet,
    time::Instant,
};

use crate::wire::Message;

/// A gate before a server.
#[derive(Debug)]
pub struct Gate {
    /// Where it listens.
    pub addr: SocketAddr,
    state: watch::Sender<State>,
    accepted: Arc<Mutex<Vec<Instant>>>,
    judge: Option<Arc<Judge>>,
    _tasks: JoinSet<()>,
}

impl Gate {
    /// A closed gate before `target`.
    pub async fn closed(target: SocketAddr) -> anyhow::Result<Self> {
        Self::before(target, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// An open gate before `target`.
    pub async fn opened(target: SocketAddr) -> anyhow::Result<Self> {
        let gate = Self::closed(target).await?;
        gate.open();
        Ok(gate)
    }

    /// An open gate before an HTTP/1.1 server, which judges requests.
    pub async fn http(target: SocketAddr) -> anyhow::Result<Self> {
        let at = SocketAddr::from(([127, 0, 0, 1], 0));
        let gate = Self::make(target, at, Some(Arc::new(Judge::before(target)))).await?;
        gate.open();
        Ok(gate)
    }

    /// A closed gate before `target`, at an address of the caller's choice.
    pub async fn before(target: SocketAddr, at: SocketAddr) -> anyhow::Result<Self> {
        Self::make(target, at, None).await
    }

    async fn make(target: SocketAddr, at: SocketAddr, judge: Option<Arc<Judge>>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(at).await?;
        let addr = listener.local_addr()?;
        let (state, receiver) = watch::channel(State { flow: Flow::Closed, lag: Lag::default(), forgotten: 0 });
        let accepted = Arc::<Mutex<Vec<Instant>>>::default();
        let mut tasks = JoinSet::new();
        let door = Door { addr, target, state: receiver, accepted: accepted.clone(), judge: judge.clone() };
        tasks.spawn(async move { drop(door.keep(listener).await) });
        Ok(Self { addr, state, accepted, judge, _tasks: tasks })
    }

    /// Lets everything through, also what was held so far.
    pub fn open(&self) {
        self.flow(Flow::Open);
    }

    /// Swallows what new connections say, and ends those that stand.
    pub fn close(&self) {
        self.flow(Flow::Closed);
    }

    /// Swallows everything on all connections, until it is opened.
    pub fn still(&self) {
        self.flow(Flow::Still);
    }

    /// Does this with all connections from now on.
    pub fn flow(&self, flow: Flow) {
        self.state.send_modify(|state| state.flow = flow);
    }

    /// Swallows everything on those that stand, for ever; new ones are let through.
    pub fn forget(&self) {
        self.state.send_modify(|state| state.forgotten += 1);
    }

    /// Delays what is said from now on.
    pub fn lag(&self, lag: Lag) {
        self.state.send_modify(|state| state.lag = lag);
    }

    /// When each connection came.
    pub fn accepted(&self) -> Vec<Instant> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Requests to which this applies meet a fault, as long as no earlier rule applies.
    pub fn strike(&self, fault: Fault, applies: impl FnMut(&Message) -> bool + Send + 'static) {
        self.judge().rules.lock().unwrap_or_else(PoisonError::into_inner).add(applies, fault, false);
    }

    /// The next request to which this applies meets a fault.
    pub fn strike_once(&self, fault: Fault, applies: impl FnMut(&Message) -> bool + Send + 'static) {
        self.judge().rules.lock().unwrap_or_else(PoisonError::into_inner).add(applies, fault, true);
    }

    /// No request meets a fault any more; what is held stays so.
    pub fn spare(&self) {
        self.judge().rules.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Lets go on what is held.
    pub fn release(&self) {
        self.judge().released.send_modify(|times| *times += 1);
    }

    /// How many requests came, by operation of DynamoDB, else by method.
    pub fn requests(&self) -> BTreeMap<String, u64> {
        self.judge().rules.lock().unwrap_or_else(PoisonError::into_inner).requests()
    }

    /// How many requests met a fault.
    pub fn struck(&self) -> u64 {
        self.judge().rules.lock().unwrap_or_else(PoisonError::into_inner).struck()
    }

    fn judge(&self) -> &Judge {
        self.judge.as_deref().expect("a gate that was made by Gate::http")
    }
}

/// Who lets connections in.
struct Door {
    addr: SocketAddr,
    target: SocketAddr,
    state: watch::Receiver<State>,
    accepted: Arc<Mutex<Vec<Instant>>>,
    judge: Option<Arc<Judge>>,
}

impl Door {
    async fn keep(mut self, mut listener: TcpListener) -> io::Result<()> {
        let mut connections = JoinSet::new();
        let mut turned = self.state.clone();
        loop {
            let refused = async { turned.wait_for(|state| state.flow == Flow::Refused).await.map(drop) };
            tokio::select! {
                accepted = listener.accept() => {
                    let (client, _) = accepted?;
                    self.accepted.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
                    connections.spawn(pass(client, self.target, self.judge.clone(), self.state.clone()));
                }
                refused = refused => {
                    refused.map_err(io::Error::other)?;
                    drop(listener);
                    listener = self.refuse().await?;
                }
            }
            while connections.try_join_next().is_some() {}
        }
    }

    /// Keeps the port without listening, which refuses whoever comes.
    async fn refuse(&mut self) -> io::Result<TcpListener> {
        let socket = if self.addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(self.addr)?;
        self.state.wait_for(|state| state.flow != Flow::Refused).await.map_err(io::Error::other)?;
        socket.listen(1024)
    }
}

async fn pass(mut client: TcpStream, target: SocketAddr, judge: Option<Arc<Judge>>, mut state: watch::Receiver<State>) {
    // A gate that is open costs no time: small segments do not wait for each other.
    let _ = client.set_nodelay(true);
    let Some((said, born)) = admit(&mut client, &mut state).await else { return };
    match judge {
        None => {
            if let Ok(server) = TcpStream::connect(target).await {
                let _ = server.set_nodelay(true);
                flow::carry(&mut client, server, said, &mut state, born).await;
            }
        }
        Some(judge) => {
            let (near, far) = tokio::io::duplex(64 * 1024);
            let judged = async {
                drop(judge.serve(far).await);
                pending().await
            };
            tokio::select! {
                () = flow::carry(&mut client, near, said, &mut state, born) => {}
                () = judged => {}
            }
        }
    }
    if state.borrow().resets() {
        let _ = client.set_zero_linger();
    }
}

/// Waits until a client may be passed on; tells what it said meanwhile, and how often others were forgotten before.
async fn admit(client: &mut TcpStream, state: &mut watch::Receiver<State>) -> Option<(Vec<u8>, u64)> {
    // Who gives up while it is held is not passed on later: a thousand of those would be a flood of the gate's making.
    let mut said = Vec::new();
    loop {
        tokio::select! {
            biased;
            decided = state.wait_for(|state| state.admits() || state.resets()) => {
                let decided = *decided.ok()?;
                if decided.admits() {
                    return Some((said, decided.forgotten));
                }
                let _ = client.set_zero_linger();
                return None;
            }
            read = client.read_buf(&mut said) => if !matches!(read, Ok(1..)) { return None },
        }
    }
}
