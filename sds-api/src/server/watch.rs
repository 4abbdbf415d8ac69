//! Sees what a connection does, so that one which drips its head, never speaks or never reads is closed within ten
//! seconds, while an idle keep-alive may wait for its next request.
//!
//! HTTP/1.1 shows a client that does not read by its full socket. HTTP/2 hides it behind windows of its own: there a
//! whole answer that nobody takes up is watched instead (`Taken`).

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::Version;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// How often a connection is looked at.
pub const TICK: Duration = Duration::from_secs(2);
/// A head may take this long to arrive, and an answer to be taken up; with the tick it stays below ten seconds.
pub const PATIENCE: Duration = Duration::from_secs(7);
/// An aged connection without requests is closed after this long.
const IDLE: Duration = Duration::from_secs(75);

/// What was seen, as moments in milliseconds since the connection began.
#[derive(Debug)]
pub struct Activity {
    begun: Instant,
    /// When a head began to arrive; 0 if none is on its way.
    head_since: AtomicU64,
    /// Since when something that is to be written waits for the client to read; 0 if nothing does. That a little of it
    /// is taken from time to time changes nothing.
    blocked_since: AtomicU64,
    last_request: AtomicU64,
    in_flight: AtomicU32,
    /// Answers on HTTP/2 of which something is left, and when one of them moved last.
    untaken: AtomicU32,
    moved_at: AtomicU64,
    served: AtomicBool,
    http2: AtomicBool,
    aged: AtomicBool,
}

