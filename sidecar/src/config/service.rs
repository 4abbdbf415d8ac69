//! What one service of the task is told, in both forms: as flags and variables (`SDS_PORT`), and as an object of
//! `SDS_CONFIG` under the same names in lower case (`port`). One struct, so that neither form can know what the other
//! does not; its comments are the help of the one and the descriptions in the schema of the other.
//!
//! Defaults are filled in here, after either form was read: until then it is still known what was said.

use std::time::Duration;

use clap::Args;
use sds_types::{Revision, ServiceName, Tags, Weight, parse_span};
use serde::Deserialize;

use super::{Instance, Wrong, read};
use crate::{health::Thresholds, identity::Wants, probe::check::Check};

/// One service that the task is an instance of.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(title = "Service", transform = requires))]
pub struct Service {
    /// The service to register in
    #[arg(long, env = "SDS_SERVICE", value_name = "NAME")]
    #[serde(default, deserialize_with = "read::text")]
    #[cfg_attr(test, schemars(with = "String", required, regex(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")))]
    pub service: Option<ServiceName>,
    /// The app's port; in bridge mode the container's, and the host's port is registered
    #[arg(long, env = "SDS_PORT", value_name = "PORT")]
    #[cfg_attr(test, schemars(with = "u16", required, range(min = 1)))]
    pub port: Option<u16>,
    /// Checks that must all pass, separated by commas: http://:8080/health (200 to 299 passes), https://, tcp://:8080,
    /// grpc://:50051/name, grpcs://, ecs://container
    #[arg(long, env = "SDS_CHECK", value_name = "CHECK", value_delimiter = ',', value_parser = read::check_of)]
    #[serde(default)]
    #[cfg_attr(test, schemars(required, length(min = 1)))]
    pub check: Vec<Check>,
    /// The container that is the app [default: the only one besides the sidecar's, else the one that publishes the port]
    #[arg(long, env = "SDS_CONTAINER", value_name = "NAME")]
    pub container: Option<String>,
    /// From one probe to the next; half of it while the app's health is in question [default: 2s]
    #[arg(long, env = "SDS_INTERVAL", value_name = "DURATION", value_parser = parse_span)]
    #[serde(default, deserialize_with = "read::span")]
    #[cfg_attr(test, schemars(with = "Option<read::Span>"))]
    pub interval: Option<Duration>,
    /// For one whole probe; shorter than the interval [default: 1s]
    #[arg(long, env = "SDS_TIMEOUT", value_name = "DURATION", value_parser = parse_span)]
    #[serde(default, deserialize_with = "read::span")]
    #[cfg_attr(test, schemars(with = "Option<read::Span>"))]
    pub timeout: Option<Duration>,
    /// Passes in a row that make an unhealthy app healthy; the first one after the start registers at once [default: 2]
    #[arg(long, env = "SDS_RISE", value_name = "N")]
    #[cfg_attr(test, schemars(range(min = 1, max = 1000)))]
    pub rise: Option<u32>,
    /// Failures in a row that make a healthy app unhealthy [default: 3]
    #[arg(long, env = "SDS_FALL", value_name = "N")]
    #[cfg_attr(test, schemars(range(min = 1, max = 1000)))]
    pub fall: Option<u32>,
    /// How long failures before the first pass do not count [default: 60s]
    #[arg(long, env = "SDS_START_PERIOD", value_name = "DURATION", value_parser = parse_span)]
    #[serde(default, deserialize_with = "read::span")]
    #[cfg_attr(test, schemars(with = "Option<read::Span>"))]
    pub start_period: Option<Duration>,
    /// How long an unhealthy app stays registered, as unhealthy [default: for ever]
    #[arg(long, env = "SDS_DEREGISTER_AFTER", value_name = "DURATION", value_parser = parse_span)]
    #[serde(default, deserialize_with = "read::span")]
    #[cfg_attr(test, schemars(with = "Option<read::Span>"))]
    pub deregister_after: Option<Duration>,
    /// Share of the service's traffic, 1 to 100 [default: unset, which Envoy takes for 1]
    #[arg(long, env = "SDS_WEIGHT", value_name = "N", value_parser = read::weight_of)]
    #[serde(default, deserialize_with = "read::weight")]
    #[cfg_attr(test, schemars(with = "Option<u8>", range(min = 1, max = 100)))]
    pub weight: Option<Weight>,
    /// Marks a canary [default: false]
    #[arg(long, env = "SDS_CANARY", value_name = "BOOL", action = clap::ArgAction::Set)]
    pub canary: Option<bool>,
    /// What runs [default: the tag of the app's image, else the task definition's family:revision]
    #[arg(long, env = "SDS_REVISION", value_name = "TEXT", value_parser = read::revision_of)]
    #[serde(default, deserialize_with = "read::revision")]
    #[cfg_attr(test, schemars(with = "Option<String>", length(max = 256)))]
    pub revision: Option<Revision>,
    /// Free tags, k=v,k=v as a variable and an object in JSON; the labels of the app's container come besides
    #[arg(long, env = "SDS_TAGS", value_name = "TAGS", value_parser = read::tags_of)]
    #[serde(default, deserialize_with = "read::tags")]
    #[cfg_attr(test, schemars(with = "Option<std::collections::BTreeMap<String, String>>"))]
    pub tags: Option<Tags>,
}

