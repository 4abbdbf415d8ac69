//! An answer on HTTP/2 that knows whether it is being taken up. There the client alone says how much it will take of
//! each answer, its socket never fills, and an answer that waits for a window that does not come would wait for ever.
//!
//! hyper asks a body for more only when there is room for some of it. So the answer is handed over in slices: as long
//! as something is left, its client has not taken it, and the connection's [`Activity`] is told of each slice. What a
//! client leaves of the last slice is not seen; it holds no more than an idle connection, which may stay too.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::{Error, body::Body};
use bytes::Bytes;
use hyper::body::{Body as _, Frame, SizeHint};

use super::watch::{Activity, InFlight};

/// A frame of HTTP/2.
const SLICE: usize = 16 * 1024;

/// A whole answer.
#[derive(Debug)]
pub struct Taken {
    body: Body,
    rest: Bytes,
    activity: Arc<Activity>,
}

impl Taken {
    /// `body`, watched by `activity` if it is a whole answer; one without an end is in flight as long as it lasts.
    pub fn watch(body: Body, activity: &Arc<Activity>, in_flight: InFlight) -> Body {
        if body.is_end_stream() {
            return body;
        }
        if body.size_hint().exact().is_none() {
            return Body::new(Endless { body, _in_flight: in_flight });
        }
        activity.answer_waits();
        Body::new(Self { body, rest: Bytes::new(), activity: activity.clone() })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.activity.answer_is_gone();
    }
}

impl hyper::body::Body for Taken {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.activity.answer_moves();
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)).map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => self.rest = data,
                Some(Ok(Err(trailers))) => return Poll::Ready(Some(Ok(trailers))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        let slice = self.rest.len().min(SLICE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(slice)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.body.size_hint().exact().unwrap_or(0) + self.rest.len() as u64;
        SizeHint::with_exact(left)
    }
}

/// An answer without an end, as a stream of news is: it may be silent for as long as it likes.
#[derive(Debug)]
struct Endless {
    body: Body,
    _in_flight: InFlight,
}

impl hyper::body::Body for Endless {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn nothing_is_lost() {
        for size in [0, 1, SLICE, SLICE + 1, 5 * SLICE] {
            let whole: Vec<u8> = (0..size).map(|n| n as u8).collect();
            let activity = Arc::new(Activity::new());
            let (in_flight, _) = activity.request_begins(http::Version::HTTP_2);
            let body = Taken::watch(Body::from(whole.clone()), &activity, in_flight);
            assert_eq!(body.size_hint().exact(), Some(size as u64));
            assert_eq!(body.collect().await.unwrap().to_bytes(), whole);
        }
    }
}
