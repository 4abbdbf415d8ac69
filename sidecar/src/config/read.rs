//! How the words of a configuration are read, for both forms: from the text of a variable and from JSON, with the same
//! errors. JSON takes a duration as text (`"500ms"`) or as a number of seconds.

use std::{collections::BTreeMap, fmt::Display, str::FromStr, time::Duration};

use sds_types::{Revision, Tags, Weight, parse_span};
use serde::{Deserialize, Deserializer, de::Error};

use crate::probe::check::Check;

/// A duration in JSON.
#[derive(Deserialize)]
#[serde(untagged)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Span {
    /// `"5s"`, `"500ms"`, `"2m"`, `"1h"`, or bare seconds
    Text(#[cfg_attr(test, schemars(regex(pattern = r"^[0-9]*\.?[0-9]+(ms|s|m|h)?$")))] String),
    /// Seconds
    Seconds(#[cfg_attr(test, schemars(range(min = 0)))] f64),
}

pub fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = match Option::<Span>::deserialize(deserializer)? {
        None => return Ok(None),
        Some(Span::Text(text)) => text,
        Some(Span::Seconds(seconds)) => seconds.to_string(),
    };
    parse_span(&text).map(Some).map_err(Error::custom)
}

/// Anything that reads itself from a text.
pub fn text<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(Error::custom)).transpose()
}

pub fn weight<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Weight>, D::Error> {
    let number = Option::<i64>::deserialize(deserializer)?;
    number.map(|number| Weight::try_from(number).map_err(Error::custom)).transpose()
}

pub fn weight_of(text: &str) -> Result<Weight, String> {
    let number = text.parse::<i64>().map_err(|_| "is not a weight: an integer from 1 to 100".to_owned())?;
    Weight::try_from(number).map_err(|error| error.to_string())
}

pub fn revision<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Revision>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| revision_of(&text).map_err(Error::custom)).transpose()
}

pub fn revision_of(text: &str) -> Result<Revision, String> {
    Revision::parse("revision", text).map_err(|error| error.to_string())
}

pub fn tags<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Tags>, D::Error> {
    let tags = Option::<BTreeMap<String, String>>::deserialize(deserializer)?;
    tags.map(|tags| Tags::parse(tags).map_err(Error::custom)).transpose()
}

/// One of a list, around whose commas people leave blanks.
pub fn check_of(text: &str) -> Result<Check, String> {
    text.trim().parse()
}

pub fn tags_of(text: &str) -> Result<Tags, String> {
    let mut tags = BTreeMap::new();
    for pair in text.split(',').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or("is not k=v,k=v")?;
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(format!("the tag '{}' is there twice", key.escape_debug()));
        }
    }
    Tags::parse(tags).map_err(|error| error.to_string())
}
