//! Errors in the words of the ancestors' dialects. Their clients look at the status, and at most at one fixed text, so the
//! bodies are those of their own servers; what went wrong behind us is told as in the native API.
//!
//! Two statuses of ours they do not know: a lost race (409) is a 503 to them, because they lost it against somebody who
//! speaks for the same host, and may try again; an unknown host is the 400 that their servers gave.

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use super::{ApiError, WriteError, answer, json, text};

/// Why, where the dialect's body has no room for it.
const REASON: HeaderName = HeaderName::from_static("x-sds-reason");

/// A body of lyft/discovery and kumonos-sds.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

impl ApiError {
    /// cookpad/sds: plain text for a bad request, JSON for an unknown host.
    pub fn into_cookpad(self) -> Response {
        let (status, id) = self.parts();
        match &self {
            Self::Write(WriteError::Unknown) => answer(StatusCode::BAD_REQUEST, json(&self.body(id))),
            Self::Json(reason) => answer(status, text(format!("Invalid JSON string: {reason}"))),
            _ if self.is_clients() => answer(status, text(self.reason())),
            _ => self.into_ours(),
        }
    }

    /// lyft/discovery: an empty object, except for bad JSON in `tags`. The reason goes into a header.
    pub fn into_lyft(self) -> Response {
        let (status, _) = self.parts();
        match &self {
            Self::Json(_) => answer(status, told(Some("Invalid json supplied in tags"))),
            Self::Write(WriteError::Unknown | WriteError::Ambiguous) => {
                explained(StatusCode::BAD_REQUEST, None, self.reason())
            }
            _ if self.is_clients() => explained(status, None, self.reason()),
            _ => self.into_ours(),
        }
    }

    /// lyft/discovery's weights: a fixed sentence each. A field that is missing is the weight.
    pub fn into_lyft_weight(self) -> Response {
        let (status, id) = self.parts();
        let sentence = match &self {
            Self::Write(WriteError::Unknown) => "Host not found",
            _ if !self.is_clients() => return self.into_ours(),
            _ if id == MISSING => "Required parameter 'weight' is missing.",
            _ => "Invalid load_balancing_weight. Supply an integer between 1 and 100.",
        };
        explained(status, Some(sentence), self.reason())
    }

    /// kumonos-sds: the reason as JSON.
    pub fn into_kumonos(self) -> Response {
        let (status, _) = self.parts();
        match &self {
            Self::Json(reason) => answer(status, told(Some(&format!("Invalid JSON: {reason}")))),
            _ if self.is_clients() => answer(status, told(Some(&self.reason()))),
            _ => self.into_ours(),
        }
    }

    /// Whether what the client said is wrong.
    fn is_clients(&self) -> bool {
        matches!(self, Self::Json(_) | Self::Invalid(_) | Self::Address(_) | Self::Write(WriteError::Invalid(_)))
    }

    /// What is no bad request is told as the native API tells it.
    fn into_ours(self) -> Response {
        let (_, id) = self.parts();
        match &self {
            Self::Write(WriteError::Superseded(_)) => answer(StatusCode::SERVICE_UNAVAILABLE, json(&self.body(id))),
            _ => self.into_response(),
        }
    }
}

/// The id of a field that is required and was not sent.
pub const MISSING: &str = "MissingField";

fn told(error: Option<&str>) -> Response {
    json(&Told { error })
}

fn explained(status: StatusCode, error: Option<&str>, reason: String) -> Response {
    let mut response = answer(status, told(error));
    if let Ok(reason) = HeaderValue::try_from(reason) {
        response.headers_mut().insert(REASON, reason);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{address::AddressRefused, store::StoreError};
    use http::header;
    use sds_types::Invalid;

    const DIALECTS: [fn(ApiError) -> Response; 4] =
        [ApiError::into_cookpad, ApiError::into_lyft, ApiError::into_lyft_weight, ApiError::into_kumonos];

    fn statuses(error: impl Fn() -> ApiError) -> [u16; 4] {
        DIALECTS.map(|dialect| dialect(error()).status().as_u16())
    }

    #[test]
    fn who_is_to_blame_decides_the_status() {
        let outside = AddressRefused::Outside("192.0.2.1".parse().unwrap());
        assert_eq!(statuses(|| Invalid::new("InvalidPort", "port", "no").into()), [400; 4]);
        assert_eq!(statuses(|| WriteError::Invalid(Invalid::new("InvalidTags", "tags", "no")).into()), [400; 4]);
        assert_eq!(statuses(|| ApiError::Json("no")), [400; 4]);
        assert_eq!(statuses(|| outside.into()), [403; 4]);
        assert_eq!(statuses(|| WriteError::Unknown.into()), [400, 400, 404, 404]);
        assert_eq!(statuses(|| ApiError::TooLarge(1)), [413; 4]);
        assert_eq!(statuses(|| ApiError::NotReady), [503; 4]);
        assert_eq!(statuses(|| WriteError::Superseded(None).into()), [503; 4], "they know no 409");
        for dialect in DIALECTS {
            let response = dialect(WriteError::Store(StoreError::away("UpdateItem", "x")).into());
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(response.headers().contains_key(header::RETRY_AFTER));
        }
    }

    #[test]
    fn a_reason_in_any_script_fits_into_a_header() {
        let response = ApiError::from(Invalid::new("InvalidAddress", "ip", "'é…' is no ip")).into_lyft();
        assert_eq!(response.headers().get(REASON).unwrap().as_bytes(), "'é…' is no ip".as_bytes());
    }
}
