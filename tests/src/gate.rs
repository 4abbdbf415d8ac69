//! A TCP gate between two of our processes: closed, it accepts and is silent, like a network that swallows packets;
//! open, it passes everything on.

use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// A gate that was closed when it was made.
#[derive(Debug)]
pub struct Gate {
    /// Where it listens.
    pub addr: SocketAddr,
    open: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

impl Gate {
    /// A closed gate before `target`.
    pub async fn closed(target: SocketAddr) -> anyhow::Result<Self> {
        Self::before(target, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// A closed gate before `target`, at an address of the caller's choice.
    pub async fn before(target: SocketAddr, at: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(at).await?;
        let addr = listener.local_addr()?;
        let (open, state) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(pass(client, target, state.clone()));
            }
        });
        Ok(Self { addr, open, _tasks: tasks })
    }

    /// Lets everything through, also what was held so far.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Swallows what new connections say, and ends those that stand.
    pub fn close(&self) {
        self.open.send_replace(false);
    }
}

async fn pass(mut client: TcpStream, target: SocketAddr, mut state: watch::Receiver<bool>) {
    if state.wait_for(|open| *open).await.is_err() {
        return;
    }
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = state.wait_for(|open| !*open) => {}
    }
}
