//! Which addresses may be registered here, beyond what could be an address at all: loopback only in development,
//! and only within the configured networks.

use std::net::IpAddr;

use ipnet::IpNet;
use sds_types::Endpoint;

/// The rule.
#[derive(Debug, Clone, Default)]
pub struct AddressPolicy {
    /// Whether 127/8 and ::1 may be registered.
    pub allow_loopback: bool,
    /// The networks that instances live in; empty allows any.
    pub cidrs: Vec<IpNet>,
}

/// Why an address may not be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressRefused {
    /// A loopback address, where they are not allowed.
    #[error("{0} is a loopback address, other hosts would reach themselves (SDS_ALLOW_LOOPBACK=true allows it)")]
    Loopback(IpAddr),
    /// Outside the configured networks.
    #[error("{0} is outside the networks that may register here (SDS_CIDRS)")]
    Outside(IpAddr),
}

impl AddressPolicy {
    /// Whether instances may stand at this endpoint.
    pub fn check(&self, endpoint: Endpoint) -> Result<(), AddressRefused> {
        let ip = endpoint.ip();
        if ip.is_loopback() && !self.allow_loopback {
            return Err(AddressRefused::Loopback(ip));
        }
        // Loopback that is allowed is a laptop's: no network of a VPC contains it.
        if self.cidrs.is_empty() || ip.is_loopback() || self.cidrs.iter().any(|net| net.contains(&ip)) {
            return Ok(());
        }
        Err(AddressRefused::Outside(ip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_and_networks() {
        let check = |policy: &AddressPolicy, text: &str| policy.check(text.parse().unwrap()).is_ok();
        let anywhere = AddressPolicy::default();
        assert_eq!(["10.0.0.1:80", "127.0.0.1:80", "[::1]:80"].map(|e| check(&anywhere, e)), [true, false, false]);
        let vpc = AddressPolicy { allow_loopback: true, cidrs: vec!["10.0.0.0/8".parse().unwrap()] };
        assert_eq!(["10.9.9.9:80", "127.0.0.1:80", "192.168.0.1:80"].map(|e| check(&vpc, e)), [true, true, false]);
    }
}
