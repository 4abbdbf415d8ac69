//! A service's answers as bytes: rendered on first use, once for all who ask, and dropped with the version.
//!
//! Only v1 is rendered again while its version lives, because its hosts carry the time of their last sign of life;
//! the sync loop does that for services that are polled, so a poll only ever hands out bytes.

pub mod eds_json;
pub mod eds_proto;
pub mod gateway;
pub mod prometheus;
pub mod proxyless;
pub mod v1;

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU8, Ordering},
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::HeaderValue;

use crate::registry::Version;

/// How many heartbeats after its last poll a service still counts as polled: longer than any Envoy's refresh delay.
const RENEWALS: u8 = 12;

/// The answers made of one version of a service.
#[derive(Debug, Default)]
pub struct Answers {
    v1: ArcSwapOption<v1::Answer>,
    v1_polled: AtomicU8,
    eds: [OnceLock<eds_json::Answer>; 2],
    eds_proto: OnceLock<Bytes>,
    targets: OnceLock<Bytes>,
}

impl Answers {
    /// The v1 answer, rendered by `render` if nobody asked before.
    pub fn v1(&self, render: impl FnOnce() -> v1::Answer) -> Arc<v1::Answer> {
        // A store to shared memory only for the first poll after each renewal.
        if self.v1_polled.load(Ordering::Relaxed) != RENEWALS {
            self.v1_polled.store(RENEWALS, Ordering::Relaxed);
        }
        if let Some(answer) = self.v1.load_full() {
            return answer;
        }
        let answer = Arc::new(render());
        self.v1.store(Some(answer.clone()));
        answer
    }

    /// Whether v1 was asked for in the last [`RENEWALS`] calls of this; else what was rendered is dropped.
    pub fn v1_is_polled(&self) -> bool {
        let left = self.v1_polled.load(Ordering::Relaxed);
        if left == 0 {
            self.v1.store(None);
        } else {
            // A poll in between is at most forgotten one call early.
            self.v1_polled.store(left - 1, Ordering::Relaxed);
        }
        left > 0
    }

    /// Replaces the v1 answer by one with newer times.
    pub fn set_v1(&self, answer: v1::Answer) {
        self.v1.store(Some(Arc::new(answer)));
    }

    /// The EDS answer of an API version, rendered by `render` if nobody asked before.
    pub fn eds(&self, api: eds_json::Api, render: impl FnOnce() -> eds_json::Answer) -> &eds_json::Answer {
        let [v2, v3] = &self.eds;
        match api {
            eds_json::Api::V2 => v2.get_or_init(render),
            eds_json::Api::V3 => v3.get_or_init(render),
        }
    }

    /// The resource for discovery streams, rendered by `render` if no stream wanted it before.
    pub fn eds_proto(&self, render: impl FnOnce() -> Bytes) -> &Bytes {
        self.eds_proto.get_or_init(render)
    }

    /// The targets for Prometheus, rendered by `render` if nobody asked before.
    pub fn targets(&self, render: impl FnOnce() -> Bytes) -> &Bytes {
        self.targets.get_or_init(render)
    }
}

/// Our own types as JSON; their keys are strings, so this cannot fail.
fn json(value: &impl serde::Serialize) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}

/// A version as a weak validator.
pub fn etag(version: Version) -> HeaderValue {
    // Hex digits and quotes are visible ASCII.
    HeaderValue::try_from(format!("W/\"{version}\"")).unwrap_or(HeaderValue::from_static("W/\"\""))
}

#[cfg(test)]
mod tests;
