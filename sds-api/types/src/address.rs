//! Where an instance listens: an IP address that a client can connect to, and a port.
//!
//! Envoy wants an IP literal and refuses the whole answer for a host name or `010.0.0.1`; multicast and IPv4-mapped
//! addresses it accepts, and then every request to them fails. So only addresses that can work get in, in the one
//! canonical spelling that makes equal endpoints equal keys.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use crate::error::{Invalid, shown};

/// `ip:port`, an IPv6 address in brackets: `10.0.0.1:80`, `[2001:db8::1]:80`. The canonical text is the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    ip: IpAddr,
    port: u16,
}

impl Endpoint {
    /// An endpoint of parts that are not text; `::ffff:a.b.c.d` becomes the IPv4 address that it means.
    pub fn new(ip: IpAddr, port: u16) -> Result<Self, Invalid> {
        let ip = ip.to_canonical();
        if let Some(kind) = unusable(ip) {
            return Err(Invalid::new("InvalidAddress", "ip", format!("{ip} is {kind}, no client could connect to it")));
        }
        if port == 0 {
            return Err(bad_port("0"));
        }
        Ok(Self { ip, port })
    }

    /// An endpoint of a request's two fields.
    pub fn parse(ip: &str, port: i64) -> Result<Self, Invalid> {
        let ip = canonical_ip(ip)?;
        let port = u16::try_from(port).map_err(|_| bad_port(&port.to_string()))?;
        Self::new(ip, port)
    }

    /// The address.
    pub fn ip(self) -> IpAddr {
        self.ip
    }

    /// The port, never 0.
    pub fn port(self) -> u16 {
        self.port
    }
}

impl FromStr for Endpoint {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let shape = || {
            let reason = format!("'{}' is not ip:port, as in 10.0.0.1:80 or [2001:db8::1]:80", shown(text));
            Invalid::new("InvalidAddress", "ip", reason)
        };
        let (ip, port) = text.rsplit_once(':').ok_or_else(shape)?;
        let ip = match ip.strip_prefix('[') {
            Some(v6) => v6.strip_suffix(']').filter(|v6| v6.contains(':')).ok_or_else(shape)?,
            None if ip.contains(':') => return Err(shape()),
            None => ip,
        };
        let ip = canonical_ip(ip)?;
        // `parse` alone would take "+80" and "080": two keys for one endpoint.
        let number = port.parse::<u16>().ok().filter(|n| n.to_string() == port).ok_or_else(|| bad_port(port))?;
        Self::new(ip, number)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.ip, self.port).fmt(f)
    }
}

fn bad_port(text: &str) -> Invalid {
    Invalid::new("InvalidPort", "port", format!("'{}' is not a port: an integer from 1 to 65535", shown(text)))
}

fn canonical_ip(text: &str) -> Result<IpAddr, Invalid> {
    let ip = text.parse::<IpAddr>().map_err(|_| {
        Invalid::new("InvalidAddress", "ip", format!("'{}' is not an IPv4 or IPv6 address literal", shown(text)))
    })?;
    match ip {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Ok(ip),
        _ if ip.to_string() == text => Ok(ip),
        _ => Err(Invalid::new("InvalidAddress", "ip", format!("'{}' is not canonical, write {ip}", shown(text)))),
    }
}

/// What makes an address one that no client could use; loopback is the server's to judge, it depends on where it runs.
fn unusable(ip: IpAddr) -> Option<&'static str> {
    match ip {
        IpAddr::V4(v4) if v4.octets()[0] == 0 => Some("of this host only"),
        IpAddr::V4(v4) if v4.is_multicast() => Some("a multicast address"),
        IpAddr::V4(v4) if v4.is_broadcast() => Some("the broadcast address"),
        IpAddr::V4(v4) if v4.octets()[0] >= 240 => Some("in a reserved range"),
        IpAddr::V4(v4) if v4.is_link_local() => Some("link-local"),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Some("the unspecified address"),
        IpAddr::V6(v6) if v6.is_multicast() => Some("a multicast address"),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Some("link-local"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_addresses_that_cannot_serve() {
        for bad in [
            "",
            "app.local",
            "010.0.0.1",
            "10.0.0",
            "10.0.0.1 ",
            "0.0.0.0",
            "0.1.2.3",
            "255.255.255.255",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "169.254.1.1",
            "::",
            "fe80::1",
            "fe80::1%eth0",
            "ff02::1",
            "::ffff:0.0.0.0",
            "2001:DB8::1",
            "2001:db8:0::1",
            "[2001:db8::1]",
            "10.0.0.1\n",
        ] {
            let error = Endpoint::parse(bad, 80).expect_err(bad);
            assert_eq!((error.id, error.field), ("InvalidAddress", "ip"), "{bad}");
        }
    }

    #[test]
    fn refuses_ports_that_cannot_serve() {
        for bad in [0, -1, 65536, i64::MAX, i64::MIN] {
            assert_eq!(Endpoint::parse("10.0.0.1", bad).unwrap_err().id, "InvalidPort");
        }
        for bad in ["0", "", "080", "+80", "80.0", "65536", "-1"] {
            assert_eq!(format!("10.0.0.1:{bad}").parse::<Endpoint>().unwrap_err().id, "InvalidPort", "{bad}");
        }
    }

    #[test]
    fn a_mapped_address_is_stored_as_what_it_means() {
        assert_eq!(Endpoint::parse("::ffff:10.0.0.1", 80).unwrap().to_string(), "10.0.0.1:80");
    }

    #[test]
    fn ipv6_needs_its_brackets() {
        assert_eq!("[::1]:80".parse::<Endpoint>().unwrap().to_string(), "[::1]:80");
        for bad in ["::1:80", "[::1:80", "::1]:80", "[10.0.0.1]:80", "10.0.0.1"] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn text_round_trips(ip: IpAddr, port: u16) {
            if let Ok(endpoint) = Endpoint::new(ip, port) {
                prop_assert_eq!(endpoint.to_string().parse::<Endpoint>().unwrap(), endpoint);
                prop_assert_eq!(Endpoint::parse(&endpoint.ip().to_string(), port.into()).unwrap(), endpoint);
            }
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<Endpoint>();
        }
    }
}
