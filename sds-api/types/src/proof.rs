//! How a task proves its role without a secret of ours: the request that a sidecar signs with its task's credentials and
//! never sends, and that the registry builds anew and sends to AWS.
//!
//! The request is STS's `GetCallerIdentity`, of which nothing is the client's to choose: host, method, path, body and the list
//! of signed headers are the constants of this file, and the region is the claimed task's own. So a proof carries only who
//! signs, when, and the signature. What makes it a proof for this registry and this registration are two headers among the
//! signed ones: the registry's audience, and the hash of what is claimed. Whoever takes a proof away can do nothing with it
//! elsewhere, and nothing else with it here.

use serde::{Deserialize, Serialize};

use crate::{Endpoint, Invalid, ServiceName, TaskName, sha256_hex, shown};

mod region;

pub use region::Region;

/// The word before a proof in `Authorization`; after it base64url, without padding, of the [`Proof`] as JSON.
pub const SCHEME: &str = "SDS-AWS";
/// The JSON of a proof is never longer, in bytes; session tokens are some hundred bytes up to a few thousand.
pub const PROOF_LIMIT: usize = 16 * 1024;
/// The service whose request it is, as signatures name it.
pub const SERVICE: &str = "sts";
/// The whole body of the request.
pub const BODY: &str = "Action=GetCallerIdentity&Version=2011-06-15";
/// Its type.
pub const CONTENT_TYPE: &str = "application/x-www-form-urlencoded; charset=utf-8";
/// The header that names the registry.
pub const AUDIENCE_HEADER: &str = "x-sds-audience";
/// The header with [`Claims::hash`].
pub const CLAIMS_HEADER: &str = "x-sds-claims";
/// The names of all signed headers, in the order of signing.
pub const SIGNED_HEADERS: &str = "content-type;host;x-amz-date;x-amz-security-token;x-sds-audience;x-sds-claims";

/// What the one who signs knows and the registry cannot; all else of the request follows from the claims.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// Id of the task role's temporary key.
    pub access_key_id: String,
    /// `YYYYMMDDTHHMMSSZ`.
    pub date: String,
    /// Of the temporary key. Long-lived keys have none, and are no role's.
    pub session_token: String,
    /// 64 lower hexadecimal digits.
    pub signature: String,
}

/// What is claimed: that this incarnation of a sidecar in this task may speak for this endpoint of this service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The service.
    pub service: ServiceName,
    /// Where the instance listens.
    pub endpoint: Endpoint,
    /// The ECS task.
    pub task: TaskName,
    /// The sidecar's start.
    pub incarnation: u64,
}

impl Claims {
    /// SHA-256 of the claims' one spelling, in lower hexadecimal: a line for each, and none of them can hold a line's end.
    pub fn hash(&self) -> String {
        let Self { service, endpoint, task, incarnation } = self;
        sha256_hex(format!("sds-claims-1\n{service}\n{endpoint}\n{task}\n{incarnation}\n").as_bytes())
    }
}

/// A registry's name for itself, which proofs are made out to: 1 to 128 of letters, digits and `.:/_-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience(String);

impl Audience {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Audience {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let fits = text.bytes().all(|b| b.is_ascii_alphanumeric() || b".:/_-".contains(&b));
        if !fits || text.is_empty() || text.len() > 128 {
            let reason =
                format!("'{}' is not 1 to 128 of letters, digits and .:/_-, as in sds.prod.internal", shown(text));
            return Err(Invalid::new("InvalidAudience", "audience", reason));
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(service: &str, endpoint: &str, task: &str, incarnation: u64) -> Claims {
        let task = format!("arn:aws:ecs:ap-northeast-1:111122223333:task/prod/0123456789abcdef0123456789ab{task}");
        let (service, endpoint) = (service.parse().unwrap(), endpoint.parse().unwrap());
        Claims { service, endpoint, task: task.parse().unwrap(), incarnation }
    }

    #[test]
    fn the_spelling_is_fixed() {
        // Sidecars and registries of two releases have to agree: `printf 'sds-claims-1\n...' | sha256sum`.
        let hash = claims("web", "10.0.0.1:80", "0a1b", 7).hash();
        assert_eq!(hash, "8ec6191ca2903442e9fe8c88cfb5d9fae862b9babd19404978bd52657d6c0ead");
    }

    #[test]
    fn each_claim_counts() {
        let hashes = [
            claims("web", "10.0.0.1:80", "0a1b", 7),
            claims("web2", "10.0.0.1:80", "0a1b", 7),
            claims("web", "10.0.0.2:80", "0a1b", 7),
            claims("web", "10.0.0.1:81", "0a1b", 7),
            claims("web", "10.0.0.1:80", "0a1c", 7),
            claims("web", "10.0.0.1:80", "0a1b", 8),
        ]
        .map(|claims| claims.hash());
        let distinct: std::collections::HashSet<_> = hashes.iter().collect();
        assert_eq!(distinct.len(), hashes.len());
        assert!(hashes.iter().all(|hash| hash.len() == 64));
    }

    #[test]
    fn an_audience_is_plain() {
        for good in ["sds", "sds.prod.internal", "https://sds.internal:8443/a_b"] {
            assert_eq!(good.parse::<Audience>().unwrap().as_str(), good);
        }
        for bad in ["", " sds", "sds\n", "s\u{e4}", "a,b", &"x".repeat(129)] {
            assert!(bad.parse::<Audience>().is_err(), "{bad}");
        }
    }
}
