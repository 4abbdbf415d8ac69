//! HTTP/1.1 messages as the bytes they are: for whoever passes them on, delays, doubles or cuts them, and for the many
//! light clients of one process, which need a connection that is theirs alone.
//!
//! A body is kept as it was sent; only its end is looked for. Who sends nonsense gets an error, which ends a connection.

use std::io;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::http::Answer;

/// Nobody here sends a longer head.
const HEAD: usize = 256 * 1024;

/// A whole request or answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// All of it.
    pub bytes: Vec<u8>,
    /// Where the body begins.
    body: usize,
}

impl Message {
    /// Takes bytes that are one message.
    pub fn new(bytes: Vec<u8>) -> io::Result<Self> {
        let body = end_of_head(&bytes).ok_or_else(|| wrong("no end of the headers"))?;
        Ok(Self { bytes, body })
    }

    /// What stands behind the head, chunked if it was sent so.
    pub fn body(&self) -> &[u8] {
        &self.bytes[self.body..]
    }

    /// The nth word of the first line, "" if there is none.
    fn word(&self, nth: usize) -> &str {
        self.lines().next().and_then(|line| line.split(' ').nth(nth)).unwrap_or_default()
    }

    /// Of a request.
    pub fn method(&self) -> &str {
        self.word(0)
    }

    /// Of a request, with its query.
    pub fn path(&self) -> &str {
        self.word(1)
    }

    /// Of an answer; 0 if that is none.
    pub fn status(&self) -> u16 {
        self.word(1).parse().unwrap_or(0)
    }

