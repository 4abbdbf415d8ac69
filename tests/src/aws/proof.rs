//! Proofs of a task's role, right and forged: signed here over any request, from the protocol's description alone, so that the
//! registry meets more than what its own sidecar sends; and read as the registry should.

use anyhow::{Context, ensure};
use axum::http::{HeaderMap, HeaderName, Method, Uri};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::digest;
use serde_json::{Value, json};

use super::{
    sigv4::{self, Secret, Seen},
    sts::Session,
};
use crate::clock;

const BODY: &str = "Action=GetCallerIdentity&Version=2011-06-15";

/// What is claimed.
#[derive(Debug, Clone)]
pub struct Claims {
    /// The service.
    pub service: String,
    /// `ip:port`
    pub endpoint: String,
    /// The task's ARN.
    pub task: String,
    /// The sidecar's start.
    pub incarnation: u64,
}

impl Claims {
    fn hash(&self) -> String {
        let Self { service, endpoint, task, incarnation } = self;
        let text = format!("sds-claims-1\n{service}\n{endpoint}\n{task}\n{incarnation}\n");
        digest::digest(&digest::SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The request that is signed; a forger changes it.
#[derive(Debug, Clone)]
pub struct Signed {
    /// POST.
    pub method: Method,
    /// `/`
    pub uri: Uri,
    /// All headers, in any order.
    pub headers: Vec<(String, String)>,
    /// Names that are left out of the signature.
    pub unsigned: Vec<String>,
    /// The body.
    pub body: String,
    /// Region and service of the signature's scope.
    pub scope: (String, String),
}

impl Signed {
    /// The right one, signed `late` seconds from now.
    pub fn right(session: &Session, claims: &Claims, audience: &str, late: i64) -> Self {
        let region = claims.task.split(':').nth(3).unwrap_or_default().to_owned();
        let date = sigv4::date(clock::epoch_seconds().saturating_add_signed(late));
        let headers = [
            ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("host", &format!("sts.{region}.amazonaws.com")),
            ("x-amz-date", &date),
            ("x-amz-security-token", &session.token),
            ("x-sds-audience", audience),
            ("x-sds-claims", &claims.hash()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            method: Method::POST,
            uri: Uri::from_static("/"),
            headers: headers.into(),
            unsigned: Vec::new(),
            body: BODY.to_owned(),
            scope: (region, "sts".to_owned()),
        }
    }

    /// The same with another value of a header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with one more header, also if there is one of the name.
    #[must_use]
    pub fn more(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same without this name among the signed ones.
    #[must_use]
    pub fn unsigned(mut self, name: &str) -> Self {
        self.unsigned.push(name.to_owned());
        self
    }

    fn value(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The proof of it as JSON.
    pub fn json(&self, session: &Session) -> anyhow::Result<Value> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.append(name.parse::<HeaderName>()?, value.parse()?);
        }
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.retain(|name| !self.unsigned.iter().any(|unsigned| unsigned == name));
        names.sort_unstable();
        let seen = Seen { method: &self.method, uri: &self.uri, headers: &headers, body: self.body.as_bytes() };
        let (region, service) = &self.scope;
        let date = self.value("x-amz-date");
        let signature = sigv4::signature(&seen, &names, (region, service), date, &session.secret);
        Ok(json!({
            "access_key_id": session.id, "date": date, "session_token": session.token,
            "signature": signature.context("a header that is not there")?,
        }))
    }

    /// The header `Authorization` with it.
    pub fn header(&self, session: &Session) -> anyhow::Result<String> {
        Ok(header(&self.json(session)?))
    }
}

/// The header with this JSON for a proof.
pub fn header(json: &Value) -> String {
    format!("SDS-AWS {}", URL_SAFE_NO_PAD.encode(json.to_string()))
}

/// Whether a header proves these claims to `audience` with the session's key: what AWS would say of it.
pub fn check(header: &str, claims: &Claims, audience: &str, session: &Session) -> anyhow::Result<()> {
    let text = header.strip_prefix("SDS-AWS ").context("another scheme")?;
    let proof: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text)?)?;
    let field = |name: &str| proof[name].as_str().unwrap_or_default().to_owned();
    let date = field("date");
    let now = clock::epoch_seconds();
    ensure!(sigv4::seconds(&date).is_some_and(|at| at.abs_diff(now) < 30), "dated {date}");
    let right = Signed::right(session, claims, audience, 0).with("x-amz-date", &date);
    let mut headers = HeaderMap::new();
    for (name, value) in &right.headers {
        headers.append(name.parse::<HeaderName>()?, value.parse()?);
    }
    let region = &right.scope.0;
    let scope = format!("{}/{}/{region}/sts/aws4_request", field("access_key_id"), &date[..8]);
    let names = "content-type;host;x-amz-date;x-amz-security-token;x-sds-audience;x-sds-claims";
    let authorization =
        format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={names}, Signature={}", field("signature"));
    headers.insert("authorization", authorization.parse()?);
    let seen = Seen { method: &right.method, uri: &right.uri, headers: &headers, body: right.body.as_bytes() };
    let secret = Secret { key: session.secret.clone(), token: Some(session.token.clone()) };
    let known = |id: &str| (id == session.id).then(|| secret.clone());
    sigv4::verify(&seen, region, "sts", known, now).map_err(anyhow::Error::msg)?;
    ensure!(field("session_token") == session.token, "another session token");
    let keys: Vec<_> = proof.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    ensure!(keys == ["access_key_id", "date", "session_token", "signature"], "{keys:?}");
    Ok(())
}
