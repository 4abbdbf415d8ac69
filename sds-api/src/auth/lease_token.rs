//! What a task gets for its proof: a token for one endpoint of one service and one incarnation, so that heartbeats, drain and
//! deregistration need no AWS. It holds what AWS confirmed, for the policy to be applied to again when it is renewed.
//!
//! `sds_lease_<key id>.<payload>.<HMAC-SHA256>`, both in base64url. There is no algorithm in it and no type: a token says
//! nothing of how it wants to be checked. Everything before the last dot is signed. Any replica with the key can open it, and
//! none has to remember it.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sds_types::{Endpoint, Secret, ServiceName, TaskName};
use serde::{Deserialize, Serialize};

use super::keys::Keys;
use crate::clock::Timestamp;

/// The beginning of each.
pub const PREFIX: &str = "sds_lease_";
/// The longest that is looked at, in bytes; ours have about 700.
const LIMIT: usize = 8 * 1024;

/// What AWS has said of who registers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attested {
    /// Twelve digits.
    pub account: String,
    /// The task role's name.
    pub role: String,
    /// The cluster, by ARN or name.
    pub cluster: String,
    /// The task definition's family.
    pub family: String,
    /// The task's group: `service:<name>`, `family:<name>`.
    pub group: String,
    /// Whether ECS told the task's own address.
    pub has_address: bool,
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The service.
    pub service: ServiceName,
    /// Where the instance listens.
    pub endpoint: Endpoint,
    /// The ECS task.
    pub task: TaskName,
    /// The sidecar's start.
    pub incarnation: u64,
    /// When it was given, to the second.
    pub issued: Timestamp,
    /// When it ends, to the second.
    pub expires: Timestamp,
    /// By AWS.
    pub attested: Attested,
}

impl Lease {
    /// Whether it is for just this.
    pub fn is_for(&self, service: &ServiceName, endpoint: Endpoint, incarnation: u64) -> bool {
        (&self.service, self.endpoint, self.incarnation) == (service, endpoint, incarnation)
    }
}

/// A token that was looked at.
#[derive(Debug, PartialEq, Eq)]
pub enum Opened {
    /// It is one, and good.
    Good(Lease),
    /// It was one, and ended so long ago.
    Expired(Lease, Duration),
    /// It is none of ours.
    Bad,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    service: String,
    endpoint: String,
    task: String,
    incarnation: u64,
    issued: u64,
    expires: u64,
    attested: Attested,
}

/// Writes the token of a lease; `None` without a key.
pub fn seal(keys: &Keys, lease: &Lease) -> Option<Secret> {
    let payload = Payload {
        service: lease.service.to_string(),
        endpoint: lease.endpoint.to_string(),
        task: lease.task.to_string(),
        incarnation: lease.incarnation,
        issued: lease.issued.seconds(),
        expires: lease.expires.seconds(),
        attested: lease.attested.clone(),
    };
    let payload = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&payload).ok()?);
    let (text, tag) = keys.sign(|id| format!("{PREFIX}{id}.{payload}"))?;
    Some(Secret::new(format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag))))
}

/// Reads a token; nothing of it is looked at before its signature is right.
pub fn open(keys: &Keys, text: &str, now: Timestamp) -> Opened {
    match verified(keys, text) {
        None => Opened::Bad,
        Some(lease) if now >= lease.expires => {
            let ago = now.since(lease.expires);
            Opened::Expired(lease, ago)
        }
        Some(lease) => Opened::Good(lease),
    }
}

fn verified(keys: &Keys, text: &str) -> Option<Lease> {
    let (signed, tag) = Some(text).filter(|text| text.len() <= LIMIT)?.rsplit_once('.')?;
    let (id, payload) = signed.strip_prefix(PREFIX)?.split_once('.')?;
    let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
    if !keys.verify(id, signed, &tag) {
        return None;
    }
    let payload = URL_SAFE_NO_PAD.decode(payload).ok().filter(|json| json.starts_with(b"{"))?;
    let Payload { service, endpoint, task, incarnation, issued, expires, attested } =
        serde_json::from_slice(&payload).ok()?;
    let (issued, expires) = (Timestamp::of_seconds(issued), Timestamp::of_seconds(expires));
    Some(Lease {
        service: service.parse().ok()?,
        endpoint: endpoint.parse().ok()?,
        task: task.parse().ok()?,
        incarnation,
        issued,
        expires,
        attested,
    })
    .filter(|lease| lease.issued < lease.expires)
}

#[cfg(test)]
mod tests {
    use ring::hmac;

    use super::*;
    use crate::corpus::play;

    fn keys(text: &[(&str, u8)]) -> Keys {
        let one = |(id, byte): &(&str, u8)| format!("{id}:{}", URL_SAFE_NO_PAD.encode([*byte; 32]));
        text.iter().map(one).collect::<Vec<_>>().join(",").parse().unwrap()
    }

    fn lease() -> Lease {
        Lease {
            service: "web".parse().unwrap(),
            endpoint: "10.0.0.1:80".parse().unwrap(),
            task: "arn:aws:ecs:eu-west-1:111122223333:task/prod/0123456789abcdef0123456789abcdef".parse().unwrap(),
            incarnation: u64::MAX,
            issued: Timestamp::of_seconds(1000),
            expires: Timestamp::of_seconds(4600),
            attested: Attested { role: "web-task".into(), ..Attested::default() },
        }
    }

