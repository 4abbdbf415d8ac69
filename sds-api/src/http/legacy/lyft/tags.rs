//! lyft/discovery's `tags`: JSON text inside the form. What it names replaces what stands, what it does not name stays,
//! null takes away.
//!
//! Its README of some years wrote `"canary": "true"` and `"load_balancing_weight": "3"`; an Envoy refuses both, so here
//! they become what they mean. Tags with lists or objects have no place in an answer and are named as ignored.

use std::collections::BTreeMap;

use sds_types::{InstanceId, Invalid, Label, Locality, Tags, Weight};
use serde_json::Value;

use super::super::super::body::{self, Fields};
use crate::{
    error::{ApiError, MISSING},
    instance::Content,
    registry::Unsaid,
};

/// What the tags say.
pub struct Said {
    /// The parts of a content that are tags here.
    pub content: Content,
    /// What they leave as it is.
    pub unsaid: Unsaid,
    /// Names of what was not understood.
    pub ignored: Vec<String>,
}

/// Reads the tags; bad JSON is an error of its own.
pub fn parse(text: &str) -> Result<Said, ApiError> {
    let mut tags = Fields::parse(text.as_bytes())?;
    let mut required = |name: &'static str| {
        let missing = || Invalid::new(MISSING, "tags", format!("the tag {name} is required"));
        if tags.has(name) { Ok(tags.text(name)?.unwrap_or_default()) } else { Err(missing()) }
    };
    let (zone, region, instance_id) = (required("az")?, required("region")?, required("instance_id")?);
    let locality = Locality { region: Label::parse("region", region)?, zone: Label::parse("az", zone)? };
    let instance_id = InstanceId::parse("instance_id", instance_id)?;
    let unsaid = Unsaid { weight: !tags.has(WEIGHT), canary: !tags.has(CANARY), but: Vec::new() };
    let weight = weight(tags.take(WEIGHT))?;
    let canary = canary(tags.take(CANARY))?;
    let (mut other, mut but, mut ignored) = (BTreeMap::new(), Vec::new(), Vec::new());
    for (name, value) in tags.rest() {
        match value {
            Value::String(text) => drop(other.insert(name, text)),
            Value::Bool(_) | Value::Number(_) => drop(other.insert(name, value.to_string())),
            Value::Null => but.push(name),
            Value::Array(_) | Value::Object(_) => ignored.push(name),
        }
    }
    let content = Content { weight, canary, locality, instance_id, tags: Tags::parse(other)?, ..Content::default() };
    let ignored = body::nameable(ignored.iter()).into_iter().map(|name| format!("tags.{name}")).collect();
    Ok(Said { content, unsaid: Unsaid { but, ..unsaid }, ignored })
}

const WEIGHT: &str = "load_balancing_weight";
const CANARY: &str = "canary";

fn weight(value: Option<Value>) -> Result<Option<Weight>, Invalid> {
    let number = match value {
        None => return Ok(None),
        Some(Value::String(text)) => text.parse::<i64>().ok(),
        Some(other) => other.as_i64(),
    };
    let wrong = || Invalid::new("InvalidWeight", WEIGHT, "the weight is not an integer from 1 to 100");
    Weight::try_from(number.ok_or_else(wrong)?).map(Some)
}

fn canary(value: Option<Value>) -> Result<bool, Invalid> {
    match value {
        None => Ok(false),
        Some(Value::Bool(canary)) => Ok(canary),
        Some(Value::String(text)) if text == "true" => Ok(true),
        Some(Value::String(text)) if text == "false" => Ok(false),
        Some(_) => Err(Invalid::new("InvalidType", CANARY, "canary is not true or false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tags(more: &str) -> Result<Said, ApiError> {
        parse(&format!(r#"{{"az":"a","region":"r","instance_id":"i"{more}}}"#))
    }

    #[test]
    fn values_become_what_they_mean() {
        let said = tags(r#","canary":"true","load_balancing_weight":"3","n":5,"b":true,"x":"y""#).unwrap();
        assert_eq!((said.content.canary, said.content.weight.map(Weight::get)), (true, Some(3)));
        assert_eq!(said.content.tags.iter().collect::<Vec<_>>(), [("b", "true"), ("n", "5"), ("x", "y")]);
        assert_eq!(said.unsaid, Unsaid::default());
    }

    #[test]
    fn what_is_not_named_stays_and_null_takes_away() {
        assert_eq!(tags("").unwrap().unsaid, Unsaid { weight: true, canary: true, but: vec![] });
        let said = tags(r#","canary":null,"load_balancing_weight":null,"x":null,"list":[1],"object":{}"#).unwrap();
        assert_eq!(said.unsaid, Unsaid { weight: false, canary: false, but: vec!["x".into()] });
        assert_eq!((said.content.canary, said.content.weight, said.content.tags.is_empty()), (false, None, true));
        assert_eq!(said.ignored, ["tags.list", "tags.object"]);
    }

    #[test]
    fn what_an_envoy_refuses_is_refused() {
        for bad in ["0", "101", "1.5", "5.0", "\"x\"", "true", "[]"] {
            assert!(tags(&format!(r#","load_balancing_weight":{bad}"#)).is_err(), "{bad}");
        }
        assert!(tags(r#","canary":1"#).is_err());
        assert!(tags(r#","canary":"yes""#).is_err());
        assert!(tags(r#","x":"a\nb""#).is_err());
        assert!(parse(r#"{"az":"a","region":"r"}"#).is_err());
    }

    #[test]
    fn bad_json_is_its_own_error() {
        for bad in ["", "x", "[]", "null", "{", r#"{"az":"a","az":"b"}"#] {
            assert!(matches!(parse(bad), Err(ApiError::Json(_))), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,80}", value in "[\\[\\]{}\",:a-z0-9.]{0,20}") {
            let _ = parse(&text);
            let _ = tags(&format!(r#","x":{value}"#));
        }
    }
}
