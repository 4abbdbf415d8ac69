//! A check's long form: a URL and options, as people write it in JSON.
//!
//! Its comments are the descriptions in the published schema. Each option says which schemes it is for; anywhere else
//! it is refused, as is a key that nobody knows.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue, Method, uri::Authority, uri::PathAndQuery};
use serde::{Deserialize, Deserializer, de};

use super::{Check, Grpc, Http, Kind, Statuses, Target, Tls};

/// The schemes and roughly what follows them, for editors that know the schema.
#[cfg(test)]
pub const SHAPE: &str = "^(https?|tcp|grpcs?|ecs)://.+$";

/// A beginning of a body longer than this is no sign of life but a second copy of the app.
const BODY_TEXT: usize = 1024;

/// A check with options.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "CheckWithOptions"))]
pub struct Object {
    /// What is asked, and where: http://:8080/health, https://:8443/health, tcp://:8080, grpc://:50051 or grpcs://:50051
    /// (grpc.health.v1; a path names the service: grpc://:50051/my.pkg.Service), ecs://container-name (the container's
    /// health as ECS tells it). Without a host it is the app itself; a host is an IP address of this task or localhost.
    #[cfg_attr(test, schemars(regex(pattern = SHAPE)))]
    pub url: String,
    /// http, https: the request's method [default: GET].
    method: Option<Verb>,
    /// http, https: the statuses that pass, each a number or a range such as "300-399" [default: "200-299"]. Redirects
    /// are not followed.
    #[cfg_attr(test, schemars(length(min = 1)))]
    expect: Option<Vec<Statuses>>,
    /// http, https, grpc, grpcs: headers of the request. Their values are never logged.
    #[serde(default, deserialize_with = "headers")]
    #[cfg_attr(test, schemars(with = "BTreeMap<String, String>"))]
    headers: BTreeMap<String, Secret>,
    /// http, https, grpc, grpcs: the Host header, in gRPC the authority [default: host and port of the target].
    host: Option<String>,
    /// http, https: a text that the first 64 KB of the body must contain, at most 1,024 bytes.
    #[cfg_attr(test, schemars(length(min = 1, max = BODY_TEXT)))]
    body: Option<String>,
    /// https, grpcs: who may have signed the app's certificate: PEM text, or the path of a PEM file in the sidecar's
    /// container [default: the system's authorities].
    ca: Option<String>,
    /// https, grpcs: believe any certificate; not together with ca [default: false].
    skip_verify: Option<bool>,
    /// https, grpcs: the name that the app's certificate is for, also sent as SNI [default: the host in the URL, without
    /// one the app's address].
    server_name: Option<String>,
}

/// A method that changes nothing, or so one hopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(inline))]
enum Verb {
    Get,
    Head,
    Options,
    Post,
}

/// A text that no message repeats, not even the one that says that it is no text.
struct Secret(String);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer);
        text.map(Self).map_err(|_| de::Error::custom("the value of a header must be a text"))
    }
}

/// serde's own error would repeat a text that stands in the map's place.
fn headers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Secret>, D::Error> {
    BTreeMap::deserialize(deserializer).map_err(|error: D::Error| match error.to_string() {
        text if text.starts_with("invalid type: ") => de::Error::custom("must be an object, as in {\"x-probe\":\"1\"}"),
        _ => error,
    })
}