    fn opened(keys: &Keys, text: &str) -> Opened {
        open(keys, text, Timestamp::of_seconds(1000))
    }

    /// Signed with the key, whatever it says.
    fn signed(id: &str, byte: u8, payload: &str) -> String {
        let text = format!("{PREFIX}{id}.{}", URL_SAFE_NO_PAD.encode(payload));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[byte; 32]), text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    #[test]
    fn it_opens_to_what_was_sealed() {
        let keys = keys(&[("k1", 1)]);
        let token = seal(&keys, &lease()).unwrap();
        let text = token.reveal();
        assert!(text.starts_with("sds_lease_k1.") && text.len() < 700, "{text}");
        for (now, expected) in [
            (1000, Opened::Good(lease())),
            (4599, Opened::Good(lease())),
            (4600, Opened::Expired(lease(), Duration::ZERO)),
            (4700, Opened::Expired(lease(), Duration::from_secs(100))),
        ] {
            assert_eq!(open(&keys, text, Timestamp::of_seconds(now)), expected, "{now}");
        }
        let (service, endpoint) = (lease().service, lease().endpoint);
        assert!(lease().is_for(&service, endpoint, u64::MAX) && !lease().is_for(&service, endpoint, 1));
        assert!(!lease().is_for(&"web2".parse().unwrap(), endpoint, u64::MAX));
        assert!(!lease().is_for(&service, "10.0.0.1:81".parse().unwrap(), u64::MAX));
    }

    #[test]
    fn keys_are_changed_without_a_refusal() {
        let stages = [&[("k1", 1)][..], &[("k1", 1), ("k2", 2)], &[("k2", 2), ("k1", 1)], &[("k2", 2)]].map(keys);
        let tokens = stages.each_ref().map(|keys| seal(keys, &lease()).unwrap());
        for (nth, keys) in stages.iter().enumerate() {
            // A replica is at most one stage before another.
            for (other, token) in tokens.iter().enumerate().filter(|(other, _)| other.abs_diff(nth) <= 1) {
                assert_eq!(opened(keys, token.reveal()), Opened::Good(lease()), "{nth} {other}");
            }
        }
        assert_eq!(opened(&stages[3], tokens[0].reveal()), Opened::Bad);
    }

    #[test]
    fn fuzz_lease() {
        let keys = keys(&[("k1", 1)]);
        play("lease", |json| {
            let text = format!("{PREFIX}k1.{}", URL_SAFE_NO_PAD.encode(json));
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]), text.as_bytes());
            let (Opened::Good(lease) | Opened::Expired(lease, _)) =
                opened(&keys, &format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag)))
            else {
                return;
            };
            assert_eq!(verified(&keys, seal(&keys, &lease).unwrap().reveal()), Some(lease));
        });
        play("lease", |bytes| assert_eq!(opened(&keys, &String::from_utf8_lossy(bytes)), Opened::Bad));
    }

    #[test]
    fn anything_else_is_bad() {
        let keys = keys(&[("k1", 1), ("k2", 2)]);
        let token = seal(&keys, &lease()).unwrap();
        let text = token.reveal();
        let json = URL_SAFE_NO_PAD.decode(text.split('.').nth(1).unwrap()).unwrap();
        let json = String::from_utf8(json).unwrap();
        assert_eq!(opened(&keys, &signed("k1", 1, &json)), Opened::Good(lease()));
        let parts: Vec<&str> = text.split('.').collect();
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        for bad in [
            String::new(),
            text.replace("k1", "k2"),
            text.replace("k1", "k3"),
            text.replace("k1", ""),
            text.replace(PREFIX, ""),
            text.replace(PREFIX, "SDS_LEASE_"),
            text[..text.len() - 1].to_owned(),
            format!("{text}A"),
            format!("{text}="),
            format!("{text} "),
            format!("{text}.{}", parts[2]),
            format!("{}.{}", parts[0], parts[1]),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{}..{}", parts[0], parts[2]),
            format!("{header}.{}.", parts[1]),
            format!("{PREFIX}{header}.{}.", parts[1]),
            format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(json.replace("web", "pay")), parts[2]),
            signed("k1", 2, &json),
            signed("k1", 3, &json),
            signed("k3", 1, &json),
            signed("k1", 1, &json.replace("4600", "999")),
            signed("k1", 1, &json.replace("10.0.0.1:80", "0.0.0.0:80")),
            signed("k1", 1, &json.replace("1000", "-1")),
            signed("k1", 1, &json.replacen('{', "{\"more\":1,", 1)),
            signed("k1", 1, &json.replacen('{', "{\"service\":\"web\",", 1)),
            signed("k1", 1, &format!("[{json}]")),
            signed("k1", 1, &format!("{json}{json}")),
            signed("k1", 1, "{}"),
            format!("{PREFIX}k1.{}", "A".repeat(LIMIT)),
        ] {
            assert_eq!(opened(&keys, &bad), Opened::Bad, "{bad}");
        }
        // Each character counts.
        for at in 0..text.len() {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
            assert_eq!(opened(&keys, str::from_utf8(&bytes).unwrap()), Opened::Bad, "{at}");
        }
    }
}
