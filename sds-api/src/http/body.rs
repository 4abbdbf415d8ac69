//! Reads request bodies: bounded in size and time, plain, and as JSON that means one thing.
//!
//! serde alone would take an array for an object and the last of two equal keys, and would name its own types in
//! errors. So a body becomes a tree that refuses equal keys, and fields are taken from it one by one; what is left
//! over was not understood and is named to the sender.

use std::{collections::BTreeMap, fmt, time::Duration};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use sds_types::{Invalid, Sequence};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use tokio::time::timeout;

use crate::{clock::Timestamp, error::ApiError};

/// The largest body of a write.
pub const WRITE_LIMIT: usize = 64 * 1024;
/// The largest body of a discovery request: an Envoy's node alone is about 77 KB, extensions make it larger.
pub const DISCOVERY_LIMIT: usize = 2 * 1024 * 1024;
const IGNORED: HeaderName = HeaderName::from_static("x-sds-ignored");
const PATIENCE: Duration = Duration::from_secs(8);

/// The whole body, if it is plain, small and quick.
pub async fn read(request: Request<Body>, limit: usize) -> Result<Bytes, ApiError> {
    let headers = request.headers();
    if headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return Err(ApiError::Encoded);
    }
    if declared(headers).is_some_and(|length| length > limit as u64) {
        return Err(ApiError::TooLarge(limit));
    }
    let body = Limited::new(request.into_body(), limit).collect();
    match timeout(PATIENCE, body).await {
        Err(_) => Err(ApiError::SlowBody(PATIENCE.as_secs())),
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::TooLarge(limit)),
        Ok(Err(_)) => Err(ApiError::Json("the body ended early")),
    }
}

fn declared(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A JSON object whose fields are taken out one by one.
#[derive(Debug)]
pub struct Fields(Map<String, Value>);

impl Fields {
    /// Parses a body.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let tree = serde_json::from_slice::<Strict>(body).map_err(|error| {
            if error.is_data() {
                // The one complaint of ours; everything else is syntax.
                ApiError::Json("an object has the same key twice")
            } else {
                ApiError::Json("the body is not JSON")
            }
        })?;
        match tree.0 {
            Value::Object(fields) => Ok(Self(fields)),
            _ => Err(ApiError::Json("the body is not a JSON object")),
        }
    }

    /// Whether a field is there, also as `null`.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    #[cfg(test)]
    pub fn all(&self) -> &Map<String, Value> {
        &self.0
    }

    /// A field that may be missing; `null` is missing.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    /// Text that may be missing.
    pub fn text(&mut self, name: &'static str) -> Result<Option<String>, Invalid> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Invalid::new("InvalidType", name, format!("{name} is not a string"))),
        }
    }

    /// A boolean, `false` if missing.
    pub fn flag(&mut self, name: &'static str) -> Result<bool, Invalid> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(Invalid::new("InvalidType", name, format!("{name} is not true or false"))),
        }
    }

    /// An integer that may be missing; an error has this id. `80.0` and `"80"` are none.
    pub fn integer(&mut self, name: &'static str, id: &'static str) -> Result<Option<i64>, Invalid> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => match value.as_i64() {
                Some(number) => Ok(Some(number)),
                None => Err(Invalid::new(id, name, format!("{name} is not an integer in range"))),
            },
        }
    }

    /// A request's place in the order of writes to its ip:port.
    pub fn sequence(&mut self) -> Result<Sequence, Invalid> {
        sequence(self.counter("incarnation")?, self.counter("seq")?)
    }

    /// A number of 64 bits, at least 1.
    fn counter(&mut self, name: &'static str) -> Result<u64, Invalid> {
        self.take(name)
            .and_then(|value| value.as_u64())
            .filter(|number| *number > 0)
            .ok_or_else(|| Invalid::new("InvalidSequence", name, format!("{name} is required: an integer from 1 up")))
    }

    /// An object inside, empty if missing.
    pub fn object(&mut self, name: &'static str) -> Result<Self, Invalid> {
        match self.take(name) {
            None => Ok(Self(Map::new())),
            Some(Value::Object(fields)) => Ok(Self(fields)),
            Some(_) => Err(Invalid::new("InvalidType", name, format!("{name} is not an object"))),
        }
    }

    /// A list of objects, `None` if it is not there or no such list.
    pub fn objects(&mut self, name: &str) -> Option<Vec<Self>> {
        let Some(Value::Array(values)) = self.take(name) else { return None };
        let objects = values.into_iter().map(|value| match value {
            Value::Object(fields) => Some(Self(fields)),
            _ => None,
        });
        objects.collect()
    }

    /// All that is left, by name.
    pub fn rest(self) -> Map<String, Value> {
        self.0
    }

    /// All that is left, as text by name.
    pub fn texts(self, name: &'static str, id: &'static str) -> Result<BTreeMap<String, String>, Invalid> {
        let pairs = self.0.into_iter().map(|(key, value)| match value {
            Value::String(text) => Ok((key, text)),
            _ => Err(Invalid::new(id, name, format!("the values of {name} are strings"))),
        });
        pairs.collect()
    }

    /// Names what was not understood, for `x-sds-ignored`.
    pub fn ignored(&self, prefix: &str) -> Vec<String> {
        nameable(self.0.keys()).into_iter().map(|name| format!("{prefix}{name}")).collect()
    }
}

