//! One client's requests, one after the other: each is judged by the rules, and passed on to the server or not.
//!
//! A request that arrives late, twice or when it is released travels on a connection of its own and no longer belongs to
//! its client: this is how a write of a process that has long given up, or been replaced, reaches the store.

use std::{
    io,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::{oneshot, watch},
    task::JoinSet,
    time::sleep,
};

use super::rules::{Fault, Rules};
use crate::wire::{Message, Reader};

/// The rules, and the requests that left their clients.
#[derive(Debug)]
pub(super) struct Judge {
    target: SocketAddr,
    pub rules: Mutex<Rules>,
    /// How often what is held was released.
    pub released: watch::Sender<u64>,
    strays: Mutex<JoinSet<()>>,
}

impl Judge {
    pub fn before(target: SocketAddr) -> Self {
        Self { target, rules: Mutex::default(), released: watch::Sender::new(0), strays: Mutex::default() }
    }

    /// Serves one client until it or the server ends the connection.
    pub async fn serve(&self, client: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let mut client = Reader::new(client);
        let mut server: Option<Reader<TcpStream>> = None;
        while let Some(request) = client.request().await? {
            let fault = self.rules.lock().unwrap_or_else(PoisonError::into_inner).judge(&request);
            let answer = match &fault {
                Some(Fault::Answer(bytes)) => bytes.clone(),
                Some(Fault::Lost) => return swallow(client).await,
                Some(Fault::Late(delay)) => answered(self.stray(request, sleep(*delay))).await?,
                Some(Fault::Held) => {
                    let mut released = self.released.subscribe();
                    let release = async move { drop(released.changed().await) };
                    answered(self.stray(request, release)).await?
                }
                None | Some(Fault::Unanswered | Fault::Truncated(_) | Fault::Twice(_)) => {
                    let server = match &mut server {
                        Some(server) => server,
                        None => server.insert(Reader::new(TcpStream::connect(self.target).await?)),
                    };
                    let answer = pass(server, &request).await?;
                    if let Some(Fault::Twice(delay)) = fault {
                        drop(self.stray(request, sleep(delay)));
                    }
                    answer
                }
            };
            match fault {
                Some(Fault::Unanswered) => return swallow(client).await,
                Some(Fault::Truncated(length)) => {
                    return client.stream.write_all(&answer[..length.min(answer.len())]).await;
                }
                _ => client.stream.write_all(&answer).await?,
            }
        }
        Ok(())
    }

    /// Sends a request when it is time, whoever still waits for its answer by then.
    fn stray(&self, request: Message, time: impl Future<Output = ()> + Send + 'static) -> oneshot::Receiver<Vec<u8>> {
        let (answer, receiver) = oneshot::channel();
        let target = self.target;
        let mut strays = self.strays.lock().unwrap_or_else(PoisonError::into_inner);
        while strays.try_join_next().is_some() {}
        strays.spawn(async move {
            time.await;
            let Ok(server) = TcpStream::connect(target).await else { return };
            if let Ok(bytes) = pass(&mut Reader::new(server), &request).await {
                let _ = answer.send(bytes);
            }
        });
        receiver
    }
}

async fn pass(server: &mut Reader<TcpStream>, request: &Message) -> io::Result<Vec<u8>> {
    server.stream.write_all(&request.bytes).await?;
    Ok(server.answer(request).await?.bytes)
}

async fn answered(answer: oneshot::Receiver<Vec<u8>>) -> io::Result<Vec<u8>> {
    answer.await.map_err(|_| io::ErrorKind::ConnectionReset.into())
}

/// Nothing more comes back, until the client gives up.
async fn swallow(mut client: Reader<impl AsyncRead + Unpin>) -> io::Result<()> {
    while client.request().await?.is_some() {}
    Ok(())
}
