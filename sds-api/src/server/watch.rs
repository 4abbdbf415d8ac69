//! Sees what a connection does, so that one which drips its head, never speaks or never reads is closed within ten
//! seconds, while an idle keep-alive may wait for its next request.

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
const PATIENCE: Duration = Duration::from_secs(7);
/// An aged connection without requests is closed after this long.
const IDLE: Duration = Duration::from_secs(75);

/// What was seen, as moments in milliseconds since the connection began.
#[derive(Debug)]
pub struct Activity {
    begun: Instant,
    /// When a head began to arrive; 0 if none is on its way.
    head_since: AtomicU64,
    /// When the client stopped taking what is written to it; 0 if it takes it.
    blocked_since: AtomicU64,
    last_request: AtomicU64,
    in_flight: AtomicU32,
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

    fn written(&self, outcome: &Poll<io::Result<usize>>) {
        let blocked = self.blocked_since.load(Relaxed) != 0;
        if outcome.is_pending() && !blocked {
            self.blocked_since.store(self.now(), Relaxed);
        } else if outcome.is_ready() && blocked {
            self.blocked_since.store(0, Relaxed);
        }
    }

    /// A whole head has arrived; whether its answer is to be the connection's last.
    pub fn request_begins(&self, version: Version) -> bool {
        self.in_flight.fetch_add(1, Relaxed);
        self.head_since.store(0, Relaxed);
        if !self.served.swap(true, Relaxed) {
            self.http2.store(version == Version::HTTP_2, Relaxed);
        }
        self.aged.load(Relaxed)
    }

    /// Its answer is under way.
    pub fn request_ends(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
        self.last_request.store(self.now(), Relaxed);
    }

    /// Whether a head has been arriving, or an answer been waiting for its reader, for too long.
    pub fn is_stalled(&self) -> bool {
        let now = self.now();
        let late = |since: &AtomicU64| match since.load(Relaxed) {
            0 => false,
            since => now.saturating_sub(since) > millis(PATIENCE),
        };
        late(&self.head_since) || late(&self.blocked_since)
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
        let idle = self.now().saturating_sub(self.last_request.load(Relaxed)) > millis(IDLE);
        self.http2.load(Relaxed) || (idle && self.in_flight.load(Relaxed) == 0)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A stream whose reads are seen.
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
        self.activity.written(&outcome);
        outcome
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
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
        self.activity.written(&outcome);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const AGE: Duration = Duration::from_secs(300);

    #[tokio::test(start_paused = true)]
    async fn an_old_connection_goes_with_its_next_answer_or_when_it_is_idle() {
        let activity = Activity::new();
        assert!(!activity.request_begins(Version::HTTP_11));
        activity.request_ends();
        advance(AGE - Duration::from_secs(1)).await;
        assert!(!activity.ages(AGE));
        assert!(!activity.request_begins(Version::HTTP_11), "not old yet");
        activity.request_ends();
        advance(Duration::from_secs(2)).await;
        assert!(!activity.ages(AGE), "a request may be on its way");
        assert!(activity.request_begins(Version::HTTP_11), "this answer is its last");
        activity.request_ends();
        advance(IDLE + Duration::from_secs(1)).await;
        assert!(activity.ages(AGE));
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_http2_connection_is_told_at_once() {
        let activity = Activity::new();
        activity.request_begins(Version::HTTP_2);
        advance(AGE).await;
        assert!(activity.ages(AGE));
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_may_take_its_time_but_not_for_ever() {
        let activity = Activity::new();
        advance(PATIENCE + Duration::from_secs(1)).await;
        assert!(activity.is_stalled(), "it never spoke");
        activity.request_begins(Version::HTTP_11);
        activity.request_ends();
        advance(AGE / 2).await;
        assert!(!activity.is_stalled(), "it is idle between two requests");
        activity.bytes_arrived();
        advance(PATIENCE + Duration::from_secs(1)).await;
        assert!(activity.is_stalled(), "its next head does not end");
    }
}
