//! The ways in which STS, or somebody in its place, does not answer as it should, also to who signed well.

use std::{future::pending, io, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use tokio::time::sleep;

use super::{Session, error, response, result, right, xml};

/// One way.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The right answer, late.
    Late(Duration),
    /// Accepts and never answers.
    Silence,
    /// Breaks off in the middle.
    Close,
    /// An error of this status and code: 400 and 429 Throttling, 500, 503.
    Error(u16, &'static str),
    /// 200 with a page.
    Garbage,
    /// 200 with what SDKs read as JSON.
    Json,
    /// 200 with two results, of which the first is right.
    Two,
    /// A redirect to this URL.
    Redirect(String),
    /// The right answer, and then a gigabyte.
    Huge,
}

impl Fault {
    pub(super) async fn answer(&self, session: &Session) -> Response {
        match self {
            Self::Late(span) => {
                sleep(*span).await;
                xml(StatusCode::OK, right(session))
            }
            Self::Silence => pending().await,
            Self::Close => {
                let half = Bytes::from(right(session)[..100].to_owned());
                let parts = [Ok(half), Err(io::Error::from(io::ErrorKind::ConnectionReset))];
                (StatusCode::OK, [(header::CONTENT_TYPE, "text/xml")], Body::from_stream(stream::iter(parts)))
                    .into_response()
            }
            Self::Error(status, code) => error(*status, code),
            Self::Garbage => xml(StatusCode::OK, "<html><body>Welcome</body></html>".into()),
            Self::Json => json(session),
            Self::Two => {
                let other = Session { arn: session.arn.replace("role/", "role/x"), ..session.clone() };
                xml(StatusCode::OK, response(&(result(session) + &result(&other))))
            }
            Self::Redirect(to) => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to.clone())]).into_response(),
            Self::Huge => {
                let more = (0..16 * 1024).map(|_| Ok::<_, io::Error>(Bytes::from_static(&[b' '; 64 * 1024])));
                let parts = stream::iter([Ok(Bytes::from(right(session)))].into_iter().chain(more));
                (StatusCode::OK, [(header::CONTENT_TYPE, "text/xml")], Body::from_stream(parts)).into_response()
            }
        }
    }
}

/// The right answer, in JSON.
pub(super) fn json(session: &Session) -> Response {
    let identity = serde_json::json!({"Arn": session.arn, "UserId": session.user, "Account": super::ACCOUNT});
    let body = serde_json::json!({"GetCallerIdentityResponse": {"GetCallerIdentityResult": identity}});
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