impl Activity {
    /// A connection that has just been accepted; its first head is awaited from now on.
    pub fn new() -> Self {
        Self {
            begun: Instant::now(),
            head_since: AtomicU64::new(1),
            blocked_since: AtomicU64::new(0),
            last_request: AtomicU64::new(0),
            in_flight: AtomicU32::new(0),
            untaken: AtomicU32::new(0),
            moved_at: AtomicU64::new(0),
            served: AtomicBool::new(false),
            http2: AtomicBool::new(false),
            aged: AtomicBool::new(false),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }

    fn bytes_arrived(&self) {
        // HTTP/2 has pings and window updates between requests; they are no head.
        if self.in_flight.load(Relaxed) == 0 && self.head_since.load(Relaxed) == 0 && !self.http2.load(Relaxed) {
            self.head_since.store(self.now(), Relaxed);
        }
    }

    fn write_blocks(&self) {
        if self.blocked_since.load(Relaxed) == 0 {
            self.blocked_since.store(self.now(), Relaxed);
        }
    }

    fn all_is_written(&self) {
        if self.blocked_since.load(Relaxed) != 0 {
            self.blocked_since.store(0, Relaxed);
        }
    }

    /// A whole head has arrived. What is returned ends the request when it is dropped, which it also is when the client
    /// takes its request back; and whether the answer is to be the connection's last.
    pub fn request_begins(self: &Arc<Self>, version: Version) -> (InFlight, bool) {
        self.in_flight.fetch_add(1, Relaxed);
        self.head_since.store(0, Relaxed);
        if !self.served.swap(true, Relaxed) {
            self.http2.store(version == Version::HTTP_2, Relaxed);
        }
        (InFlight(self.clone()), self.aged.load(Relaxed))
    }

    /// An answer on HTTP/2 is ready to be taken.
    pub fn answer_waits(&self) {
        if self.untaken.fetch_add(1, Relaxed) == 0 {
            self.answer_moves();
        }
    }

    /// Something of it is taken.
    pub fn answer_moves(&self) {
        self.moved_at.store(self.now(), Relaxed);
    }

    /// All of it is, or its client has given it up.
    pub fn answer_is_gone(&self) {
        self.untaken.fetch_sub(1, Relaxed);
        self.answer_moves();
    }

    /// Whether a head has been arriving, or an answer been waiting for its reader, for too long.
    pub fn is_stalled(&self) -> bool {
        let now = self.now();
        let late = |since: u64| since != 0 && now.saturating_sub(since) > millis(PATIENCE);
        let untaken = self.untaken.load(Relaxed) > 0;
        late(self.head_since.load(Relaxed))
            || late(self.blocked_since.load(Relaxed))
            || (untaken && late(self.moved_at.load(Relaxed)))
    }

    /// For how long it has brought no request, if none is being answered now.
    pub fn idle(&self) -> Option<Duration> {
        let busy = self.in_flight.load(Relaxed) > 0 || self.blocked_since.load(Relaxed) != 0;
        let idle = self.now().saturating_sub(self.last_request.load(Relaxed));
        (!busy).then_some(Duration::from_millis(idle))
    }

    /// Whether the connection speaks HTTP/2, where going away loses nothing.
    pub fn is_http2(&self) -> bool {
        self.http2.load(Relaxed)
    }

    /// Marks a connection older than `age`; whether it is to be shut down now: HTTP/2 at once (GOAWAY loses
    /// nothing), HTTP/1.1 only when no request came to carry `connection: close`.
    pub fn ages(&self, age: Duration) -> bool {
        if self.begun.elapsed() < age {
            return false;
        }
        self.aged.store(true, Relaxed);
        self.http2.load(Relaxed) || self.idle().is_some_and(|idle| idle > IDLE)
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.last_request.store(self.0.now(), Relaxed);
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A stream whose reads and writes are seen.
#[derive(Debug)]
pub struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
}

impl<S> Watched<S> {
    /// Tells `activity` of bytes that arrive on `stream`.
    pub fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self { stream, activity }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.activity.bytes_arrived();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, buf);
        if outcome.is_pending() {
            self.activity.write_blocks();
        }
        outcome
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes when it has nothing left to write; TLS may still have some of it.
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        match flushed {
            Poll::Ready(_) => self.activity.all_is_written(),
            Poll::Pending => self.activity.write_blocks(),
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        if outcome.is_pending() {
            self.activity.write_blocks();
        }
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use tokio::time::advance;

    const AGE: Duration = Duration::from_secs(300);

    /// One request, answered at once; whether its answer is to be the last.
    fn asks(activity: &Arc<Activity>, version: Version) -> bool {
        activity.request_begins(version).1
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_connection_goes_with_its_next_answer_or_when_it_is_idle() {
        let activity = Arc::new(Activity::new());
        assert!(!asks(&activity, Version::HTTP_11));
        advance(AGE - Duration::from_secs(1)).await;
        assert!(!activity.ages(AGE));
        assert!(!asks(&activity, Version::HTTP_11), "not old yet");
        advance(Duration::from_secs(2)).await;
        assert!(!activity.ages(AGE), "a request may be on its way");
        assert!(asks(&activity, Version::HTTP_11), "this answer is its last");
        advance(IDLE + Duration::from_secs(1)).await;
        assert!(activity.ages(AGE));
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_http2_connection_is_told_at_once() {
        let activity = Arc::new(Activity::new());
        let _served = activity.request_begins(Version::HTTP_2);
        advance(AGE).await;
        assert!(activity.ages(AGE));
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_may_take_its_time_but_not_for_ever() {
        let activity = Arc::new(Activity::new());
        advance(PATIENCE + Duration::from_secs(1)).await;
        assert!(activity.is_stalled(), "it never spoke");
        asks(&activity, Version::HTTP_11);
        advance(AGE / 2).await;
        assert!(!activity.is_stalled(), "it is idle between two requests");
        activity.bytes_arrived();
        advance(PATIENCE + Duration::from_secs(1)).await;
        assert!(activity.is_stalled(), "its next head does not end");
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_buffer_below_still_holds_is_not_written() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter, duplex};
        let activity = Arc::new(Activity::new());
        asks(&activity, Version::HTTP_11);
        // As TLS does, it takes more than its reader.
        let (below, mut reader) = duplex(8);
        let mut stream = Watched::new(BufWriter::new(below), activity.clone());
        stream.write_all(&[0; 100]).await.unwrap();
        assert!(stream.flush().now_or_never().is_none());
        advance(PATIENCE + Duration::from_secs(1)).await;
        assert!(activity.is_stalled());
        let mut read = [0; 100];
        let (flushed, _) = tokio::join!(stream.flush(), reader.read_exact(&mut read));
        flushed.unwrap();
        assert!(!activity.is_stalled(), "all of it is taken");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_on_http2_has_to_move() {
        let activity = Arc::new(Activity::new());
        asks(&activity, Version::HTTP_2);
        activity.answer_waits();
        for _ in 0..3 {
            advance(PATIENCE - Duration::from_secs(1)).await;
            assert!(!activity.is_stalled(), "slowly, but it moves");
            activity.answer_moves();
        }
        advance(PATIENCE + Duration::from_secs(1)).await;
        assert!(activity.is_stalled());
        activity.answer_is_gone();
        advance(AGE / 2).await;
        assert!(!activity.is_stalled(), "nothing is left to take");
    }

    #[tokio::test(start_paused = true)]
    async fn idle_is_who_has_nothing_in_flight() {
        let activity = Arc::new(Activity::new());
        advance(PATIENCE).await;
        assert_eq!(activity.idle(), Some(PATIENCE), "it never asked");
        let served = activity.request_begins(Version::HTTP_11);
        advance(PATIENCE).await;
        assert_eq!(activity.idle(), None);
        drop(served);
        advance(PATIENCE).await;
        assert_eq!(activity.idle(), Some(PATIENCE));
        activity.write_blocks();
        assert_eq!(activity.idle(), None, "its answer is on the way");
    }
}
