//! The credentials of the task's role, from where ECS puts them: the container credentials endpoint, which the two variables
//! `AWS_CONTAINER_CREDENTIALS_*_URI` name as they do for AWS's SDKs. Else three variables have them.
//!
//! - The order is not the SDKs', whose variables come first: what is to be proven is which task this is, and only the
//!   endpoint knows. An EC2 instance's role is not asked for at all: it is the machine's, and no registry takes it for a task's.
//! - A key is fetched anew from 5 min before its end. When that fails, the old one serves until then. One that was refused is
//!   not used again.
//! - The full URI may lead only to the task itself, to ECS's and EKS's own addresses, or over https (as in the SDKs):
//!   whoever can set a variable shall not have the token in the other one sent to them.
//!
//! (AWS documentation, "Container credential provider"; not run on AWS.)

use std::{
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reqwest::{
    Client, Url,
    header::{AUTHORIZATION, HeaderValue},
};
use sds_types::Secret;
use serde::Deserialize;

use crate::{clock, identity::metadata::fetch, web};

/// Where ECS's agent serves credentials.
const ECS: &str = "http://169.254.170.2";
/// For one fetch: a proof has to fit into the time of a call.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Before its end; ECS itself has a new one earlier than that.
const EARLY_MS: u64 = 5 * 60 * 1000;
/// Session tokens have some hundred bytes up to a few thousand.
const LIMIT: usize = 32 * 1024;

/// A role's temporary key. It has no `Debug`.
pub struct Key {
    /// `ASIA...`
    pub id: String,
    /// The secret.
    pub secret: String,
    /// What makes it a role's.
    pub session_token: String,
    /// When it ends, as `YYYY-MM-DDTHH:MM:SS`; `None` is not known.
    expires: Option<String>,
}

/// Where credentials are, as the variables tell.
#[derive(Debug, Clone, Default)]
pub enum Source {
    /// No variable tells.
    #[default]
    Nowhere,
    /// An endpoint, and what is sent to it as `Authorization`.
    Endpoint(Url, Token),
    /// The variables themselves: id, secret, session token.
    Given(Secret, Secret, Secret),
}

/// The endpoint's own token.
#[derive(Debug, Clone)]
pub enum Token {
    /// It wants none.
    None,
    /// This.
    Text(Secret),
    /// What is in this file when it is asked; it changes.
    File(PathBuf),
}

/// The credentials of one user; fetched when they are needed.
pub struct Credentials {
    source: Source,
    client: Client,
    held: Mutex<Option<Arc<Key>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    access_key_id: String,
    secret_access_key: String,
    token: String,
    expiration: String,
}

impl Credentials {
    /// Of `source`; fails when https is wanted and no certificate authority can be loaded.
    pub fn new(source: Source) -> Result<Self, reqwest::Error> {
        let tls = matches!(&source, Source::Endpoint(url, _) if url.scheme() == "https");
        let client = web::client(tls).timeout(TIMEOUT).pool_max_idle_per_host(0).build()?;
        Ok(Self { source, client, held: Mutex::default() })
    }

    /// A key that is good at `now` (milliseconds since 1970), or why there is none; ends within 1 s.
    pub async fn key(&self, now: u64) -> Result<Arc<Key>, String> {
        let held = self.held().clone();
        if let Some(key) = held.as_ref().filter(|key| key.lasts(now + EARLY_MS)) {
            return Ok(key.clone());
        }
        match (self.fetched().await, held.filter(|key| key.lasts(now))) {
            (Ok(key), _) if key.lasts(now) => {
                let key = Arc::new(key);
                *self.held() = Some(key.clone());
                Ok(key)
            }
            (Ok(_), None) => Err("the task's credentials have ended, by this machine's clock".into()),
            (Err(why), None) => Err(format!("no credentials of the task's role: {why}")),
            (_, Some(old)) => Ok(old),
        }
    }

    /// Who knows better did not take the key: the next one is fetched.
    pub fn doubt(&self) {
        self.held().take();
    }

    async fn fetched(&self) -> Result<Key, String> {
        let (url, token) = match &self.source {
            Source::Nowhere => return Err("ECS has set no AWS_CONTAINER_CREDENTIALS_RELATIVE_URI".into()),
            Source::Given(id, secret, token) => {
                let [id, secret, session_token] = [id, secret, token].map(|text| text.reveal().to_owned());
                return Ok(Key { id, secret, session_token, expires: None });
            }
            Source::Endpoint(url, token) => (url, token),
        };
        let mut request = self.client.get(url.clone());
        if let Some(token) = token.text()? {
            request = request.header(AUTHORIZATION, token);
        }
        let document = fetch(request, LIMIT).await.map_err(|error| error.to_string())?;
        // The parser's own words could repeat what they do not understand.
        let document: Document = serde_json::from_slice(&document)
            .map_err(|_| "the endpoint answers with something else than credentials")?;
        let expires = document.expiration.get(..19).filter(|text| text.as_bytes().get(10) == Some(&b'T'));
        let expires = expires.ok_or("the endpoint does not tell when its credentials end")?.to_owned();
        let Document { access_key_id: id, secret_access_key: secret, token: session_token, .. } = document;
        if [&id, &secret, &session_token].iter().any(|text| text.is_empty()) {
            return Err("the endpoint answers with half of the credentials".into());
        }
        Ok(Key { id, secret, session_token, expires: Some(expires) })
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Option<Arc<Key>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Key {
    /// Both texts have the same form, so the later one is the greater.
    fn lasts(&self, until: u64) -> bool {
        self.expires.as_ref().is_none_or(|expires| *expires > clock::date_time(until / 1000))
    }
}

impl Token {
    fn text(&self) -> Result<Option<HeaderValue>, String> {
        let text = match self {
            Self::None => return Ok(None),
            Self::Text(text) => text.reveal().to_owned(),
            Self::File(path) => {
                let text = std::fs::read_to_string(path);
                text.map_err(|error| format!("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: {}", error.kind()))?
            }
        };
        let mut value = HeaderValue::from_str(text.trim()).map_err(|_| "the token for the endpoint is no header")?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`: a path at ECS's own address.
pub fn relative(path: &str) -> Result<Url, &'static str> {
    let url: Url = format!("{ECS}{path}").parse().map_err(|_| "is not a path")?;
    let there = url.host_str() == Some("169.254.170.2") && url.port().is_none() && url.username().is_empty();
    if there && path.starts_with('/') { Ok(url) } else { Err("is not a path") }
}

/// `AWS_CONTAINER_CREDENTIALS_FULL_URI`.
pub fn full(text: &str) -> Result<Url, &'static str> {
    let url: Url = text.parse().map_err(|_| "is not a URL")?;
    let ip = url.host_str().and_then(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
    let own = [IpAddr::from([169, 254, 170, 2]), IpAddr::from([169, 254, 170, 23])];
    let eks = "fd00:ec2::23".parse::<IpAddr>().ok();
    let near = ip.is_some_and(|ip| ip.is_loopback() || own.contains(&ip) || Some(ip) == eks);
    match url.scheme() {
        "https" => Ok(url),
        "http" if near => Ok(url),
        "http" => {
            Err("is http, which may only lead to a loopback address, 169.254.170.2, 169.254.170.23 or fd00:ec2::23")
        }
        _ => Err("is not a URL of http or https"),
    }
}

#[cfg(test)]
mod tests;
