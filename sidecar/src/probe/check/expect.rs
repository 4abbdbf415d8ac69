//! The statuses that pass: single ones and ranges, as in `[200, "300-399"]`.
//!
//! Statuses below 200 are refused: they are never an answer's last word.

use std::{fmt, ops::RangeInclusive};

use http::StatusCode;
use serde::{Deserialize, Deserializer, de};

/// A status or a range of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statuses(RangeInclusive<u16>);

impl Statuses {
    /// What passes unless said otherwise.
    pub fn success() -> Self {
        Self(200..=299)
    }

    /// Whether the app may answer so.
    pub fn contains(&self, status: StatusCode) -> bool {
        self.0.contains(&status.as_u16())
    }

    fn new(first: u16, last: u16) -> Option<Self> {
        (first <= last && first >= 200 && last <= 599).then_some(Self(first..=last))
    }
}

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrRange;

        impl de::Visitor<'_> for OneOrRange {
            type Value = Statuses;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status such as 204 or a range such as \"300-399\", from 200 to 599")
            }

            fn visit_u64<E: de::Error>(self, status: u64) -> Result<Statuses, E> {
                let one = u16::try_from(status).ok().and_then(|status| Statuses::new(status, status));
                one.ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(status), &self))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Statuses, E> {
                let (first, last) = text.split_once('-').unwrap_or((text, text));
                let range = first.parse().ok().zip(last.parse().ok()).and_then(|(a, b)| Statuses::new(a, b));
                range.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_any(OneOrRange)
    }
}

#[cfg(test)]
impl schemars::JsonSchema for Statuses {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Statuses".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "anyOf": [
                { "type": "integer", "minimum": 200, "maximum": 599 },
                { "type": "string", "pattern": "^[2-5][0-9]{2}(-[2-5][0-9]{2})?$" },
            ],
        })
    }
}
