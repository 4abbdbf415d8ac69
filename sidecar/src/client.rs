//! The registry's native API over HTTP: turns a request of the lifecycle into bytes, and what comes back into an
//! answer of the lifecycle (`client/answer` decides which).
//!
//! Each call is one attempt at one URL within one deadline; when to try again is the lifecycle's to say. With `fresh`
//! it says that the last connection is not to be trusted: the pool goes, and the next URL and the next address of its
//! name get their turn, so that one sick replica or one dead address costs one call and not the lease.

use std::{future::Future, sync::Arc, time::Duration};

use reqwest::{Client as Http, Method, Url};
use rustls::ClientConfig;
use sds_types::{Endpoint, Registration, ServiceName};

use crate::{
    lifecycle::{Answer, Call, Request, Why},
    web,
};

mod answer;
mod authorization;
mod resolve;
mod trust;

use authorization::Speaker;
pub use authorization::{Authorization, Shows};
pub use trust::Trust;

/// For everything, from the name's lookup to the last byte.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// For the lookup and the connect, so that an attempt that never reached anybody is known as such.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection to one of the registry's replicas.
#[derive(Debug)]
pub struct Client {
    bases: Vec<Url>,
    at: usize,
    service: ServiceName,
    authorization: Authorization,
    resolver: Arc<resolve::Rotating>,
    trust: Trust,
    /// What was read last of what can be used.
    tls: Option<ClientConfig>,
    http: Http,
}

impl Client {
    /// Prepares the client; fails when https is wanted and no certificate authority can be loaded.
    pub fn new(
        bases: &[Url],
        trust: &Trust,
        service: ServiceName,
        authorization: Authorization,
    ) -> anyhow::Result<Self> {
        let resolver = Arc::new(resolve::Rotating::new(fastrand::usize(..1024)));
        let tls = trust.read()?;
        let http = connect(bases, tls.as_ref(), &resolver)?;
        let (bases, at, trust) = (bases.to_vec(), fastrand::usize(..bases.len().max(1)), trust.clone());
        Ok(Self { bases, at, service, authorization, resolver, trust, tls, http })
    }

    /// Makes one call; the future ends within 2 s. Dropping it gives the call up.
    pub fn call(
        &mut self,
        request: Request,
        endpoint: Endpoint,
        body: &Registration,
    ) -> impl Future<Output = Answer> + Send + 'static {
        if request.fresh {
            self.at = (self.at + 1) % self.bases.len().max(1);
            // Small files of this container, if any.
            match self.trust.read() {
                Ok(tls) => self.tls = tls,
                Err(wrong) => {
                    let (variable, reason) = (wrong.variable, wrong.reason);
                    tracing::warn!(variable, reason, "what it held before is used on");
                }
            }
            match connect(&self.bases, self.tls.as_ref(), &self.resolver) {
                Ok(http) => self.http = http,
                Err(error) => tracing::warn!(cause = web::cause(&error), "no new connection, the old one stays"),
            }
        }
        let url = self.url(request, endpoint);
        let call = match request.call {
            Call::Register(_) => self.http.request(Method::PUT, url),
            Call::Drain => self.http.request(Method::POST, url),
            Call::Deregister(_) => self.http.request(Method::DELETE, url),
        };
        let call = match (request.call, serde_json::to_vec(body)) {
            (Call::Register(_) | Call::Drain, Ok(body)) => {
                call.header(reqwest::header::CONTENT_TYPE, "application/json").body(body)
            }
            _ => call,
        };
        let authorization = self.authorization.clone();
        let speaker = Speaker {
            service: self.service.clone(),
            endpoint,
            incarnation: request.sequence.incarnation,
            task: body.task_arn.clone(),
        };
        async move {
            let sent = tokio::time::Instant::now();
            let deadline = sent + CALL_TIMEOUT;
            let leaves = !matches!(request.call, Call::Register(_));
            let call = match authorization.header(&speaker, leaves).await {
                Ok(Some(header)) => call.header(reqwest::header::AUTHORIZATION, header),
                Ok(None) => call,
                // Nobody was called; it may be otherwise with the next try, as with a registry that is away.
                Err(reason) => return Answer::Failed { reason, doubt: false, retry_after: None },
            };
            match tokio::time::timeout_at(deadline, call.send()).await {
                Ok(Ok(response)) => {
                    match response.status() {
                        reqwest::StatusCode::UNAUTHORIZED => authorization.refused(),
                        reqwest::StatusCode::SERVICE_UNAVAILABLE => authorization.unheard(),
                        _ => {}
                    }
                    let answer = answer::read(request.call, response, deadline).await;
                    if let Answer::Done(Some(registered)) = &answer {
                        authorization.told(&speaker, registered, sent);
                    }
                    answer
                }
                Ok(Err(error)) => Answer::Failed {
                    reason: web::cause(&error),
                    doubt: !(error.is_connect() || error.is_builder()),
                    retry_after: None,
                },
                Err(_) => answer::late(),
            }
        }
    }

    /// Whom it called last.
    pub fn base(&self) -> &str {
        self.bases.get(self.at).map_or("", Url::as_str)
    }

    fn url(&self, request: Request, endpoint: Endpoint) -> Url {
        let mut url = self.bases[self.at].clone();
        if let Ok(mut path) = url.path_segments_mut() {
            let endpoint = endpoint.to_string();
            path.pop_if_empty().extend(["v1", "services", self.service.as_str(), "instances", &endpoint]);
            if request.call == Call::Drain {
                path.push("drain");
            }
        }
        if let Call::Deregister(why) = request.call {
            let sds_types::Sequence { incarnation, seq } = request.sequence;
            let why = if why == Why::Unhealthy { "&reason=unhealthy" } else { "" };
            url.set_query(Some(&format!("incarnation={incarnation}&seq={seq}{why}")));
        }
        url
    }
}

fn connect(
    bases: &[Url],
    tls: Option<&ClientConfig>,
    resolver: &Arc<resolve::Rotating>,
) -> Result<Http, reqwest::Error> {
    let secure = bases.iter().any(|base| base.scheme() == "https");
    let builder = web::client(secure);
    let builder = match tls {
        Some(tls) => builder.tls_backend_preconfigured(tls.clone()),
        None => builder,
    };
    builder.connect_timeout(CONNECT_TIMEOUT).dns_resolver(Arc::clone(resolver)).build()
}

#[cfg(test)]
mod tests;
