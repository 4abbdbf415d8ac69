//! A TCP gate between two of our processes that does what networks do: it lets everything through, swallows everything
//! without a word, or forgets the connections that stand, so that their ends believe in them (half-open). It counts who
//! comes.

use std::{
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::Instant,
};

/// What becomes of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Open,
    /// As `Still` for new connections; those that stand are ended.
    Closed,
    /// Nothing moves, and nobody is told.
    Still,
}

#[derive(Debug, Clone, Copy)]
struct State {
    flow: Flow,
    /// How often those that stood were forgotten.
    forgotten: u64,
}

/// A gate that was closed when it was made.
#[derive(Debug)]
pub struct Gate {
    /// Where it listens.
    pub addr: SocketAddr,
    state: watch::Sender<State>,
    accepted: Arc<Mutex<Vec<Instant>>>,
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

    /// A closed gate before `target`, at an address of the caller's choice.
    pub async fn before(target: SocketAddr, at: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(at).await?;
        let addr = listener.local_addr()?;
        let (state, receiver) = watch::channel(State { flow: Flow::Closed, forgotten: 0 });
        let accepted = Arc::<Mutex<Vec<Instant>>>::default();
        let (mut tasks, book) = (JoinSet::new(), accepted.clone());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                book.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
                connections.spawn(pass(client, target, receiver.clone()));
            }
        });
        Ok(Self { addr, state, accepted, _tasks: tasks })
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

    /// Swallows everything on those that stand, for ever; new ones are let through.
    pub fn forget(&self) {
        self.state.send_modify(|state| state.forgotten += 1);
    }

    /// When each connection came.
    pub fn accepted(&self) -> Vec<Instant> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn flow(&self, flow: Flow) {
        self.state.send_modify(|state| state.flow = flow);
    }
}

async fn pass(mut client: TcpStream, target: SocketAddr, mut state: watch::Receiver<State>) {
    // Who gives up while it is held is not passed on later: a thousand of those would be a flood of the gate's making.
    let mut said = Vec::new();
    let born = loop {
        tokio::select! {
            biased;
            opened = state.wait_for(|state| state.flow == Flow::Open) => match opened {
                Ok(state) => break state.forgotten,
                Err(_) => return,
            },
            read = client.read_buf(&mut said) => if !matches!(read, Ok(1..)) { return },
        }
    };
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    if server.write_all(&said).await.is_err() {
        return;
    }
    let mut copy = pin!(copy_bidirectional(&mut client, &mut server));
    loop {
        let State { flow, forgotten } = *state.borrow_and_update();
        if flow == Flow::Closed {
            return;
        }
        tokio::select! {
            _ = &mut copy, if flow == Flow::Open && forgotten == born => return,
            changed = state.changed() => if changed.is_err() { return },
        }
    }
}
