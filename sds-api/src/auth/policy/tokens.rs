//! A static token in the policy: as it is written, and what it may do.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

use super::{any, patterns, within};
use crate::auth::{
    pattern::Pattern,
    token::{Hash, PREFIX},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Token {
    /// For logs and the audit
    name: String,
    /// SHA-256 of the token, as `sds-api token new` prints it; two while it is exchanged
    #[cfg_attr(test, schemars(length(min = 1, max = 2)))]
    sha256: Vec<String>,
    /// Services that it may register
    #[serde(default)]
    register: Vec<String>,
    /// Services whose weights and overrides it may set
    #[serde(default)]
    operate: Vec<String>,
    /// Networks whose addresses it may register; empty for any
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    cidrs: Vec<IpNet>,
    /// Whether it may register other addresses than the sender's
    #[serde(default)]
    on_behalf: bool,
    /// Whether it may fetch /v1/snapshot, as siblings do
    #[serde(default)]
    snapshot: bool,
    /// Whether it may deliver ECS's events
    #[serde(default)]
    events: bool,
}

/// What a static token may do.
#[derive(Debug, PartialEq, Eq)]
pub struct TokenGrant {
    /// For people.
    pub name: String,
    pub(super) hashes: Vec<Hash>,
    register: Vec<Pattern>,
    operate: Vec<Pattern>,
    cidrs: Vec<IpNet>,
    /// Whether other addresses than the sender's may be registered.
    pub on_behalf: bool,
    /// Whether it fetches snapshots.
    pub snapshot: bool,
    /// Whether it delivers ECS's events.
    pub events: bool,
}

impl TokenGrant {
    pub(super) fn of(at: &str, token: Token) -> Result<Self, String> {
        if token.name.is_empty() || token.name.len() > 64 || !token.name.chars().all(|c| c.is_ascii_graphic()) {
            return Err(format!("{at}.name: a name has 1 to 64 printable characters and no blank"));
        }
        if !(1..=2).contains(&token.sha256.len()) {
            return Err(format!("{at}.sha256: one hash, or two while the token is exchanged"));
        }
        let hash = |text: &String| {
            let reason = if text.starts_with(PREFIX) {
                "that is the token itself: it is known to all who read this, make a new one and write down its hash"
            } else {
                "not the 64 hexadecimal digits that `sds-api token new` prints"
            };
            Hash::parse(text).ok_or_else(|| format!("{at}.sha256: {reason}"))
        };
        Ok(Self {
            hashes: token.sha256.iter().map(hash).collect::<Result<_, _>>()?,
            register: patterns(&format!("{at}.register"), token.register)?,
            operate: patterns(&format!("{at}.operate"), token.operate)?,
            name: token.name,
            cidrs: token.cidrs,
            on_behalf: token.on_behalf,
            snapshot: token.snapshot,
            events: token.events,
        })
    }

    /// Whether it may register `service`.
    pub fn may_register(&self, service: &str) -> bool {
        any(&self.register, service)
    }

    /// Whether it may set weights and overrides of `service`.
    pub fn may_operate(&self, service: &str) -> bool {
        any(&self.operate, service)
    }

    /// Whether it may register addresses like this one.
    pub fn reaches(&self, ip: IpAddr) -> bool {
        within(&self.cidrs, ip)
    }
}