impl Object {
    /// The short form: all options as by default.
    pub fn short(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            method: None,
            expect: None,
            headers: BTreeMap::new(),
            host: None,
            body: None,
            ca: None,
            skip_verify: None,
            server_name: None,
        }
    }

    /// Reads it all.
    pub fn check(self) -> Result<Check, String> {
        let (scheme, rest) = self.url.split_once("://").ok_or_else(shape)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if !["http", "https", "tcp", "grpc", "grpcs", "ecs"].contains(&scheme) {
            return Err(shape());
        }
        self.fits(scheme)?;
        let kind = match scheme {
            "http" => self.http(Target::parse(authority, Some(80))?, path, None)?,
            "https" => self.http(Target::parse(authority, Some(443))?, path, Some(self.tls()?))?,
            "tcp" if matches!(path, "" | "/") => Kind::Tcp(Target::parse(authority, None)?),
            "tcp" => return Err("a check of tcp has no path".into()),
            "grpc" => self.grpc(Target::parse(authority, None)?, path, None)?,
            "grpcs" => self.grpc(Target::parse(authority, None)?, path, Some(self.tls()?))?,
            "ecs" => Kind::Ecs(container(rest)?),
            _ => return Err(shape()),
        };
        Ok(Check { kind, text: self.url })
    }

    /// Refuses what would be passed over.
    fn fits(&self, scheme: &str) -> Result<(), String> {
        const HTTP: &[&str] = &["http", "https"];
        const CALL: &[&str] = &["http", "https", "grpc", "grpcs"];
        const TLS: &[&str] = &["https", "grpcs"];
        let given = [
            ("method", self.method.is_some(), HTTP),
            ("expect", self.expect.is_some(), HTTP),
            ("headers", !self.headers.is_empty(), CALL),
            ("host", self.host.is_some(), CALL),
            ("body", self.body.is_some(), HTTP),
            ("ca", self.ca.is_some(), TLS),
            ("skip_verify", self.skip_verify.is_some(), TLS),
            ("server_name", self.server_name.is_some(), TLS),
        ];
        match given.iter().find(|(_, given, schemes)| *given && !schemes.contains(&scheme)) {
            Some((option, _, schemes)) => {
                Err(format!("'{option}' means nothing to a check of {scheme}, only to {}", schemes.join(", ")))
            }
            None => Ok(()),
        }
    }

    fn http(&self, target: Target, path: &str, tls: Option<Tls>) -> Result<Kind, String> {
        if path.contains('#') || !path.is_ascii() {
            return Err("has a path with a fragment or with characters that are to be written as %xx".into());
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        let path: PathAndQuery = format!("{slash}{path}")
            .parse()
            .map_err(|_| "has a path with characters that are to be written as %xx".to_owned())?;
        if self.expect.as_ref().is_some_and(Vec::is_empty) {
            return Err("expect: an empty list would never pass; [200, \"300-399\"] is one".into());
        }
        if self.body.as_ref().is_some_and(|body| body.is_empty() || body.len() > BODY_TEXT) {
            return Err(format!("body: must be a text of 1 to {BODY_TEXT} bytes"));
        }
        if self.body.is_some() && self.method == Some(Verb::Head) {
            return Err("body: an answer to HEAD has none".into());
        }
        let method = match self.method.unwrap_or(Verb::Get) {
            Verb::Get => Method::GET,
            Verb::Head => Method::HEAD,
            Verb::Options => Method::OPTIONS,
            Verb::Post => Method::POST,
        };
        let expect = self.expect.clone().unwrap_or_else(|| vec![Statuses::success()]);
        let (headers, host) = (self.headers()?, self.host()?);
        Ok(Kind::Http(Http { target, tls, method, path, headers, host, expect, body: self.body.clone() }))
    }

    fn grpc(&self, target: Target, path: &str, tls: Option<Tls>) -> Result<Kind, String> {
        let service = path.strip_prefix('/').unwrap_or(path);
        if !service.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
            return Err("has a path that is not the name of a service, as in grpc://:50051/my.pkg.Service".into());
        }
        let headers = self.headers()?;
        if let Some(name) = headers.keys().find(|name| *name == "content-type" || name.as_str().starts_with("grpc-")) {
            return Err(format!("headers: '{name}' is for the sidecar to set"));
        }
        Ok(Kind::Grpc(Grpc { target, tls, service: service.to_owned(), headers, host: self.host()? }))
    }

    fn tls(&self) -> Result<Tls, String> {
        Tls::new(self.ca.as_deref(), self.skip_verify.unwrap_or_default(), self.server_name.clone())
    }

    fn host(&self) -> Result<Option<Authority>, String> {
        let read = |host: &String| match host.parse::<Authority>() {
            Ok(authority) if !host.contains('@') => Ok(authority),
            _ => Err(format!("host: '{}' is not a host, as in app.example.com", host.escape_debug())),
        };
        self.host.as_ref().map(read).transpose()
    }

    /// None of those that the sidecar or the protocol sets.
    fn headers(&self) -> Result<HeaderMap, String> {
        const OURS: [&str; 8] =
            ["connection", "content-length", "expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];
        let mut headers = HeaderMap::new();
        for (key, Secret(value)) in &self.headers {
            let shown = key.escape_debug();
            let name: HeaderName =
                key.parse().map_err(|_| format!("headers: '{shown}' is not the name of a header, such as x-probe"))?;
            if name == http::header::HOST {
                return Err("headers: Host has an option of its own, 'host'".into());
            }
            if OURS.contains(&name.as_str()) {
                return Err(format!("headers: '{shown}' is for the sidecar to set"));
            }
            let mut value: HeaderValue =
                value.parse().map_err(|_| format!("headers: the value of '{shown}' must be printable ASCII"))?;
            value.set_sensitive(true);
            if headers.insert(name, value).is_some() {
                return Err(format!("headers: '{shown}' is there twice"));
            }
        }
        Ok(headers)
    }
}

/// A container's name as a task definition may have it.
fn container(name: &str) -> Result<String, String> {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    match (1..=255).contains(&name.len()) && name.bytes().all(valid) {
        true => Ok(name.to_owned()),
        false => Err("does not name a container of the task definition, as in ecs://app".into()),
    }
}

fn shape() -> String {
    "is not a check, as in http://:8080/health, https://:8443/, tcp://:8080, grpc://:50051 or ecs://app".into()
}
