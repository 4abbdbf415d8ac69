//! A server that is not ours and answers as it likes: what stands behind a wrong URL, or an app that nobody understands.
//! It speaks bytes, counts the requests, and can be told to answer otherwise.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};

/// What it does with a request.
#[derive(Debug, Clone)]
pub enum Script {
    /// Says this, and waits for the next one.
    Say(String),
    /// Says the first text, and then the second one for ever, with a pause before each.
    Endless(String, &'static str, Duration),
    /// Says this, and resets the connection.
    Reset(String),
    /// Nothing, ever.
    Hang,
}

impl Script {
    /// A whole answer: `503 Oops`, headers with their line ends, a body.
    pub fn answer(status: &str, headers: &str, body: &str) -> Self {
        Self::Say(format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len()))
    }
}

/// The server; it ends with its handle.
#[derive(Debug)]
pub struct Foreign {
    /// Where it listens.
    pub addr: SocketAddr,
    script: Arc<Mutex<Script>>,
    asked: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Foreign {
    /// Starts one that answers by this script.
    pub async fn start(script: Script) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let (script, asked) = (Arc::new(Mutex::new(script)), Arc::new(AtomicUsize::new(0)));
        let (mut tasks, known) = (JoinSet::new(), (script.clone(), asked.clone()));
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (script, asked) = known.clone();
                connections.spawn(async move { drop(serve(stream, &script, &asked).await) });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { addr, script, asked, _tasks: tasks })
    }

    /// Answers by this script from the next request on.
    pub fn turn(&self, script: Script) {
        *self.script.lock().unwrap_or_else(PoisonError::into_inner) = script;
    }

    /// How many requests have come.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

async fn serve(mut stream: TcpStream, script: &Mutex<Script>, asked: &AtomicUsize) -> std::io::Result<()> {
    while read(&mut stream).await? {
        asked.fetch_add(1, Ordering::Relaxed);
        let script = script.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match script {
            Script::Say(text) => stream.write_all(text.as_bytes()).await?,
            Script::Endless(head, piece, pause) => {
                stream.write_all(head.as_bytes()).await?;
                loop {
                    if !pause.is_zero() {
                        sleep(pause).await;
                    }
                    stream.write_all(piece.as_bytes()).await?;
                }
            }
            Script::Reset(text) => {
                stream.write_all(text.as_bytes()).await?;
                return stream.set_zero_linger();
            }
            Script::Hang => std::future::pending().await,
        }
    }
    Ok(())
}

/// Reads one request to its end; false if there is none any more.
async fn read(stream: &mut TcpStream) -> std::io::Result<bool> {
    let (mut request, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Ok(true);
            }
        }
        match stream.read(&mut piece).await? {
            0 => return Ok(false),
            n => request.extend_from_slice(&piece[..n]),
        }
    }
}