/// Of some names those that can stand in a header, and not too many.
pub fn nameable<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let plain = |name: &&String| {
        name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    names.filter(plain).take(16).cloned().collect()
}

/// Incarnations count milliseconds of the wall clock; one far ahead of it would lock its ip:port for ever.
pub fn sequence(incarnation: u64, seq: u64) -> Result<Sequence, Invalid> {
    const AHEAD: Duration = Duration::from_secs(24 * 3600);
    if incarnation > Timestamp::now().plus(AHEAD).millis() {
        let reason = "incarnation is more than a day ahead of the clock: it is the start in milliseconds since 1970";
        return Err(Invalid::new("InvalidSequence", "incarnation", reason));
    }
    Ok(Sequence { incarnation, seq })
}

/// The answer, with a header that names ignored fields.
pub fn naming_ignored(mut response: Response, names: &[String]) -> Response {
    if let Some(names) = (!names.is_empty()).then(|| HeaderValue::try_from(names.join(", ")).ok()).flatten() {
        response.headers_mut().insert(IGNORED, names);
    }
    response
}

/// Any JSON without equal keys in one object.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = seq.next_element()? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let Strict(value) = map.next_value()?;
            if fields.insert(key, value).is_some() {
                return Err(A::Error::custom("equal keys"));
            }
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_object_with_distinct_keys_is_a_body() {
        assert!(Fields::parse(br#"{"a":{"b":1},"c":[{"b":1},{"b":2}]}"#).is_ok());
        let nested = "[".repeat(100_000);
        for bad in [
            "",
            "null",
            "[]",
            "[{}]",
            "1",
            "{",
            "{}x",
            "\u{feff}{}",
            r#"{"a":1,"a":1}"#,
            r#"{"x":{"a":1,"a":2}}"#,
            &nested,
        ] {
            assert!(matches!(Fields::parse(bad.as_bytes()), Err(ApiError::Json(_))), "{bad:.20}");
        }
        assert!(Fields::parse(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn fields_are_of_their_type() {
        let mut fields = Fields::parse(br#"{"port":80.0,"ip":["a"],"canary":1,"n":0,"left":1}"#).unwrap();
        assert_eq!(fields.integer("port", "InvalidPort").unwrap_err().id, "InvalidPort");
        assert!(fields.text("ip").is_err());
        assert!(fields.flag("canary").is_err());
        assert!(fields.counter("n").is_err());
        assert_eq!(fields.ignored("x."), ["x.left"]);
    }
}
