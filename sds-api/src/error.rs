//! Where an error becomes a status and a body: the only place. What a client did wrong is explained to it; what went
//! wrong behind us is logged here, and its cause never reaches an answer.

mod legacy;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use sds_types::{ErrorBody, Invalid, Sequence};

use crate::{
    address::AddressRefused,
    auth::Denied,
    ecs::{EcsError, Unseen},
    registry::WriteError,
    store::Trouble,
};

pub use legacy::MISSING;

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// A field is wrong.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The body is not a JSON object; why.
    #[error("{0}")]
    Json(&'static str),
    /// The address may not be registered here.
    #[error(transparent)]
    Address(#[from] AddressRefused),
    /// The registry did not do it.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// ECS did not say.
    #[error("ECS does not answer this registry, its log says why")]
    Ecs(EcsError),
    /// Nothing is known yet, so nothing is answered: "empty" would be a lie.
    #[error("the first read of the store is not complete")]
    NotReady,
    /// The policy says no.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Only an operator may do this; who asked.
    #[error(
        "operators speak from this machine itself (127.0.0.1 or ::1), or with a token that the policy lets operate this \
         service; this request came from {0}"
    )]
    OperatorOnly(String),
    /// No such service or route.
    #[error("{0}")]
    NotFound(String),
    /// Another listener serves it; which.
    #[error("{0}")]
    WrongListener(String),
    /// Registrations need a client's certificate here, and the connection came without.
    #[error(
        "registrations come with a client certificate of the authority in SDS_TLS_CLIENT_CA, and this connection has none"
    )]
    ClientCertificateRequired,
    /// The route has other methods.
    #[error("this route has no such method, see the Allow header")]
    Method,
    /// The body is larger than this.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// A body that is not plain.
    #[error("send the body without Content-Encoding")]
    Encoded,
    /// More requests of one peer than its rate.
    #[error("this address sends more requests than one may, the next is taken within a second")]
    TooManyRequests,
    /// The body did not arrive in time.
    #[error("the body did not arrive within {0} s")]
    SlowBody(u64),
}

impl ApiError {
    fn parts(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Invalid(invalid) => (StatusCode::BAD_REQUEST, invalid.id),
            Self::Json(_) => (StatusCode::BAD_REQUEST, "InvalidJson"),
            Self::Address(AddressRefused::Loopback(_)) => (StatusCode::BAD_REQUEST, "InvalidAddress"),
            Self::Address(AddressRefused::Outside(_)) => (StatusCode::FORBIDDEN, "AddressNotAllowed"),
            Self::Write(WriteError::Superseded(_)) => (StatusCode::CONFLICT, "Superseded"),
            Self::Write(WriteError::Unknown) => (StatusCode::NOT_FOUND, "HostNotFound"),
            Self::Write(WriteError::Store(error)) if error.kind == Trouble::Throttled => {
                (StatusCode::SERVICE_UNAVAILABLE, "StoreThrottled")
            }
            Self::Write(WriteError::Ambiguous) => (StatusCode::CONFLICT, "Ambiguous"),
            Self::Write(WriteError::Invalid(invalid)) => (StatusCode::BAD_REQUEST, invalid.id),
            Self::Write(WriteError::Store(_)) => (StatusCode::SERVICE_UNAVAILABLE, "StoreUnavailable"),
            Self::Write(WriteError::Unannounced) => (StatusCode::SERVICE_UNAVAILABLE, "StoreUnavailable"),
            Self::Write(WriteError::NotReady) | Self::NotReady => (StatusCode::SERVICE_UNAVAILABLE, "NotReady"),
            Self::Denied(Denied::Missing(_) | Denied::Unproven(_)) => (StatusCode::UNAUTHORIZED, "Unauthenticated"),
            Self::Denied(Denied::Forbidden { .. }) => (StatusCode::FORBIDDEN, "Forbidden"),
            Self::Denied(Denied::Away(_)) => (StatusCode::SERVICE_UNAVAILABLE, "IdentityUnavailable"),
            Self::Ecs(_) => (StatusCode::SERVICE_UNAVAILABLE, "EcsUnavailable"),
            Self::OperatorOnly(_) => (StatusCode::FORBIDDEN, "OperatorOnly"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "NotFound"),
            Self::WrongListener(_) => (StatusCode::MISDIRECTED_REQUEST, "WrongListener"),
            Self::ClientCertificateRequired => (StatusCode::UNAUTHORIZED, "ClientCertificateRequired"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "BodyTooLarge"),
            Self::Encoded => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedEncoding"),
            Self::TooManyRequests => (StatusCode::TOO_MANY_REQUESTS, "TooManyRequests"),
            Self::SlowBody(_) => (StatusCode::REQUEST_TIMEOUT, "BodyTimeout"),
        }
    }

    fn body(&self, id: &str) -> ErrorBody {
        let (field, current): (Option<String>, Option<Sequence>) = match self {
            Self::Invalid(invalid) | Self::Write(WriteError::Invalid(invalid)) => (Some(invalid.field.into()), None),
            Self::Address(_) => (Some("ip".into()), None),
            Self::Write(WriteError::Superseded(current)) => (None, *current),
            _ => (None, None),
        };
        ErrorBody { id: id.into(), reason: self.reason(), field, current }
    }

    /// Why, in words for the client.
    fn reason(&self) -> String {
        match self {
            Self::Write(WriteError::Superseded(_)) => {
                "something newer stands at this ip:port, or its registration was ended: \
                 a new start registers with a higher incarnation"
                    .into()
            }
            Self::Write(WriteError::Unknown) => "no such host is registered".into(),
            Self::Write(WriteError::Store(error)) => match error.kind {
                Trouble::Away => "the store does not answer, try again".into(),
                Trouble::Throttled => "the store asks for fewer writes, try again".into(),
                Trouble::Refused => "the store refuses the registry's calls, its log says why".into(),
            },
            other => other.to_string(),
        }
    }
}

impl From<Unseen> for ApiError {
    fn from(unseen: Unseen) -> Self {
        match unseen {
            Unseen::Ecs(error) => Self::Ecs(error),
            Unseen::Registry(error) => Self::Write(error),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, id) = self.parts();
        if let Self::Write(WriteError::Store(error)) = &self {
            tracing::warn!(%error, "a write was not made");
        }
        answer(status, json(&self.body(id)))
    }
}

fn json(body: &impl serde::Serialize) -> Response {
    let text = serde_json::to_string(body).unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], Body::from(text)).into_response()
}

fn text(reason: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from(reason)).into_response()
}

fn answer(status: StatusCode, mut response: Response) -> Response {
    *response.status_mut() = status;
    if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer, SDS-AWS"));
    }
    // The rest of a body that was refused may still be on its way; it must not be read as the next request.
    if matches!(status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
