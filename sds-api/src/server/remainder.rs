//! What an answer leaves unread of its request. Over HTTP/2 a stream whose body is dropped unread is reset, and a client that
//! is still sending may take the reset for the answer: curl does. So a short rest is read to its end, for a moment, behind the
//! answer's back. HTTP/1.1 has a connection to close for that.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use tokio::time::timeout;

/// The longest rest, a write's whole body.
const LIMIT: usize = 64 * 1024;
/// For so long.
const MOMENT: Duration = Duration::from_secs(1);

/// A body whose rest is not dropped with it.
struct Remainder(Option<Incoming>);

/// The body, as handlers take it.
pub fn kept(body: Incoming) -> Body {
    if body.is_end_stream() { Body::empty() } else { Body::new(Remainder(Some(body))) }
}

impl hyper::body::Body for Remainder {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.0 {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(SizeHint::default, Incoming::size_hint)
    }
}

impl Drop for Remainder {
    fn drop(&mut self) {
        if let Some(body) = self.0.take().filter(|body| !body.is_end_stream()) {
            tokio::spawn(timeout(MOMENT, Limited::new(body, LIMIT).collect()));
        }
    }
}
