//! Secrets that must not be told: what every line of every program's log is searched for, and every answer.
//!
//! Tokens of ours are found by their beginning, whosever they are; keys and tokens of AWS are random, so who makes one plants
//! it here first. `E2E_LOG=trace cargo test -p e2e` has all programs say all that they can; of lines at that level only what
//! was found is kept.

use std::sync::{Mutex, PoisonError};

static PLANTED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// So long at least is what follows the beginning of a secret.
const LENGTH: usize = 16;
/// How secrets begin that need not be planted.
const BEGINNINGS: [&str; 6] = ["sds_token_", "sds_lease_", "Bearer ", "bearer ", "SDS-AWS ", "Signature="];

/// Makes `secret` one that must not be told.
pub fn plant(secret: &str) {
    let mut planted = PLANTED.lock().unwrap_or_else(PoisonError::into_inner);
    if !secret.is_empty() && !planted.iter().any(|known| known == secret) {
        planted.push(secret.to_owned());
    }
}

/// The kind of secret that a line tells, if it does.
pub fn told_by(line: &str) -> Option<String> {
    let is_secret = |c: char| c.is_ascii_alphanumeric() || "-_+/=.".contains(c);
    let begins = |beginning: &&&str| {
        let mut rest = line.split(**beginning).skip(1);
        rest.any(|rest| rest.chars().take_while(|c| is_secret(*c)).count() >= LENGTH)
    };
    BEGINNINGS.iter().find(begins).map(|beginning| format!("something behind '{beginning}'")).or_else(|| planted(line))
}

/// Whether a text tells something that was planted.
pub fn planted(text: &str) -> Option<String> {
    let planted = PLANTED.lock().unwrap_or_else(PoisonError::into_inner);
    planted.iter().find(|secret| text.contains(secret.as_str())).map(|secret| {
        let some: String = secret.chars().take(4).collect();
        format!("the secret {some}...")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_and_words_are_not() {
        plant("wJalrXUtnFEMI/K7MDENG");
        for line in [
            "token=sds_token_abcdefghijklmnopqrstuvwxyz",
            r#"headers={"authorization": "Bearer abcdefghijklmnopqrstu"}"#,
            "SignedHeaders=host, Signature=0123456789abcdef0123",
            "key wJalrXUtnFEMI/K7MDENG.",
        ] {
            assert!(told_by(line).is_some(), "{line}");
        }
        for line in ["a Bearer token, or SDS-AWS", "sds_token_ is how they begin", "Signature=", "wJalr"] {
            assert_eq!(told_by(line), None, "{line}");
        }
    }
}
