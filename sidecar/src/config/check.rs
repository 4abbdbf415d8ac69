//! One check of `SDS_CHECK`: `http://:8080/health`, `tcp://:8080`.
//!
//! Without a host it means this task. A name other than `localhost` is refused here, an address outside of the task
//! by the configuration as a whole: a sidecar that vouches for what runs elsewhere would register the wrong thing.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use reqwest::Url;

/// What is asked, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// How the app is asked.
    pub scheme: Scheme,
    /// Tried in this order.
    pub addresses: Vec<SocketAddr>,
    text: String,
}

/// How the app is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scheme {
    /// GET.
    Http(Url),
    /// Connect.
    Tcp,
}

impl Check {
    /// SHIM
    pub fn host(&self) -> Option<Host> {
        Some(Host::Ip(self.addresses[0].ip()))
    }
    /// SHIM
    pub fn port(&self) -> Option<u16> {
        Some(self.addresses[0].port())
    }
    /// Whether the host is spelled `localhost`.
    pub fn is_localhost(&self) -> bool {
        matches!(&self.scheme, Scheme::Http(url) if url.host_str() == Some("localhost"))
    }
}

impl FromStr for Check {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or_else(shape)?;
        match scheme {
            "http" | "tcp" => {}
            "https" | "grpc" | "grpcs" | "ecs" => {
                return Err(format!("checks of {scheme} are not available: http or tcp"));
            }
            _ => return Err(shape()),
        }
        let rest = if rest.starts_with(':') { format!("127.0.0.1{rest}") } else { rest.to_owned() };
        // A port of its own, since the url crate drops http's: `tcp://:80` would have none.
        let url: Url = format!("http://{rest}").parse().map_err(|_| shape())?;
        let port = url.port_or_known_default().filter(|port| *port != 0).ok_or_else(shape)?;
        let explicit =
            rest.split(['/', '?', '#']).next().is_some_and(|authority| authority.ends_with(&format!(":{port}")));
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(shape());
        }
        if scheme == "tcp" && (!explicit || url.path() != "/" || url.query().is_some()) {
            return Err(shape());
        }
        let host = url.host_str().unwrap_or_default();
        let ips: Vec<IpAddr> = match host.trim_start_matches('[').trim_end_matches(']').parse() {
            Ok(ip) => vec![ip],
            Err(_) if host == "localhost" => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            Err(_) => return Err(format!("the host '{host}' is not in this task: leave it out, or write 127.0.0.1")),
        };
        Ok(Self {
            addresses: ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect(),
            scheme: if scheme == "tcp" { Scheme::Tcp } else { Scheme::Http(url) },
            text: text.to_owned(),
        })
    }
}

fn shape() -> String {
    "is not a check, as in http://:8080/health or tcp://:8080".into()
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        for (text, expected) in [
            ("http://:8080/health", "[127.0.0.1:8080] http://127.0.0.1:8080/health"),
            ("http://127.0.0.1:80/a?b=c", "[127.0.0.1:80] http://127.0.0.1/a?b=c"),
            ("http://localhost:8080", "[127.0.0.1:8080, [::1]:8080] http://localhost:8080/"),
            ("http://[::1]:8080/", "[[::1]:8080] http://[::1]:8080/"),
            ("http://10.0.0.1:8080/", "[10.0.0.1:8080] http://10.0.0.1:8080/"),
            ("tcp://:80", "[127.0.0.1:80] tcp"),
            ("tcp://[::1]:5432", "[[::1]:5432] tcp"),
        ] {
            let check: Check = text.parse().unwrap();
            let scheme = match check.scheme {
                Scheme::Http(url) => url.to_string(),
                Scheme::Tcp => "tcp".into(),
            };
            assert_eq!(format!("{:?} {scheme}", check.addresses), expected);
        }
    }

    #[test]
    fn no_targets() {
        for (bad, reason) in [
            ("8080", "is not a check"),
            ("http://", "is not a check"),
            ("http://:0/", "is not a check"),
            ("http://:65536/", "is not a check"),
            ("http://user:pw@127.0.0.1:80/", "is not a check"),
            ("tcp://:80/path", "is not a check"),
            ("tcp://127.0.0.1", "is not a check"),
            ("ftp://:80", "is not a check"),
            ("https://:8443/", "checks of https are not available"),
            ("grpc://:50051", "checks of grpc are not available"),
            ("ecs://app", "checks of ecs are not available"),
            ("http://app.internal:80/", "the host 'app.internal' is not in this task"),
        ] {
            let error = bad.parse::<Check>().unwrap_err();
            assert!(error.starts_with(reason), "{bad}: {error}");
        }
    }
}

pub enum Host {
    App,
    Localhost,
    Ip(IpAddr),
}
impl<'de> serde::Deserialize<'de> for Check {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text: String = serde::Deserialize::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
#[cfg(test)]
impl schemars::JsonSchema for Check {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Check".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({})
    }
}
