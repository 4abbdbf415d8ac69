//! One registrant's connection to one replica after the other.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{error::Elapsed, timeout},
};

use crate::wire::{Message, Reader};

/// For everything, as the sidecar's.
const CALL: Duration = Duration::from_secs(2);

/// Where it calls, and the connection if one stands.
#[derive(Debug)]
pub(crate) struct Line {
    replicas: Vec<SocketAddr>,
    at: usize,
    stream: Option<Reader<TcpStream>>,
}

impl Line {
    pub fn new(replicas: Vec<SocketAddr>) -> Self {
        Self { replicas, at: 0, stream: None }
    }

    /// Hangs up; the next call goes to the next replica.
    pub fn next(&mut self) {
        self.stream = None;
        self.at = (self.at + 1) % self.replicas.len().max(1);
    }

    /// One call; whoever gives it up gives up its connection.
    pub async fn call(&mut self, method: &str, path: &str, body: &str) -> io::Result<Message> {
        let head = format!("{method} {path} HTTP/1.1\r\nhost: sds\r\ncontent-type: application/json\r\n");
        let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        let request = Message::new(request.into_bytes())?;
        let call = async {
            if let Some(standing) = self.stream.take()
                && let Ok(answer) = self.ask(standing, &request).await
            {
                return Ok(answer);
            }
            // A server ends idle connections when it likes to, which is no failure of it.
            let addr = self.replicas.get(self.at).copied().ok_or(io::ErrorKind::NotFound)?;
            let stream = Reader::new(TcpStream::connect(addr).await?);
            self.ask(stream, &request).await
        };
        timeout(CALL, call).await.map_err(|_: Elapsed| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn ask(&mut self, mut stream: Reader<TcpStream>, request: &Message) -> io::Result<Message> {
        stream.stream.write_all(&request.bytes).await?;
        let answer = stream.answer(request).await?;
        if !answer.header("connection").eq_ignore_ascii_case("close") {
            self.stream = Some(stream);
        }
        Ok(answer)
    }
}
