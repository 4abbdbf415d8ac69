//! Rows as DynamoDB's attributes, and back.
//!
//! Reading is total: whatever stands in the table becomes a row or a named bad row, because one bad row must not keep a
//! service's other rows from being served. Names and shapes keep cookpad/sds's table readable by both (`service`,
//! `ip_port`, `revision`, `last_check_in`, `tags`, `expire_time`).

mod attribute;
mod operator;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

pub(super) use attribute::{n, number, s};
pub(super) use operator::set as set_override;
pub use read::{BadRow, printable};
pub(super) use read::{Read, read, read_key, sequence};
pub(super) use write::{gone, key, status, tags};

/// Attributes by name.
pub(super) type Item = HashMap<String, AttributeValue>;

/// The newest shape of rows that this release writes; a higher one is read as far as it is known.
pub(super) const FMT: u64 = 1;