/// Both forms read these as optional, so that what is missing is named as it is written.
#[cfg(test)]
fn requires(schema: &mut schemars::Schema) {
    schema.insert("required".to_owned(), serde_json::json!(["service", "port", "check"]));
}

impl Service {
    /// A name of what was said, if anything was.
    pub fn said(&self) -> Option<&'static str> {
        [
            ("SDS_SERVICE", self.service.is_some()),
            ("SDS_PORT", self.port.is_some()),
            ("SDS_CHECK", !self.check.is_empty()),
            ("SDS_CONTAINER", self.container.is_some()),
            ("SDS_INTERVAL", self.interval.is_some()),
            ("SDS_TIMEOUT", self.timeout.is_some()),
            ("SDS_RISE", self.rise.is_some()),
            ("SDS_FALL", self.fall.is_some()),
            ("SDS_START_PERIOD", self.start_period.is_some()),
            ("SDS_DEREGISTER_AFTER", self.deregister_after.is_some()),
            ("SDS_WEIGHT", self.weight.is_some()),
            ("SDS_CANARY", self.canary.is_some()),
            ("SDS_REVISION", self.revision.is_some()),
            ("SDS_TAGS", self.tags.is_some()),
        ]
        .into_iter()
        .find_map(|(name, said)| said.then_some(name))
    }

    /// The instance, with the defaults filled in and the rules kept that a service can break by itself.
    pub fn instance(self) -> Result<Instance, Wrong> {
        let required = |field| move || (field, "is required".to_owned());
        let seconds = Duration::from_secs;
        let instance = Instance {
            service: self.service.ok_or_else(required("service"))?,
            wants: Wants {
                port: self.port.ok_or_else(required("port"))?,
                container: self.container,
                revision: self.revision,
                tags: self.tags.unwrap_or_default(),
            },
            checks: self.check,
            interval: self.interval.unwrap_or(seconds(2)),
            timeout: self.timeout.unwrap_or(seconds(1)),
            thresholds: Thresholds {
                rise: self.rise.unwrap_or(2),
                fall: self.fall.unwrap_or(3),
                start_period: self.start_period.unwrap_or(seconds(60)),
            },
            deregister_after: self.deregister_after,
            weight: self.weight,
            canary: self.canary.unwrap_or(false),
        };
        instance.agrees()
    }
}

impl Instance {
    fn agrees(self) -> Result<Self, Wrong> {
        let Self { wants, checks, interval, timeout, thresholds, .. } = &self;
        let wrong = |field, reason: &str| Err((field, reason.to_owned()));
        if wants.port == 0 {
            return wrong("port", "0 is not a port: an integer from 1 to 65535");
        }
        if checks.is_empty() {
            return Err(("check", "is required".to_owned()));
        }
        if interval.is_zero() {
            return wrong("interval", "must be longer than 0");
        }
        if timeout.is_zero() || timeout >= interval {
            let reason = format!("{timeout:?} must be longer than 0 and shorter than the interval, {interval:?}");
            return wrong("timeout", &reason);
        }
        for (field, n) in [("rise", thresholds.rise), ("fall", thresholds.fall)] {
            if !(1..=1000).contains(&n) {
                return wrong(field, &format!("{n} is not a number from 1 to 1000"));
            }
        }
        Ok(self)
    }
}
