//! One check of the app: what is asked, where, and which answer passes.
//!
//! The short form is a URL (`http://:8080/health`, `tcp://:8080`, `grpc://:50051/pkg.Service`, `ecs://app`); the object
//! of `check/object` adds options to it. Both end here, in a value that a probe needs no second look at: statuses are
//! ranges, certificate authorities are read and parsed, headers are headers. What makes no sense together is refused,
//! because whoever wrote it meant something that would not happen. Whether the target lies in this task is for the
//! configuration as a whole to say.

use std::{fmt, str::FromStr};

use http::{HeaderMap, Method, uri::Authority, uri::PathAndQuery};
use sds_types::command;
use serde::{Deserialize, Deserializer, de};

mod expect;
mod object;
mod target;
mod tls;

pub use expect::Statuses;
pub use target::{Host, Target};
pub use tls::{Tls, Trust};

/// A valid check. Its text is the URL as it was written.
#[derive(Debug, Clone)]
pub struct Check {
    kind: Kind,
    text: String,
}

/// How the app is asked.
#[derive(Debug, Clone)]
pub enum Kind {
    /// One request of HTTP/1.1.
    Http(Http),
    /// Connect.
    Tcp(Target),
    /// One call of `grpc.health.v1.Health/Check`.
    Grpc(Grpc),
    /// What ECS says of the health of the container of this name.
    Ecs(String),
}

/// `http` or `https`.
#[derive(Debug, Clone)]
pub struct Http {
    /// Where.
    pub target: Target,
    /// For `https`.
    pub tls: Option<Tls>,
    /// GET unless said otherwise.
    pub method: Method,
    /// As written.
    pub path: PathAndQuery,
    /// All values are marked sensitive, so that nothing prints them.
    pub headers: HeaderMap,
    /// The Host header; unset, it is the target.
    pub host: Option<Authority>,
    /// Any of them passes.
    pub expect: Vec<Statuses>,
    /// What the beginning of the body must contain.
    pub body: Option<String>,
}

/// `grpc` or `grpcs`.
#[derive(Debug, Clone)]
pub struct Grpc {
    /// Where.
    pub target: Target,
    /// For `grpcs`.
    pub tls: Option<Tls>,
    /// Whose health is asked; empty is the whole app's.
    pub service: String,
    /// The call's metadata. All values are marked sensitive, so that nothing prints them.
    pub headers: HeaderMap,
    /// The `:authority`; unset, it is the target.
    pub host: Option<Authority>,
}

impl Check {
    /// How the app is asked.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Whom a probe connects to, if it does.
    pub fn target(&self) -> Option<Target> {
        match &self.kind {
            Kind::Http(http) => Some(http.target),
            Kind::Tcp(target) => Some(*target),
            Kind::Grpc(grpc) => Some(grpc.target),
            Kind::Ecs(_) => None,
        }
    }

    /// The host that a probe connects to, if it does.
    pub fn host(&self) -> Option<Host> {
        self.target().map(|target| target.host)
    }

    /// The port that a probe connects to, if it does.
    pub fn port(&self) -> Option<u16> {
        self.target().map(|target| target.port)
    }

    /// How TLS is spoken, if it is.
    pub fn tls(&self) -> Option<&Tls> {
        match &self.kind {
            Kind::Http(http) => http.tls.as_ref(),
            Kind::Grpc(grpc) => grpc.tls.as_ref(),
            Kind::Tcp(_) | Kind::Ecs(_) => None,
        }
    }
}

impl FromStr for Check {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        object::Object::short(text).check()
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A text is the short form. It is read through within the visitor, so that a mistake is told with its line and column.
impl<'de> Deserialize<'de> for Check {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        fn read<E: de::Error>(object: object::Object) -> Result<Check, E> {
            let url = object.url.clone();
            object.check().map_err(|reason| E::custom(format!("the check '{}': {reason}", command::shown(&url))))
        }

        impl<'de> de::Visitor<'de> for Either {
            type Value = Check;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a check: a URL such as \"http://:8080/health\", or an object with a \"url\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Check, E> {
                read(object::Object::short(text))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Check, A::Error> {
                read(Deserialize::deserialize(de::value::MapAccessDeserializer::new(map))?)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
impl schemars::JsonSchema for Check {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Check".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "How the app is asked whether it is fit: a URL, or an object that adds options to a URL.",
            "anyOf": [{ "type": "string", "pattern": object::SHAPE }, generator.subschema_for::<object::Object>()],
        })
    }
}

#[cfg(test)]
mod tests;
