//! Where a check connects to: the app itself, this host by name, or an address as written.
//!
//! Where the app is depends on the network mode (127.0.0.1 in awsvpc and host mode, the container's own address in
//! bridge mode) and may change, so a target without a host gets its address only when it is probed. Any other name
//! is refused: a sidecar that vouches for what runs elsewhere would register the wrong thing, and a resolver that
//! fails would say nothing about the app. The parser is our own because the URL standard takes `0x7f.1` for an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A host and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Of this task, if the configuration is right.
    pub host: Host,
    /// Never 0.
    pub port: u16,
}

/// The host of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// None: the app, wherever it is.
    App,
    /// `localhost`: 127.0.0.1, then ::1, whatever a resolver thinks.
    Localhost,
    /// An address.
    Ip(IpAddr),
}

impl Target {
    /// Reads `:8080`, `127.0.0.1:8080`, `[::1]:8080` or `localhost:8080`. After a host the port may be left to the
    /// scheme, if that has one.
    pub fn parse(authority: &str, default_port: Option<u16>) -> Result<Self, String> {
        if authority.contains('@') {
            return Err("has a user or a password, which are not used: see headers".into());
        }
        let colon = authority.rfind(':').filter(|colon| !authority[*colon..].contains(']'));
        let (host, port) = authority.split_at(colon.unwrap_or(authority.len()));
        let port = match (port.strip_prefix(':'), default_port) {
            (None, Some(port)) if !host.is_empty() => port,
            (Some(port), _) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                port.parse().ok().filter(|port| *port != 0).ok_or("needs a port from 1 to 65535, as in tcp://:8080")?
            }
            _ => return Err("needs a port, as in tcp://:8080".into()),
        };
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(ip) => ip.parse::<Ipv6Addr>().ok().map(|ip| Host::Ip(ip.into())),
            None if host.is_empty() => Some(Host::App),
            None if host.eq_ignore_ascii_case("localhost") => Some(Host::Localhost),
            None => host.parse::<Ipv4Addr>().ok().map(|ip| Host::Ip(ip.into())),
        };
        let foreign = || {
            let host = authority.escape_debug();
            format!("the host of '{host}' is not in this task: leave it out, or write 127.0.0.1 or [::1]")
        };
        Ok(Self { host: host.ok_or_else(foreign)?, port })
    }

    /// Tried in this order, with the app at `app`.
    pub fn addresses(self, app: IpAddr) -> Vec<SocketAddr> {
        let ips = match self.host {
            Host::App => vec![app],
            Host::Localhost => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            Host::Ip(ip) => vec![ip],
        };
        ips.into_iter().map(|ip| SocketAddr::new(ip, self.port)).collect()
    }

    /// How a URL spells it, with the app at `app`.
    pub fn authority(self, app: IpAddr) -> String {
        match self.host {
            Host::App => SocketAddr::new(app, self.port).to_string(),
            Host::Localhost => format!("localhost:{}", self.port),
            Host::Ip(ip) => SocketAddr::new(ip, self.port).to_string(),
        }
    }
}
