//! The body of `GET /v1/registration/{service}`: what Envoy 1.4 to 1.8 reads, with the fields that the clients of
//! lyft/discovery and cookpad/sds know. Envoy's schema wants `hosts`, `ip_address` and `port`; in `tags` only `az`,
//! `canary` and `load_balancing_weight` have a meaning there, and none may be null.

use serde::Serialize;

use crate::{Tags, Weight};

/// The whole answer.
#[derive(Debug, Serialize)]
pub struct V1Registration<'a> {
    /// The name asked for.
    pub service: &'a str,
    /// The registry's environment, `production` by default.
    pub env: &'a str,
    /// Ordered by zone, ip, port: the old Envoys hash the raw body.
    pub hosts: Vec<V1Host<'a>>,
}

/// The answer of lyft/discovery's `GET /v1/registration/repo/{repo}`.
#[derive(Debug, Serialize)]
pub struct V1Repo<'a> {
    /// The repository asked for.
    pub service_repo_name: &'a str,
    /// The registry's environment.
    pub env: &'a str,
    /// Of all services, ordered by service, zone, ip, port.
    pub hosts: Vec<V1Host<'a>>,
}

/// One host.
#[derive(Debug, Serialize)]
pub struct V1Host<'a> {
    /// The name asked for.
    pub service: &'a str,
    /// An IP literal.
    pub ip_address: String,
    /// 1 to 65535.
    pub port: u16,
    /// What runs.
    pub revision: &'a str,
    /// "" if unset.
    pub service_repo_name: &'a str,
    /// The last sign of life: `YYYY-MM-DD HH:MM:SS.ffffff+00:00`.
    pub last_check_in: String,
    /// That plus the lease, in epoch seconds.
    pub expire_time: u64,
    /// Where it runs and what else was said.
    pub tags: V1Tags<'a>,
}

/// A host's tags.
#[derive(Debug, Serialize)]
pub struct V1Tags<'a> {
    /// Availability zone.
    pub az: &'a str,
    /// Region.
    pub region: &'a str,
    /// Host or task id.
    pub instance_id: &'a str,
    /// Whether this is a canary.
    pub canary: bool,
    /// 1 to 100; an unset weight is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancing_weight: Option<Weight>,
    /// All others.
    #[serde(flatten)]
    pub other: &'a Tags,
}