    /// A header, "" if it is not there.
    pub fn header(&self, name: &str) -> &str {
        let found = self.lines().skip(1).filter_map(|line| line.split_once(':'));
        found.filter(|(said, _)| said.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next().unwrap_or("")
    }

    /// Of a request to DynamoDB its operation, as in `UpdateItem`; of any other its method.
    pub fn operation(&self) -> &str {
        self.header("x-amz-target").rsplit('.').next().filter(|name| !name.is_empty()).unwrap_or(self.method())
    }

    /// Whether the body contains a text.
    pub fn says(&self, text: &str) -> bool {
        text.is_empty() || self.body().windows(text.len()).any(|part| part == text.as_bytes())
    }

    /// An answer as the other clients of the harness give it.
    pub fn answer(&self) -> io::Result<Answer> {
        let mut headers = HeaderMap::new();
        for (name, value) in self.lines().skip(1).filter_map(|line| line.split_once(':')) {
            let name = name.parse::<HeaderName>().map_err(|_| wrong("a header's name"))?;
            headers.append(name, value.trim().parse::<HeaderValue>().map_err(|_| wrong("a header's value"))?);
        }
        match self.status() {
            0 => Err(wrong("no status")),
            status => Ok(Answer { status, headers, body: self.body().to_vec() }),
        }
    }

    fn lines(&self) -> impl Iterator<Item = &str> {
        std::str::from_utf8(&self.bytes[..self.body]).unwrap_or_default().split("\r\n")
    }

    fn length(&self, kind: Kind) -> io::Result<Length> {
        let bare = matches!(kind, Kind::AnswerToHead) || matches!(self.status(), 100..=199 | 204 | 304);
        if kind != Kind::Request && bare {
            return Ok(Length::Exact(0));
        }
        if self.header("transfer-encoding").eq_ignore_ascii_case("chunked") {
            return Ok(Length::Chunked);
        }
        match self.header("content-length") {
            "" if kind == Kind::Request => Ok(Length::Exact(0)),
            "" => Ok(Length::ToTheEnd),
            length => length.parse().map(Length::Exact).map_err(|_| wrong("content-length")),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Request,
    Answer,
    AnswerToHead,
}

#[derive(Debug, Clone, Copy)]
enum Length {
    Exact(usize),
    Chunked,
    ToTheEnd,
}

/// Reads messages one after the other.
#[derive(Debug)]
pub struct Reader<S> {
    /// What is read.
    pub stream: S,
    /// Read already, and of the next message.
    ahead: Vec<u8>,
}

impl<S: AsyncRead + Unpin> Reader<S> {
    /// From the start of a stream.
    pub fn new(stream: S) -> Self {
        Self { stream, ahead: Vec::new() }
    }

    /// The next request; none once the stream has ended between two.
    pub async fn request(&mut self) -> io::Result<Option<Message>> {
        self.message(Kind::Request).await
    }

    /// The answer to `request`; what only announces one is left out.
    pub async fn answer(&mut self, request: &Message) -> io::Result<Message> {
        let kind = if request.method() == "HEAD" { Kind::AnswerToHead } else { Kind::Answer };
        loop {
            match self.message(kind).await? {
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(informal) if (100..200).contains(&informal.status()) => {}
                Some(answer) => return Ok(answer),
            }
        }
    }

    async fn message(&mut self, kind: Kind) -> io::Result<Option<Message>> {
        let body = loop {
            match end_of_head(&self.ahead) {
                Some(end) => break end,
                None if self.ahead.len() > HEAD => return Err(wrong("a head without an end")),
                None if self.more().await? => {}
                None if self.ahead.is_empty() => return Ok(None),
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        };
        let head = Message { bytes: self.ahead[..body].to_vec(), body };
        let end = match head.length(kind)? {
            Length::Exact(length) => self.until(body + length).await?,
            Length::Chunked => self.chunks(body).await?,
            Length::ToTheEnd => {
                while self.more().await? {}
                self.ahead.len()
            }
        };
        let rest = self.ahead.split_off(end);
        Ok(Some(Message { bytes: std::mem::replace(&mut self.ahead, rest), body }))
    }

    /// Where the chunks end that begin at `at`, without a trailer, which nobody here sends.
    async fn chunks(&mut self, mut at: usize) -> io::Result<usize> {
        loop {
            let line = loop {
                match self.ahead[at..].windows(2).position(|two| two == b"\r\n") {
                    Some(length) => break at + length,
                    None => self.until(self.ahead.len() + 1).await?,
                };
            };
            let size = std::str::from_utf8(&self.ahead[at..line]).unwrap_or_default();
            let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16);
            let size = size.map_err(|_| wrong("a chunk's size"))?;
            at = self.until(line + 2 + size + 2).await?;
            if size == 0 {
                return Ok(at);
            }
        }
    }

    async fn until(&mut self, length: usize) -> io::Result<usize> {
        while self.ahead.len() < length {
            if !self.more().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(length)
    }

    async fn more(&mut self) -> io::Result<bool> {
        Ok(self.stream.read_buf(&mut self.ahead).await? > 0)
    }
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out one byte at a time, the worst that a network may do.
    async fn read(bytes: &[u8], kind: Kind) -> Vec<io::Result<Message>> {
        let stream = tokio_test_bytes(bytes);
        let (mut reader, mut all) = (Reader::new(stream), Vec::new());
        loop {
            match reader.message(kind).await {
                Ok(None) => return all,
                Ok(Some(message)) => all.push(Ok(message)),
                Err(error) => {
                    all.push(Err(error));
                    return all;
                }
            }
        }
    }

    fn tokio_test_bytes(bytes: &[u8]) -> impl AsyncRead + Unpin {
        use tokio::io::AsyncWriteExt as _;
        let (mut from, to) = tokio::io::duplex(1);
        let bytes = bytes.to_vec();
        tokio::spawn(async move {
            let _ = from.write_all(&bytes).await;
        });
        to
    }

    #[tokio::test]
    async fn messages_end_where_they_end() {
        let sized = "POST /a?b HTTP/1.1\r\nContent-Length: 4\r\nX-Amz-Target: DynamoDB_20120810.Query\r\n\r\nbody";
        let chunked = "PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\n\r\n";
        let bare = "GET / HTTP/1.1\r\n\r\n";
        let all = [sized, chunked, bare, sized].concat();
        let messages = read(all.as_bytes(), Kind::Request).await;
        let texts: Vec<_> =
            messages.iter().map(|m| String::from_utf8(m.as_ref().unwrap().bytes.clone()).unwrap()).collect();
        assert_eq!(texts, [sized, chunked, bare, sized]);
        let first = messages[0].as_ref().unwrap();
        assert_eq!((first.method(), first.path(), first.operation()), ("POST", "/a?b", "Query"));
        assert!(first.says("od") && !first.says("x") && first.body() == b"body");
        assert_eq!(messages[2].as_ref().unwrap().operation(), "GET");
    }

    #[tokio::test]
    async fn answers_without_a_length_end_with_their_connection() {
        let open = b"HTTP/1.1 200 OK\r\n\r\nall of it";
        assert_eq!(read(open, Kind::Answer).await[0].as_ref().unwrap().body(), b"all of it");
        let bare = b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 304 x\r\ncontent-length: 9\r\n\r\n";
        let bare = read(bare, Kind::Answer).await;
        assert_eq!(bare.iter().map(|m| m.as_ref().unwrap().status()).collect::<Vec<_>>(), [204, 304]);
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n";
        assert_eq!(read(head, Kind::AnswerToHead).await.len(), 1);
    }

    #[tokio::test]
    async fn what_breaks_off_is_an_error() {
        for cut in ["POST / HTTP/1.1\r\ncontent-le", "POST / HTTP/1.1\r\ncontent-length: 4\r\n\r\nbod"] {
            let messages = read(cut.as_bytes(), Kind::Request).await;
            assert!(
                matches!(&messages[..], [Err(error)] if error.kind() == io::ErrorKind::UnexpectedEof),
                "{messages:?}"
            );
        }
    }
}
