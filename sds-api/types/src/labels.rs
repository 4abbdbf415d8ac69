//! What a registrant says of itself beyond its address: where it runs, which revision, what tags.
//!
//! None of it routes by itself, but all of it reaches every Envoy and every log, so its size is bounded and control
//! characters are refused.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    sync::Arc,
};

use serde::{Serialize, Serializer};

use crate::error::{Invalid, shown};

/// Text of at most `MAX` characters without control characters; empty means "not said".
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label<const MAX: usize>(Arc<str>);

/// What runs: an image tag, a commit, a task definition's revision.
pub type Revision = Label<256>;
/// The host's or the task's id, for people and for subset routing.
pub type InstanceId = Label<256>;
/// The ECS task behind the instance.
pub type TaskArn = Label<512>;

impl<const MAX: usize> Label<MAX> {
    /// Checks `text`; an error names `field`.
    pub fn parse(field: &'static str, text: impl AsRef<str>) -> Result<Self, Invalid> {
        let text = text.as_ref();
        match flaw(text, MAX) {
            None if text.is_empty() => Ok(Self::default()),
            None => Ok(Self(text.into())),
            Some(flaw) => Err(Invalid::new("InvalidText", field, format!("{field} {flaw}"))),
        }
    }

    /// The text, "" if it was not said.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keeps one copy of what many say.
    pub fn share(&mut self, words: &mut HashSet<Arc<str>>) {
        match words.get(&self.0) {
            Some(word) => self.0 = word.clone(),
            None => drop(words.insert(self.0.clone())),
        }
    }
}

impl<const MAX: usize> Serialize for Label<MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<const MAX: usize> fmt::Display for Label<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn flaw(text: &str, max: usize) -> Option<String> {
    if text.chars().any(char::is_control) {
        Some("has control characters".into())
    } else if text.chars().count() > max {
        Some(format!("is longer than {max} characters"))
    } else {
        None
    }
}

/// Where an instance runs, as Envoy's zone-aware routing groups by it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Locality {
    /// AWS region, such as `ap-northeast-1`.
    #[serde(skip_serializing_if = "Label::is_empty")]
    pub region: Label<64>,
    /// Availability zone, such as `ap-northeast-1a`; v1's `az`.
    #[serde(skip_serializing_if = "Label::is_empty")]
    pub zone: Label<64>,
}

impl Locality {
    /// Whether neither part was said.
    pub fn is_empty(&self) -> bool {
        self.region.is_empty() && self.zone.is_empty()
    }
}

/// Free tags, at most 32 and 4 KB in all; the keys that v1 gives a meaning of its own are not among them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Tags(BTreeMap<String, String>);

impl Tags {
    /// Keys of v1's `tags` that are fields of their own here.
    pub const RESERVED: [&'static str; 5] = ["az", "region", "instance_id", "canary", "load_balancing_weight"];

    /// Checks number, size and spelling.
    pub fn parse(tags: BTreeMap<String, String>) -> Result<Self, Invalid> {
        let bad = |reason: String| Err(Invalid::new("InvalidTags", "tags", reason));
        if tags.len() > 32 {
            return bad(format!("{} tags, at most 32 are kept", tags.len()));
        }
        if tags.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > 4096 {
            return bad("the tags are larger than 4 KB".into());
        }
        for (key, value) in &tags {
            if key.is_empty() {
                return bad("a tag without a name".into());
            }
            if Self::RESERVED.contains(&key.as_str()) {
                return bad(format!("the tag '{key}' has a field of its own"));
            }
            if let Some(flaw) = flaw(key, 128) {
                return bad(format!("the name of the tag '{}' {flaw}", shown(key)));
            }
            if let Some(flaw) = flaw(value, 4096) {
                return bad(format!("the value of the tag '{}' {flaw}", shown(key)));
            }
        }
        Ok(Self(tags))
    }

    /// All tags, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Result<Tags, Invalid> {
        Tags::parse(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn labels_are_short_and_printable() {
        assert!(Label::<3>::parse("zone", "äöü").is_ok());
        assert!(Label::<3>::parse("zone", "abcd").is_err());
        assert!(Label::<9>::parse("zone", "a\u{1b}[2J").is_err());
    }

    #[test]
    fn what_many_say_is_kept_once() {
        let mut words = HashSet::new();
        let mut labels = ["v1", "v1", ""].map(|text| Label::<9>::parse("revision", text).unwrap());
        labels.iter_mut().for_each(|label| label.share(&mut words));
        assert!(Arc::ptr_eq(&labels[0].0, &labels[1].0) && words.len() == 2);
        assert_eq!(labels.map(|label| label.0.to_string()), ["v1", "v1", ""]);
    }

    #[test]
    fn tags_are_bounded() {
        assert!(tags(&[("a", "b")]).is_ok());
        assert!(tags(&[("", "b")]).is_err());
        assert!(tags(&[("az", "b")]).is_err());
        assert!(tags(&[("a", "b\n")]).is_err());
        assert!(tags(&[("a", &"x".repeat(4097))]).is_err());
        assert!(Tags::parse((0..33).map(|n| (n.to_string(), String::new())).collect()).is_err());
    }
}
