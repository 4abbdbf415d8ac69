//! The HTTP client of the tests, and an answer with what tests ask of it.

use std::{sync::OnceLock, time::Duration};

use anyhow::{Context, ensure};
use reqwest::{Client, ClientBuilder, Method, header::HeaderMap};
use serde_json::Value;

use crate::canary;

/// A client that follows no redirect, uses no proxy, and gives up after `timeout`.
pub fn client(timeout: Duration) -> Client {
    builder(timeout).build().expect("an HTTP client")
}

/// The same that keeps no connection.
pub fn bare_client(timeout: Duration) -> Client {
    builder(timeout).pool_max_idle_per_host(0).build().expect("an HTTP client")
}

/// One that trusts `authority` alone, and shows `identity` (certificate and key) if there is one.
pub fn secure_client(timeout: Duration, authority: &str, identity: Option<&str>) -> anyhow::Result<Client> {
    let client = builder(timeout).tls_certs_only([reqwest::Certificate::from_pem(authority.as_bytes())?]);
    let client = match identity {
        Some(pem) => client.identity(reqwest::Identity::from_pem(pem.as_bytes())?),
        None => client,
    };
    Ok(client.build()?)
}

fn builder(timeout: Duration) -> ClientBuilder {
    static RING: OnceLock<()> = OnceLock::new();
    // reqwest insists on a TLS provider when it is built, also for plain http.
    RING.get_or_init(|| drop(rustls::crypto::ring::default_provider().install_default()));
    Client::builder().timeout(timeout).no_proxy().redirect(reqwest::redirect::Policy::none())
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text, lossily.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("{}: not JSON: {}", self.status, self.text()))
    }

    /// A header, "" if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The answer itself if its status is `status`.
    pub fn expect(self, status: u16) -> anyhow::Result<Self> {
        ensure!(self.status == status, "expected {status}, got {}: {}", self.status, self.text());
        Ok(self)
    }
}

/// Sends one request and reads the whole answer.
pub async fn send(
    client: &Client,
    method: Method,
    url: &str,
    headers: &[(&str, &str)],
    body: impl Into<reqwest::Body>,
) -> anyhow::Result<Answer> {
    let mut request = client.request(method.clone(), url).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.with_context(|| format!("{method} {url}"))?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let body = answer.bytes().await.with_context(|| format!("the body of {method} {url}"))?;
    let told = canary::planted(&String::from_utf8_lossy(&body));
    ensure!(told.is_none(), "{method} {url} is answered with {told:?}");
    Ok(Answer { status, headers, body: body.to_vec() })
}

/// GETs JSON; any status but 200 is an error.
pub async fn get_json(client: &Client, url: &str) -> anyhow::Result<Value> {
    send(client, Method::GET, url, &[], "").await?.expect(200)?.json()
}
