//! The registry's own keys, which sign lease tokens: the first one signs, all of them verify. So a key is changed without a
//! token being refused: the new one is put behind the old on every replica, then before it, and the old one goes when the
//! last token that it signed has run out.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    hmac,
    rand::{SecureRandom as _, SystemRandom},
};

/// Bytes of a key: as many as the hash has.
const LENGTH: usize = 32;
/// Two are alive in a change; more are a list that nobody tidies.
const MOST: usize = 8;

/// `SDS_TOKEN_KEYS`: `id:base64url` of 32 bytes, comma-separated.
#[derive(Clone)]
pub struct Keys(Vec<(String, hmac::Key)>);

impl Keys {
    /// The id of the key that signs, and its signature of `text`.
    pub(super) fn sign(&self, text: impl FnOnce(&str) -> String) -> Option<(String, hmac::Tag)> {
        let (id, key) = self.0.first()?;
        let text = text(id);
        let tag = hmac::sign(key, text.as_bytes());
        Some((text, tag))
    }

    /// Whether the key `id` signed `text` so; takes the same time for each wrong signature.
    pub(super) fn verify(&self, id: &str, text: &str, signature: &[u8]) -> bool {
        let key = self.0.iter().find(|(known, _)| known == id);
        key.is_some_and(|(_, key)| hmac::verify(key, text.as_bytes(), signature).is_ok())
    }
}

/// A new key as `SDS_TOKEN_KEYS` takes it; fails where the machine has no randomness to give.
pub fn fresh() -> anyhow::Result<String> {
    let (mut id, mut key) = ([0; 4], [0; LENGTH]);
    let random = SystemRandom::new();
    let filled = random.fill(&mut id).and_then(|()| random.fill(&mut key));
    filled.map_err(|_| anyhow::anyhow!("the system gives no random bytes"))?;
    Ok(format!("{}:{}", sds_types::hex(&id), URL_SAFE_NO_PAD.encode(key)))
}

impl FromStr for Keys {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut keys: Vec<(String, hmac::Key)> = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (id, key) = part.split_once(':').ok_or("a key is id:base64url, as `sds-api token key` prints it")?;
            let is_name = id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            if !is_name || !(1..=32).contains(&id.len()) {
                return Err("a key's id is 1 to 32 letters, digits and '-'");
            }
            let key = URL_SAFE_NO_PAD.decode(key).map_err(|_| "a key is base64url without padding")?;
            if key.len() != LENGTH {
                return Err("a key has 32 bytes");
            }
            if keys.iter().any(|(known, _)| known == id) {
                return Err("two keys have the same id");
            }
            keys.push((id.to_owned(), hmac::Key::new(hmac::HMAC_SHA256, &key)));
        }
        match keys.len() {
            0 => Err("there is no key in it"),
            1..=MOST => Ok(Self(keys)),
            _ => Err("more than 8 keys"),
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(id, _)| id)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_key_is_a_key() {
        let (one, two) = (fresh().unwrap(), fresh().unwrap());
        assert_ne!(one, two);
        let keys: Keys = format!("{one}, {two}").parse().unwrap();
        let shown = format!("{keys:?}");
        assert!(shown.contains(&one[..8]) && !shown.contains(&one[9..]), "{shown}");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let key = URL_SAFE_NO_PAD.encode([7; 32]);
        for bad in [
            "",
            ",",
            "a",
            "a:",
            &key,
            &format!(":{key}"),
            &format!("a.b:{key}"),
            &format!("{}:{key}", "a".repeat(33)),
            &format!("a:{key}="),
            &format!("a:{}", &key[..42]),
            &format!("a:{key}{key}"),
            &format!("a:{key},a:{key}"),
            &(0..9).map(|nth| format!("k{nth}:{key}")).collect::<Vec<_>>().join(","),
        ] {
            let error = bad.parse::<Keys>().err().unwrap();
            assert!(!error.contains(&key), "{bad}");
        }
        assert!(format!("a:{key}, b:{key},").parse::<Keys>().is_ok());
    }
}
