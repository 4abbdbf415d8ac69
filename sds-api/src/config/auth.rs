//! The options of who may register what, and which of them make no sense without others. What is in the policy is judged at
//! the start (`auth/load`).

use std::time::Duration;

use sds_types::{Secret, command::Misconfigured, parse_span, proof::Audience};

use crate::auth::{Keys, Source};

/// Who may register what.
#[derive(Debug, Clone, clap::Args)]
pub struct Auth {
    /// Who may register what: a file in TOML or JSON, which is read again when it changes, or its text
    #[arg(long, env = "SDS_POLICY", value_name = "FILE")]
    pub policy: Option<Source>,
    /// This registry's name, which tasks make their proofs out to: 1 to 128 letters, digits and `.:/_-`. Needed to ask tasks
    /// for their role
    #[arg(long, env = "SDS_AUDIENCE", value_name = "NAME")]
    pub audience: Option<Audience>,
    /// Keys that sign lease tokens, the same on all replicas: `id:base64url`, comma-separated, as `sds-api token key` makes
    /// them. The first signs, all verify
    #[arg(long, env = "SDS_TOKEN_KEYS", value_name = "LIST")]
    pub token_keys: Option<Secret>,
    /// How long a lease token is good; heartbeats renew it
    #[arg(long, env = "SDS_TOKEN_TTL", default_value = "1h", value_parser = parse_span, value_name = "SPAN")]
    pub token_ttl: Duration,
    /// Where STS is in the place of the region's own host, as a VPC endpoint is
    #[arg(long, env = "AWS_ENDPOINT_URL_STS", value_name = "URL")]
    pub aws_endpoint_url_sts: Option<http::Uri>,
    /// Token shown to siblings when a snapshot is fetched from them; `snapshot = true` in their policy lets it
    #[arg(long, env = "SDS_PEERS_TOKEN", value_name = "TOKEN")]
    pub peers_token: Option<Secret>,
}

impl Auth {
    /// Whether the options fit together; `lease` is that of registrations.
    pub fn check(&self, lease: Duration) -> Result<(), Misconfigured> {
        if self.keys()?.is_some() != self.audience.is_some() {
            let (set, unset) = match self.audience {
                Some(_) => ("SDS_AUDIENCE", "SDS_TOKEN_KEYS"),
                None => ("SDS_TOKEN_KEYS", "SDS_AUDIENCE"),
            };
            return Err(Misconfigured::new(unset, format!("is required with {set}: both let tasks prove their role")));
        }
        let plain = |token: &Secret| token.reveal().bytes().all(|b| b.is_ascii_graphic());
        if self.peers_token.as_ref().is_some_and(|token| !plain(token)) {
            return Err(Misconfigured::new("SDS_PEERS_TOKEN", "is not one word of printable characters"));
        }
        let web = |uri: &http::Uri| uri.host().is_some() && matches!(uri.scheme_str(), Some("http" | "https"));
        if self.aws_endpoint_url_sts.as_ref().is_some_and(|uri| !web(uri)) {
            return Err(Misconfigured::new("AWS_ENDPOINT_URL_STS", "is not http://host or https://host"));
        }
        if self.audience.is_some() && self.policy.is_none() {
            return Err(Misconfigured::new(
                "SDS_POLICY",
                "is required with SDS_AUDIENCE: it says which roles may register",
            ));
        }
        if self.token_ttl < lease {
            let reason = format!("{:?} is shorter than SDS_LEASE: a heartbeat may be lost", self.token_ttl);
            return Err(Misconfigured::new("SDS_TOKEN_TTL", reason));
        }
        Ok(())
    }

    /// The keys that sign lease tokens.
    pub fn keys(&self) -> Result<Option<Keys>, Misconfigured> {
        let keys = self.token_keys.as_ref().map(|keys| keys.reveal().parse::<Keys>()).transpose();
        keys.map_err(|reason| Misconfigured::new("SDS_TOKEN_KEYS", reason))
    }
}
