//! What a request shows of who sends it: one `Authorization` header, or nothing. Two of them are a mistake or a trick, and
//! nobody guesses which one was meant.

use http::{HeaderMap, HeaderValue, header};

use super::proof;

/// Longer tokens are none of ours.
const LONGEST: usize = 8 * 1024;

/// What a request shows, while its body is read. There is no Debug: it is secret.
#[derive(Clone)]
pub struct Shown(Vec<HeaderValue>);

/// What was shown.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    /// Nothing.
    None,
    /// `Bearer`: a static token, or the lease token that a registration was answered with.
    Bearer(&'a str),
    /// `SDS-AWS`: the header with a task's proof of its role.
    Proof(&'a [u8]),
    /// Something that is neither.
    Unreadable,
}

impl Shown {
    /// By these headers.
    pub fn by(headers: &HeaderMap) -> Self {
        Self(headers.get_all(header::AUTHORIZATION).iter().take(2).cloned().collect())
    }

    /// Whether it is a task's proof, right or wrong.
    pub fn is_proof(&self) -> bool {
        matches!(self.credential(), Credential::Proof(_))
    }

    /// Reads it.
    pub fn credential(&self) -> Credential<'_> {
        let text = match &self.0[..] {
            [] => return Credential::None,
            [one] if proof::is_one(one.as_bytes()) => return Credential::Proof(one.as_bytes()),
            [one] if one.len() <= LONGEST => one.to_str().ok(),
            _ => None,
        };
        let Some((scheme, value)) = text.and_then(|text| text.split_once(' ')) else { return Credential::Unreadable };
        let value = value.trim();
        match scheme {
            _ if value.is_empty() => Credential::Unreadable,
            scheme if scheme.eq_ignore_ascii_case("bearer") => Credential::Bearer(value),
            _ => Credential::Unreadable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_header_of_two_schemes() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            match Shown::by(&headers).credential() {
                Credential::None => "none".to_owned(),
                Credential::Unreadable => "unreadable".to_owned(),
                Credential::Bearer(token) => format!("bearer {token}"),
                Credential::Proof(proof) => format!("proof {}", String::from_utf8_lossy(proof)),
            }
        };
        for (values, expected) in [
            (&[][..], "none"),
            (&["Bearer a"], "bearer a"),
            (&["bearer  a "], "bearer a"),
            (&["SDS-AWS x"], "proof SDS-AWS x"),
            (&["Basic a"], "unreadable"),
            (&["Bearer"], "unreadable"),
            (&["Bearer "], "unreadable"),
            (&["Bearer a", "Bearer a"], "unreadable"),
            (&[&format!("Bearer {}", "a".repeat(LONGEST))], "unreadable"),
        ] {
            assert_eq!(of(values), expected, "{values:?}");
        }
    }
}
