//! Single attributes: made, and read with the reason why not.

use aws_sdk_dynamodb::types::AttributeValue;
use sds_types::{Invalid, Label};

use super::Item;

/// A string attribute.
pub fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// A number attribute.
pub fn n(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// A number that must be there.
pub fn number(item: &Item, name: &str) -> Result<u64, String> {
    let value = item.get(name).ok_or_else(|| format!("{name} is missing"))?;
    let digits = value.as_n().map_err(|_| format!("{name} is not a number"))?;
    digits.parse().map_err(|_| format!("{name} is not a whole number of 64 bits"))
}

/// A string that need not be there.
pub(super) fn text<'a>(item: &'a Item, name: &str) -> Result<Option<&'a str>, String> {
    match item.get(name) {
        None => Ok(None),
        Some(value) => value.as_s().map(|text| Some(text.as_str())).map_err(|_| format!("{name} is not a string")),
    }
}

/// The same as a label, empty if it is not there.
pub(super) fn label<const MAX: usize>(item: &Item, name: &'static str) -> Result<Label<MAX>, String> {
    Label::parse(name, text(item, name)?.unwrap_or("")).map_err(reason)
}

/// A boolean that need not be there.
pub(super) fn boolean(item: &Item, name: &str) -> Result<Option<bool>, String> {
    match item.get(name) {
        None => Ok(None),
        Some(value) => value.as_bool().map(|value| Some(*value)).map_err(|_| format!("{name} is not a boolean")),
    }
}

/// What is wrong, without what only an answer to a client needs.
pub(super) fn reason(invalid: Invalid) -> String {
    invalid.reason
}
