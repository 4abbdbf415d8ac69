//! Names in a policy: one, or with a trailing `*` all that begin so. No other wildcard: whoever reads a policy at night
//! must see at once whom it lets in.

use std::{fmt, str::FromStr};

/// A name, or the beginning of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    stem: String,
    open: bool,
}

impl Pattern {
    /// Whether it stands for `name`.
    pub fn matches(&self, name: &str) -> bool {
        if self.open { name.starts_with(&self.stem) } else { name == self.stem }
    }

    /// Of two that match, the greater one says more: a whole name before any prefix, a longer prefix before a shorter one.
    pub fn precision(&self) -> (bool, usize) {
        (!self.open, self.stem.len())
    }

    /// What stands before the `*`, or all of it.
    pub fn stem(&self) -> &str {
        &self.stem
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (stem, open) = text.strip_suffix('*').map_or((text, false), |stem| (stem, true));
        let plain = |c: char| c.is_ascii_graphic() && c != '*';
        if text.is_empty() || !stem.chars().all(plain) {
            return Err(format!(
                "'{}' is not a name, nor the beginning of one with a * behind it",
                text.escape_debug()
            ));
        }
        Ok(Self { stem: stem.to_owned(), open })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.stem, if self.open { "*" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_beginnings() {
        let matches = |pattern: &str, name| pattern.parse::<Pattern>().unwrap().matches(name);
        for (pattern, name, expected) in [
            ("web", "web", true),
            ("web", "web2", false),
            ("web-*", "web-a", true),
            ("web-*", "web-", true),
            ("web-*", "web", false),
            ("*", "anything", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        for bad in ["", "a*b", "**", "we b", "wéb"] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_whole_name_says_more_than_any_beginning() {
        let precision = |text: &str| text.parse::<Pattern>().unwrap().precision();
        assert!(precision("a") > precision("web-*") && precision("web-*") > precision("w*"));
    }
}
