//! HTTP clients for the registry, the metadata and the sidecar itself (probes have their own, `probe/http`): no proxy from the environment, no redirect followed, bounded
//! bodies, one TLS stack (rustls with ring). HTTP/1.1 only: one call at a time needs no streams, and a call that is
//! given up takes its connection with it. What a status means is for the callers.

use std::sync::Once;

use reqwest::{ClientBuilder, Response, redirect};

/// The most that is read of an answer, in bytes.
pub const BODY_LIMIT: usize = 64 * 1024;
/// Who asks.
pub const USER_AGENT: &str = concat!("sds-sidecar/", env!("CARGO_PKG_VERSION"));

/// A client that is told by the caller how to connect; `tls` loads the system's certificate authorities, without it
/// no CA file is needed and https does not work.
pub fn client(tls: bool) -> ClientBuilder {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // An error says that another provider is installed already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    let builder = reqwest::Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .http1_only()
        .user_agent(USER_AGENT);
    if tls { builder } else { builder.tls_certs_only([]) }
}

/// Why a body was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// There is more than the limit.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// The connection broke.
    #[error("the answer broke off: {0}")]
    Broken(String),
}

/// Reads a body of at most `limit` bytes; stops reading where it is longer.
pub async fn body(mut response: Response, limit: usize) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| BodyError::Broken(cause(&error)))? {
        if body.len() + chunk.len() > limit {
            return Err(BodyError::TooLong(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The innermost cause in words; the outer ones only repeat the URL.
pub fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    shown(&inner.to_string())
}

/// Foreign text as a log shows it: control characters become spaces, at most 200 characters.
pub fn shown(text: &str) -> String {
    text.trim().chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
