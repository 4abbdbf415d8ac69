//! How a call of the store is made: until when, how often, and what is learnt of it.
//!
//! - A call belongs to somebody who waits until a deadline. It is not even tried past that: a process that was stopped and
//!   continued must not do what nobody waits for any more.
//! - What another try may cure is tried again after a short random pause, as long as there is time. The tries are made here
//!   and not by the SDK, so that the last trouble is what is told, and not that time ran out.
//! - Throttling, an outage and a refusal are told apart: the first two pass by themselves, the third needs an operator.

use std::{
    future::poll_fn,
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};

use aws_sdk_dynamodb::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use tokio::time::{Instant, sleep, timeout_at};

use super::{IN_REQUEST, Store, StoreError, Trouble};

/// The most tries of one call.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(20);

/// The time that a call has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Time {
    /// Nobody waits any longer.
    pub end: Instant,
    /// For one try. A connection to a machine that is no more costs the first one, and there is time for another.
    pub each: Duration,
}

impl Store {
    /// For a call that somebody waits for until `deadline`.
    pub(super) fn until(&self, deadline: Instant) -> Time {
        let now = Instant::now();
        let end = deadline.min(now + self.limit);
        Time { end, each: end.saturating_duration_since(now) / 2 }
    }

    /// For a call that a request waits for, from now on.
    pub(super) fn in_request(&self) -> Time {
        self.until(Instant::now() + IN_REQUEST)
    }

    /// For a call that only a loop waits for.
    pub(super) fn in_loop(&self) -> Time {
        self.until(Instant::now() + self.limit)
    }

    /// For a large part of a read, which takes its time, and for what is done once.
    pub(super) fn for_a_page(&self) -> Time {
        Time { end: Instant::now() + self.limit * TRIES, each: self.limit }
    }

    /// Makes a call until it is answered, refused, or out of time.
    pub(super) async fn call<T, E, F>(
        &self,
        name: &'static str,
        time: Time,
        send: impl Fn() -> F,
    ) -> Result<T, StoreError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let mut pause = PAUSE;
        let mut tries = 0;
        let mut unknown = false;
        loop {
            let began = Instant::now();
            let error = match before(time.end.min(began + time.each), send()).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => failed(name, &error),
                Err(Late::Unsent) => StoreError::away(name, "too late to send"),
                Err(Late::Unanswered) => {
                    self.connections.doubt(began);
                    StoreError::away(name, "no answer in time")
                }
            };
            self.calls.ended(name, error.kind.as_str());
            unknown |= error.kind == Trouble::Away;
            let wait = pause.mul_f64(0.5 + fastrand::f64());
            tries += 1;
            if tries >= TRIES || error.kind == Trouble::Refused || Instant::now() + wait >= time.end {
                // What became of an earlier try stays unknown, whatever was said of the last one.
                return Err(StoreError { kind: if unknown { Trouble::Away } else { error.kind }, ..error });
            }
            sleep(wait).await;
            pause *= 2;
        }
    }

    /// Makes a call that is answered or fails.
    pub(super) async fn plain<T, E, F>(
        &self,
        name: &'static str,
        time: Time,
        send: impl Fn() -> F,
    ) -> Result<T, StoreError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let answer = self.call(name, time, send).await?;
        self.calls.ended(name, "ok");
        Ok(answer)
    }
}

/// How a call ended without an answer.
#[derive(Debug, PartialEq, Eq)]
enum Late {
    /// Nothing was sent.
    Unsent,
    /// Perhaps it was done.
    Unanswered,
}

/// Does something until a moment, and no step of it later. `timeout` alone would let what it guards go on once more before
/// it looks at the time, and that once may send a request.
async fn before<T>(end: Instant, call: impl Future<Output = T>) -> Result<T, Late> {
    let mut call = pin!(call);
    let mut late = Late::Unsent;
    let step = |cx: &mut Context<'_>| {
        if Instant::now() >= end {
            return Poll::Ready(None);
        }
        late = Late::Unanswered;
        call.as_mut().poll(cx).map(Some)
    };
    let done = timeout_at(end, poll_fn(step)).await;
    done.ok().flatten().ok_or(late)
}

/// What the SDK's error means.
pub fn failed<E>(call: &'static str, error: &SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let status = error.raw_response().map(|answer| answer.status().as_u16());
    StoreError { call, cause: words(error), kind: Trouble::of(error.code(), status) }
}

/// An error and what caused it, each said once; the SDK's own display would add the whole response.
fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    let mut said: Vec<String> = chain.map(ToString::to_string).collect();
    said.dedup();
    said.join(": ")
}

impl Trouble {
    /// Of an error's code, as DynamoDB's manual lists them, and of its answer's status.
    fn of(code: Option<&str>, status: Option<u16>) -> Self {
        const THROTTLED: [&str; 6] = [
            "ProvisionedThroughputExceededException",
            "RequestLimitExceeded",
            "ThrottlingException",
            "Throttling",
            "TooManyRequestsException",
            "SlowDown",
        ];
        match (code, status) {
            (Some(code), _) if THROTTLED.contains(&code) => Self::Throttled,
            (_, Some(429)) => Self::Throttled,
            // Whatever stands between us and the store may answer, too; its refusals have no code, and pass.
            (Some(_), Some(400..=499)) => Self::Refused,
            _ => Self::Away,
        }
    }

    /// As it is counted.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Away => "failed",
            Self::Throttled => "throttled",
            Self::Refused => "denied",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[test]
    fn throttling_an_outage_and_a_refusal_are_told_apart() {
        for (code, status, kind) in [
            (Some("ProvisionedThroughputExceededException"), Some(400), Trouble::Throttled),
            (Some("ThrottlingException"), Some(400), Trouble::Throttled),
            (Some("RequestLimitExceeded"), Some(400), Trouble::Throttled),
            (None, Some(429), Trouble::Throttled),
            (Some("InternalServerError"), Some(500), Trouble::Away),
            (Some("ServiceUnavailable"), Some(503), Trouble::Away),
            (None, Some(200), Trouble::Away),
            (None, Some(403), Trouble::Away),
            (None, None, Trouble::Away),
            (Some("AccessDeniedException"), Some(400), Trouble::Refused),
            (Some("ResourceNotFoundException"), Some(400), Trouble::Refused),
            (Some("ExpiredTokenException"), Some(400), Trouble::Refused),
            (Some("ValidationException"), Some(400), Trouble::Refused),
        ] {
            assert_eq!(Trouble::of(code, status), kind, "{code:?} {status:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_begun_or_gone_on_with_past_the_deadline() {
        let end = Instant::now() + Duration::from_secs(1);
        assert_eq!(before(end, ready(7)).await, Ok(7));
        assert_eq!(before(end, pending::<u8>()).await, Err(Late::Unanswered));
        let mut sent = false;
        assert_eq!(before(end, async { sent = true }).await, Err(Late::Unsent));
        assert!(!sent);
        // A process that is stopped while it waits wakes up with both at once: its turn and the end of its time.
        let end = Instant::now() + Duration::from_secs(1);
        let mut sent = false;
        let call = async {
            tokio::time::advance(Duration::from_secs(60)).await;
            sent = true;
        };
        assert_eq!(before(end, call).await, Err(Late::Unanswered));
        assert!(!sent);
    }
}
