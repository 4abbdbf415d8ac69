//! The words that the registry and the sidecar share: validated on the way in, canonical on the way out.
//!
//! A value of these types is fit to be shown to an Envoy: no code behind the parser checks it again. An Envoy
//! refuses a *whole* answer for one bad host, so what is accepted here decides whether other people's hosts arrive.
//! But for the files that options name, the crate does no I/O; it knows no HTTP; it is apart from the registry because the sidecar must not carry the
//! registry's dependencies.

mod address;
mod arn;
#[cfg(feature = "command")]
pub mod command;
#[cfg(test)]
#[path = "../../corpus/play.rs"]
mod corpus;
mod error;
#[cfg(test)]
mod fuzz;
mod labels;
mod native;
#[cfg(feature = "command")]
mod pem;
pub mod proof;
mod secret;
mod service;
mod span;
mod task;
mod v1;
mod weight;

pub use address::Endpoint;
pub use arn::{EcsArn, TaskArnParts};
pub use error::{ErrorBody, Invalid, Sequence};
pub use labels::{InstanceId, Label, Locality, Revision, Tags, TaskArn};
pub use native::{Health, Registered, Registration};
#[cfg(feature = "command")]
pub use pem::Pem;
pub use secret::Secret;
pub use service::ServiceName;
pub use span::{any_span, parse_span};
pub use task::TaskName;
pub use v1::{V1Host, V1Registration, V1Repo, V1Tags};
pub use weight::Weight;

use error::shown;

/// SHA-256 in lower hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}

/// Lower hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
