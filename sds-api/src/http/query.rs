//! A query's parameters. Ours are plain words, numbers and names, so nothing is decoded; what is not ours is ignored.

use std::collections::HashMap;

use sds_types::Invalid;

/// The longest list that is answered at once.
const LONGEST: usize = 1000;

/// Parameters by name.
#[derive(Debug)]
pub struct Query<'a>(HashMap<&'a str, &'a str>);

impl<'a> Query<'a> {
    /// The parameters of a query, without its `?`.
    pub fn of(query: Option<&'a str>) -> Self {
        Self(query.unwrap_or("").split('&').filter_map(|pair| pair.split_once('=')).collect())
    }

    /// One of them.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).copied()
    }

    /// How many entries of a list are wanted.
    pub fn limit(&self, default: usize) -> Result<usize, Invalid> {
        let Some(text) = self.get("limit") else { return Ok(default) };
        let limit = text.parse().ok().filter(|limit| (1..=LONGEST).contains(limit));
        let reason = || Invalid::new("InvalidLimit", "limit", format!("limit is an integer from 1 to {LONGEST}"));
        limit.ok_or_else(reason)
    }
}
