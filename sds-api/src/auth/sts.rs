//! Asks AWS whose signature a proof is: the request that was signed is built here from nothing but constants, the claims and
//! the four words of the proof, and sent to STS in the task's region.
//!
//! - Time: the caller's deadline ends everything. A few requests run at once, the others wait for their turn.
//! - Where: always the region's own host, in TLS and in the signed `host`. `AWS_ENDPOINT_URL_STS`, AWS's own variable, says
//!   where else to connect, as to a VPC endpoint without private names; the signed host stays. No proxy, no redirect.
//! - A proof that STS refused is remembered, and one that is being asked about is not asked about twice: a flood of one bad
//!   proof makes one call.
//!
//! Nothing here was tried against AWS itself.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use sds_types::proof::{self, Audience, Claims, Proof};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

pub use answer::Caller;

mod answer;
mod connect;
mod health;
mod once;

/// Requests in flight.
const AT_ONCE: usize = 8;
/// A whole answer is about 500 bytes.
const ANSWER_LIMIT: usize = 64 * 1024;
/// An idle connection is kept for this long: registrations come in bursts.
const IDLE: Duration = Duration::from_secs(20);

/// Why nobody is known by a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unproven {
    /// It is none, and no other try with the same proof will make it one.
    Refused(&'static str),
    /// AWS could not be asked, or said nothing to work with: it proves nothing in either way.
    Away,
}

/// The way to STS.
pub struct Sts {
    audience: Audience,
    endpoint: Option<Uri>,
    client: Client<HttpsConnector<connect::Http>, Full<Bytes>>,
    free: Semaphore,
    asked: once::Asked,
    health: health::Health,
}

impl Sts {
    /// Prepares it for proofs made out to `audience`; `endpoint` is where to connect in the place of the region's host, its
    /// path does not count. Fails when the machine has no certificate authorities.
    pub fn new(audience: Audience, endpoint: Option<Uri>) -> std::io::Result<Self> {
        let provider = rustls::crypto::ring::default_provider();
        let https = HttpsConnectorBuilder::new().with_provider_and_native_roots(provider)?;
        let https = if endpoint.is_some() { https.https_or_http() } else { https.https_only() };
        let connector = https.enable_http1().wrap_connector(connect::http());
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(AT_ONCE)
            .build(connector);
        Ok(Self {
            audience,
            endpoint,
            client,
            free: Semaphore::new(AT_ONCE),
            asked: once::Asked::default(),
            health: health::Health::default(),
        })
    }

    /// Who signed the proof of these claims; ends by `deadline`. The proof's date is checked elsewhere (`proof::is_of_now`).
    pub async fn caller(&self, proof: &Proof, claims: &Claims, deadline: Instant) -> Result<Caller, Unproven> {
        let asked = self.asked.once(once::key(proof, claims), || self.ask(proof, claims));
        timeout_at(deadline, asked).await.unwrap_or(Err(Unproven::Away))
    }

    /// Since when STS could not be asked; `None` when it answered the last time, or was not asked yet.
    pub fn failing_since(&self) -> Option<Instant> {
        self.health.failing_since()
    }

    async fn ask(&self, proof: &Proof, claims: &Claims) -> Result<Caller, Unproven> {
        let request = request(proof, claims, &self.audience, self.endpoint.as_ref());
        let request = request.ok_or(Unproven::Refused("the proof does not fit into a request"))?;
        let _turn = self.free.acquire().await.map_err(|_| Unproven::Away)?;
        let region = claims.task.region().name();
        let pending = self.health.asks();
        let (status, answer) = match self.answer(request).await {
            Ok(answered) => answered,
            Err(cause) => {
                tracing::debug!(cause, region, "STS cannot be asked who a task is");
                pending.failed(&cause);
                return Err(Unproven::Away);
            }
        };
        pending.answered(status, &answer);
        match &answer {
            Ok(_) => {}
            Err(Unproven::Refused(reason)) => tracing::info!(status = status.as_u16(), reason, "STS refused a proof"),
            Err(Unproven::Away) => {
                tracing::debug!(status = status.as_u16(), region, "STS answers with nothing that tells who a task is")
            }
        }
        answer
    }

    /// Sends it, once; the error is in words.
    async fn answer(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Result<Caller, Unproven>), String> {
        let response = self.client.request(request).await.map_err(|error| connect::innermost(&error))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_LIMIT).collect().await.map_err(|error| error.to_string())?.to_bytes();
        Ok((head.status, answer::judge(head.status, head.headers.get(header::CONTENT_TYPE), &body)))
    }
}

/// The request that was signed.
fn request(proof: &Proof, claims: &Claims, audience: &Audience, at: Option<&Uri>) -> Option<Request<Full<Bytes>>> {
    let region = claims.task.region();
    let host = region.sts_host();
    let (scheme, authority) = match at {
        Some(uri) => (uri.scheme_str()?, uri.authority()?.as_str()),
        None => ("https", host.as_str()),
    };
    let Proof { access_key_id, date, session_token, signature } = proof;
    let scope = format!("{access_key_id}/{}/{}/{}/aws4_request", date.get(..8)?, region.name(), proof::SERVICE);
    let signed = proof::SIGNED_HEADERS;
    let authorization = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={signed}, Signature={signature}");
    let mut request = Request::post(format!("{scheme}://{authority}/"))
        .header(header::HOST, &host)
        .header(header::CONTENT_TYPE, proof::CONTENT_TYPE)
        .header("x-amz-date", date)
        .header(proof::AUDIENCE_HEADER, audience.as_str())
        .header(proof::CLAIMS_HEADER, claims.hash());
    for (name, secret) in [("x-amz-security-token", session_token), ("authorization", &authorization)] {
        let mut value = HeaderValue::from_str(secret).ok()?;
        value.set_sensitive(true);
        request = request.header(name, value);
    }
    request.body(Full::from(proof::BODY)).ok()
}

#[cfg(test)]
mod tests;
