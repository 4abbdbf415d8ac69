//! What becomes of bytes: the state of the network between a client and a server, and the carriage of one connection
//! through it.
//!
//! Nothing is thrown away in the middle of a connection, as TCP throws nothing away: what is held moves on when its way
//! opens, and is lost only with the connection.

use std::{future::pending, io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

/// What becomes of connections and of their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Everything is let through.
    Open,
    /// As `Still` for new connections; those that stand are ended.
    Closed,
    /// Nothing moves, and nobody is told.
    Still,
    /// What clients say arrives, what is answered does not.
    Mute,
    /// What clients say does not arrive, what is answered does.
    Deaf,
    /// As at a machine whose process has died: those that stand are reset, new ones refused.
    Refused,
    /// Those that stand are reset, new ones too as soon as they are made.
    Reset,
}

/// How long bytes take, each way: the delay and up to the jitter on top, at random; their order stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lag {
    /// At least.
    pub delay: Duration,
    /// On top, at most.
    pub jitter: Duration,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    pub flow: Flow,
    pub lag: Lag,
    /// How often those that stood were forgotten.
    pub forgotten: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

impl State {
    fn moves(&self, way: Way, born: u64) -> bool {
        let open = match self.flow {
            Flow::Open => true,
            Flow::Mute => way == Way::There,
            Flow::Deaf => way == Way::Back,
            Flow::Closed | Flow::Still | Flow::Refused | Flow::Reset => false,
        };
        open && self.forgotten == born
    }

    /// Whether connections that stand are ended.
    pub fn ends(&self) -> bool {
        matches!(self.flow, Flow::Closed | Flow::Refused | Flow::Reset)
    }

    /// Whether who is new is passed on to the server.
    pub fn admits(&self) -> bool {
        matches!(self.flow, Flow::Open | Flow::Mute)
    }

    /// Whether an end of a connection is as rude as it can be.
    pub fn resets(&self) -> bool {
        matches!(self.flow, Flow::Refused | Flow::Reset)
    }
}

/// Carries bytes between the two until both have ended or the state ends the connection.
pub(super) async fn carry<S: AsyncRead + AsyncWrite>(
    client: &mut TcpStream,
    server: S,
    said: Vec<u8>,
    state: &mut watch::Receiver<State>,
    born: u64,
) {
    let (from_client, to_client) = client.split();
    let (from_server, mut to_server) = tokio::io::split(server);
    if to_server.write_all(&said).await.is_err() {
        return;
    }
    let there = pump(from_client, to_server, Way::There, state.clone(), born);
    let back = pump(from_server, to_client, Way::Back, state.clone(), born);
    tokio::select! {
        _ = async { tokio::try_join!(there, back) } => {}
        _ = state.wait_for(State::ends) => {}
    }
}

/// One way: reading and writing side by side, so that a delay does not become a limit of the throughput.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    way: Way,
    mut state: watch::Receiver<State>,
    born: u64,
) -> io::Result<()> {
    let (queue, mut due) = mpsc::channel::<(Instant, Vec<u8>)>(64);
    let lag = state.clone();
    let read = async move {
        let mut last = Instant::now();
        loop {
            let mut bytes = Vec::with_capacity(16 * 1024);
            if !matches!(from.read_buf(&mut bytes).await, Ok(1..)) {
                return;
            }
            let Lag { delay, jitter } = lag.borrow().lag;
            last = last.max(Instant::now() + delay + jitter.mul_f64(fastrand::f64()));
            if queue.send((last, bytes)).await.is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((at, bytes)) = due.recv().await {
            sleep_until(at).await;
            moving(&mut state, way, born).await?;
            to.write_all(&bytes).await?;
        }
        moving(&mut state, way, born).await?;
        to.shutdown().await
    };
    tokio::select! {
        written = write => written,
        // Who has nothing more to say may still have something on its way.
        never = async { read.await; pending().await } => never,
    }
}

async fn moving(state: &mut watch::Receiver<State>, way: Way, born: u64) -> io::Result<()> {
    let moves = state.wait_for(|state| state.moves(way, born)).await;
    moves.map(drop).map_err(|_| io::ErrorKind::BrokenPipe.into())
}
