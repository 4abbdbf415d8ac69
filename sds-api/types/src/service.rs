//! The name of a service, as it stands in paths, rows and Envoy's clusters.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use crate::error::{Invalid, shown};

/// `[A-Za-z0-9][A-Za-z0-9._-]{0,127}`, exact case, not `repo`.
///
/// The grammar keeps names out of the store's own keys (`#meta`), out of other routes (`/`, `..`) and out of
/// trouble with Envoy, which puts the name into a path unescaped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName(Arc<str>);

impl ServiceName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServiceName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let fits = text.len() <= 128
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if !fits {
            return Err(Invalid::new(
                "InvalidServiceName",
                "service",
                format!(
                    "'{}' is not a service name: a letter or digit, then up to 127 letters, digits, '.', '_' or '-'",
                    shown(text)
                ),
            ));
        }
        if text == "repo" {
            return Err(Invalid::new(
                "InvalidServiceName",
                "service",
                "'repo' is reserved for the index by repository",
            ));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for ServiceName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_what_is_not_a_name() {
        let long = "a".repeat(129);
        for bad in ["", "repo", "#meta", "_x", "-x", ".x", "..", "a/b", "a%2Fb", "a b", "a\0", "é", "a\u{202e}b", &long]
        {
            assert!(bad.parse::<ServiceName>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn errors_carry_no_control_characters() {
        let error = "a\r\nb".parse::<ServiceName>().unwrap_err();
        assert!(!error.reason.contains(['\r', '\n']), "{}", error.reason);
    }

    proptest! {
        #[test]
        fn a_name_is_its_own_text(text in "[A-Za-z0-9][A-Za-z0-9._-]{0,127}") {
            prop_assume!(text != "repo");
            prop_assert_eq!(text.parse::<ServiceName>().unwrap().to_string(), text);
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<ServiceName>();
        }
    }
}
