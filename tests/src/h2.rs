//! HTTP/2 frame by frame, for what no client would send: streams that are opened only to be reset, heads that never end,
//! answers that nobody takes.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Kinds of frames.
pub mod kind {
    /// Of a request's or an answer's body.
    pub const DATA: u8 = 0;
    /// A head's beginning, or all of it.
    pub const HEADERS: u8 = 1;
    /// The end of one stream.
    pub const RST_STREAM: u8 = 3;
    /// What the sender wishes.
    pub const SETTINGS: u8 = 4;
    /// To be answered by its like.
    pub const PING: u8 = 6;
    /// No more streams.
    pub const GOAWAY: u8 = 7;
    /// More of a head.
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub mod flag {
    /// The last frame of its stream.
    pub const END_STREAM: u8 = 1;
    /// The last frame of its head.
    pub const END_HEADERS: u8 = 4;
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: u8,
    /// With which flags.
    pub flags: u8,
    /// Of which stream; 0 is the connection.
    pub stream: u32,
    /// What it says.
    pub payload: Vec<u8>,
}

impl Frame {
    /// Of these parts.
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self { kind, flags, stream, payload: payload.into() }
    }

    /// The head of a request, in the plainest spelling that HPACK knows.
    pub fn request(flags: u8, stream: u32, method: &str, path: &str, more: &[(&str, &str)]) -> Self {
        // A literal without indexing: of a name from the static table, or of a new one.
        let literal = |name: &[u8], text: &str| [name, &string(text)].concat();
        let mut block =
            [literal(&[0x02], method), vec![0x86], literal(&[0x04], path), literal(&[0x01], "sds")].concat();
        for (name, value) in more {
            block.extend(literal(&[&[0x00], &string(name)[..]].concat(), value));
        }
        Self::new(kind::HEADERS, flags, stream, block)
    }

    /// What is sent for it.
    pub fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).unwrap_or(u32::MAX).to_be_bytes();
        let stream = self.stream.to_be_bytes();
        [&length[1..], &[self.kind, self.flags], &stream[..], &self.payload].concat()
    }

    /// The number in the first or, of GOAWAY, the second four bytes of what it says: why it ends.
    pub fn reason(&self) -> Option<u32> {
        let at = if self.kind == kind::GOAWAY { 4 } else { 0 };
        Some(u32::from_be_bytes(self.payload.get(at..at + 4)?.try_into().ok()?))
    }
}

/// Length, then the text; the length is a number of HPACK's with a prefix of seven bits.
fn string(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    match text.len() {
        short @ ..127 => bytes.push(short as u8),
        long => {
            bytes.push(127);
            let mut left = long - 127;
            while left >= 128 {
                bytes.push((left % 128) as u8 | 128);
                left /= 128;
            }
            bytes.push(left as u8);
        }
    }
    bytes.extend(text.as_bytes());
    bytes
}

/// A connection.
#[derive(Debug)]
pub struct H2(TcpStream);

impl H2 {
    /// Connects and says these settings.
    pub async fn connect(addr: SocketAddr, settings: &[(u16, u32)]) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect(addr).await?;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
        let said = settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat());
        let mut connection = Self(stream);
        connection.send(&Frame::new(kind::SETTINGS, 0, 0, said.collect::<Vec<_>>())).await?;
        Ok(connection)
    }

    /// Sends a frame.
    pub async fn send(&mut self, frame: &Frame) -> anyhow::Result<()> {
        Ok(self.0.write_all(&frame.bytes()).await?)
    }

    /// Sends as they are.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        Ok(self.0.write_all(bytes).await?)
    }

    /// The next frame, `None` when the other side has closed.
    pub async fn next(&mut self) -> anyhow::Result<Option<Frame>> {
        let mut head = [0; 9];
        match self.0.read_exact(&mut head).await {
            Ok(_) => {}
            Err(_) => return Ok(None),
        }
        let [a, b, c, kind, flags, s, t, u, v] = head;
        let length = usize::try_from(u32::from_be_bytes([0, a, b, c]))?;
        ensure!(length <= 1 << 14, "a frame of {length} bytes");
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).await.context("half a frame")?;
        Ok(Some(Frame { kind, flags, stream: u32::from_be_bytes([s, t, u, v]), payload }))
    }

    /// The first frame of a kind, whatever comes before it.
    pub async fn until(&mut self, kind: u8, within: Duration) -> anyhow::Result<Frame> {
        let found = async {
            loop {
                let frame = self.next().await?.with_context(|| format!("closed without a frame of kind {kind}"))?;
                if frame.kind == kind {
                    return Ok(frame);
                }
            }
        };
        timeout(within, found).await.with_context(|| format!("no frame of kind {kind} within {within:?}"))?
    }

    /// Reads until the other side closes.
    pub async fn until_closed(&mut self, within: Duration) -> anyhow::Result<()> {
        let closed = async {
            while self.next().await?.is_some() {}
            anyhow::Ok(())
        };
        timeout(within, closed).await.with_context(|| format!("still open after {within:?}"))?
    }
}
