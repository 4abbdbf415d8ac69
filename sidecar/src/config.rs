//! What the sidecar is told to do, checked as a whole before anything starts.
//!
//! Each option is a flag and an environment variable, because ECS configures by environment (`config/options` names
//! them, `config/check` reads the checks). A mistake is one line that names the variable, and exit 64: a task
//! definition is wrong until somebody edits it, so trying again would only hide it.

use std::{ffi::OsString, net::SocketAddr, time::Duration};

use reqwest::Url;
use sds_types::{
    ServiceName, Tags, Weight, command,
    command::{Halt, Misconfigured},
};

use crate::{health::Thresholds, identity::Given, lifecycle::Settings};

mod check;
mod options;

pub use check::{Check, Grpc, Host, Http, Kind, Target, Tls, Trust};

/// The drain's own calls, before and after the linger, and the end of the process.
const BESIDES_LINGER: Duration = Duration::from_secs(10);

/// A valid configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The registry's replicas or load balancers, tried in turn.
    pub api: Vec<Url>,
    /// The service to register in.
    pub service: ServiceName,
    /// What the variables say about the instance.
    pub given: Given,
    /// The base of the ECS task metadata, version 4.
    pub metadata: Option<Url>,
    /// All must pass.
    pub checks: Vec<Check>,
    /// From the start of one probe to the start of the next.
    pub interval: Duration,
    /// For one whole probe.
    pub timeout: Duration,
    /// When the belief about the app changes.
    pub thresholds: Thresholds,
    /// From SIGTERM to the deregister.
    pub linger: Duration,
    /// From SIGTERM to SIGKILL.
    pub stop_timeout: Duration,
    /// Share of traffic.
    pub weight: Option<Weight>,
    /// Whether this is a canary.
    pub canary: bool,
    /// Free tags.
    pub tags: Tags,
    /// Where health and metrics are served, a loopback address.
    pub admin: SocketAddr,
    /// What is logged, and how.
    pub log: Log,
}

/// The log's options.
#[derive(Debug, Clone)]
pub struct Log {
    /// A filter of the `tracing` kind, such as `info` or `sds_sidecar=debug`.
    pub filter: String,
    /// One JSON object a line instead of text.
    pub json: bool,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// Keep the instance registered.
    Run(Box<Config>),
    /// Ask the sidecar that runs at this address.
    Healthcheck(SocketAddr),
}

/// Reads the command line and the environment.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, Halt> {
    let options: options::Options = command::parse(args)?;
    match options.command {
        Some(options::Subcommand::Healthcheck) if options.admin_listen.port() == 0 => {
            Err(Halt::Wrong(Misconfigured::new("SDS_ADMIN_LISTEN", "port 0 is no port to ask at")))
        }
        Some(options::Subcommand::Healthcheck) => Ok(Command::Healthcheck(options.admin_listen)),
        None => Config::new(options).map(|config| Command::Run(Box::new(config))).map_err(Halt::Wrong),
    }
}

impl Config {
    fn new(options: options::Options) -> Result<Self, Misconfigured> {
        let missing = |variable| move || Misconfigured::new(variable, "is required");
        let config = Self {
            service: options.service.ok_or_else(missing("SDS_SERVICE"))?,
            given: Given {
                host: options.host,
                port: options.port.ok_or_else(missing("SDS_PORT"))?,
                region: options.region,
                zone: options.az,
                revision: options.revision,
            },
            api: options.api_url,
            metadata: options.ecs_container_metadata_uri_v4,
            checks: options.check,
            interval: options.interval,
            timeout: options.timeout,
            thresholds: Thresholds { rise: options.rise, fall: options.fall, start_period: options.start_period },
            linger: options.linger,
            stop_timeout: options.stop_timeout,
            weight: options.weight,
            canary: options.canary,
            tags: options.tags.unwrap_or_default(),
            admin: options.admin_listen,
            log: Log { filter: options.log, json: options.log_format == options::LogFormat::Json },
        };
        config.agrees()
    }

    /// The rules that no single option can know.
    fn agrees(self) -> Result<Self, Misconfigured> {
        let wrong = |variable, reason: String| Err(Misconfigured::new(variable, reason));
        if self.interval.is_zero() {
            return wrong("SDS_INTERVAL", "must be longer than 0".into());
        }
        if self.timeout.is_zero() || self.timeout >= self.interval {
            let reason =
                format!("{:?} must be longer than 0 and shorter than SDS_INTERVAL, {:?}", self.timeout, self.interval);
            return wrong("SDS_TIMEOUT", reason);
        }
        if self.linger + BESIDES_LINGER > self.stop_timeout {
            let reason = format!(
                "{:?} and 10s for the calls around it are longer than SDS_STOP_TIMEOUT, {:?}",
                self.linger, self.stop_timeout
            );
            return wrong("SDS_LINGER", reason);
        }
        if self.admin.port() == self.given.port {
            return wrong("SDS_PORT", format!("{} is the sidecar's own port, see SDS_ADMIN_LISTEN", self.given.port));
        }
        for check in &self.checks {
            if check.port() == Some(self.admin.port()) {
                return wrong("SDS_CHECK", format!("{check} is the sidecar's own port, see SDS_ADMIN_LISTEN"));
            }
            if matches!(check.host(), Some(Host::Ip(ip)) if !ip.is_loopback() && Some(ip) != self.given.host) {
                let reason = format!("{check} is not in this task: leave the host out, or write 127.0.0.1 or SDS_HOST");
                return wrong("SDS_CHECK", reason);
            }
        }
        Ok(self)
    }

    /// What the lifecycle needs of it.
    pub fn lifecycle(&self) -> Settings {
        Settings {
            linger: self.linger,
            stop_timeout: self.stop_timeout,
            patience: self.interval + self.timeout + Duration::from_secs(1),
        }
    }
}

#[cfg(test)]
mod tests;
