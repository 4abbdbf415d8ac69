//! `x-sds-state`: what is known about an answer. `fresh`, or a list of what is not as it should be, for the person on call:
//!
//! - `stale;age=S`: the store has brought nothing for S seconds; what was known is served.
//! - `held;n=N`: N of the hosts are silent, together with many others, and only held.
//! - `fail-open`: no host is healthy, and the list holds the others.

use axum::response::Response;
use http::{HeaderName, HeaderValue};

use super::App;

/// The header.
pub const NAME: HeaderName = HeaderName::from_static("x-sds-state");

/// The answer, with that header.
pub fn on(mut response: Response, state: HeaderValue) -> Response {
    response.headers_mut().insert(NAME, state);
    response
}

/// The state of an answer in which so many hosts are held.
pub fn of(app: &App, held: usize, fail_open: bool) -> HeaderValue {
    match (app.registry.staleness(), held, fail_open) {
        (None, 0, false) => HeaderValue::from_static("fresh"),
        (None, 0, true) => HeaderValue::from_static("fail-open"),
        (stale, held, fail_open) => {
            let stale = stale.map(|age| format!("stale;age={}", age.as_secs()));
            let held = (held > 0).then(|| format!("held;n={held}"));
            let words = [stale, held, fail_open.then(|| "fail-open".to_owned())];
            let words: Vec<_> = words.into_iter().flatten().collect();
            // Digits and our own words.
            HeaderValue::try_from(words.join(", ")).unwrap_or(HeaderValue::from_static("stale"))
        }
    }
}
