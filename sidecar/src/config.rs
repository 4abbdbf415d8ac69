//! What the sidecar is told to do, checked as a whole before anything starts.
//!
//! Each option is a flag and an environment variable, because ECS configures by environment (`config/options` names
//! them, `probe/check` reads the checks). A mistake is one line that names the variable, and exit 64: a task
//! definition is wrong until somebody edits it, so trying again would only hide it. One service is said by variables
//! (`config/service`), several by JSON (`config/file`); both end as the same instances.

use std::{ffi::OsString, net::SocketAddr, time::Duration};

use reqwest::Url;
use sds_types::{
    Secret, ServiceName, Weight, command,
    command::{Halt, Misconfigured},
};

use crate::{
    aws::credentials::Source,
    client::{Authorization, Shows, Trust},
    health::Thresholds,
    identity::{Given, Wants, watch::Places},
    lifecycle::Settings,
    probe::check::{Check, Host},
};

mod credentials;
mod file;
mod options;
mod read;
mod service;

pub use options::Awaited;
pub use service::Service;

/// The drain's own calls, before and after the linger, and the end of the process.
const BESIDES_LINGER: Duration = Duration::from_secs(10);

/// A valid configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The registry's replicas or load balancers, tried in turn.
    pub api: Vec<Url>,
    /// What is shown to the registry.
    pub shows: Shows,
    /// Whom those of https are believed.
    pub trust: Trust,
    /// Where the credentials of that role are.
    pub credentials: Source,
    /// What the variables say about the task.
    pub given: Given,
    /// Where the documents are that tell the rest.
    pub places: Places,
    /// One for each service and port, at least one.
    pub instances: Vec<Instance>,
    /// From the start of the drain to the deregister, at most.
    pub linger: Duration,
    /// What requests may take that were sent before everybody knew of the drain.
    pub inflight: Duration,
    /// From SIGTERM to SIGKILL.
    pub stop_timeout: Duration,
    /// Where health and metrics are served, a loopback address.
    pub admin: SocketAddr,
    /// What is logged, and how.
    pub log: Log,
    form: Form,
}

/// One service that the task is an instance of.
#[derive(Debug, Clone)]
pub struct Instance {
    /// The service to register in.
    pub service: ServiceName,
    /// What the variables say about its identity.
    pub wants: Wants,
    /// All must pass; at least one.
    pub checks: Vec<Check>,
    /// From the start of one probe to the start of the next.
    pub interval: Duration,
    /// For one whole probe.
    pub timeout: Duration,
    /// When the belief about the app changes.
    pub thresholds: Thresholds,
    /// How long it stays registered while unhealthy.
    pub deregister_after: Option<Duration>,
    /// Share of traffic.
    pub weight: Option<Weight>,
    /// Whether this is a canary.
    pub canary: bool,
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
    /// Wait for the sidecar at this address, or for an Envoy at its own.
    Wait(Awaited, SocketAddr, Duration),
}

/// Variables that look like ours and are not.
pub fn unknown_variables() -> Vec<String> {
    command::unknown_variables::<options::Options>()
}

/// Reads the command line and the environment.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, Halt> {
    let options: options::Options = command::parse(args)?;
    let admin = Some(options.admin_listen).filter(|address| address.port() != 0);
    let admin = admin.ok_or_else(|| Misconfigured::new("SDS_ADMIN_LISTEN", "port 0 is no port to ask at"));
    let command = match options.command {
        Some(options::Subcommand::Healthcheck) => admin.map(Command::Healthcheck),
        Some(options::Subcommand::Wait { what: Awaited::Envoy, timeout, envoy_admin }) => {
            Ok(Command::Wait(Awaited::Envoy, envoy_admin, timeout))
        }
        Some(options::Subcommand::Wait { what, timeout, .. }) => admin.map(|at| Command::Wait(what, at, timeout)),
        None => Config::new(options).map(|config| Command::Run(Box::new(config))),
    };
    command.map_err(Halt::Wrong)
}

impl Config {
    fn new(options: options::Options) -> Result<Self, Misconfigured> {
        let (form, instances) = instances(&options)?;
        let asks_ecs = instances.iter().filter(|instance| instance.checks.iter().any(|check| check.host().is_none()));
        let config = Self {
            trust: Trust::new(&options.api_url, options.api_ca, options.api_cert, options.api_key)?,
            api: options.api_url,
            credentials: match options.api_audience {
                Some(_) => options.credentials.source()?,
                None => Source::Nowhere,
            },
            shows: match (options.api_token, options.api_audience) {
                (None, None) => Shows::Nothing,
                (None, Some(audience)) => Shows::Role(audience),
                (Some(token), None) => Shows::Token(plain(token)?),
                (Some(_), Some(_)) => {
                    let reason = "is set together with SDS_API_AUDIENCE: a token or the task's role";
                    return Err(Misconfigured::new("SDS_API_TOKEN", reason));
                }
            },
            given: Given { host: options.host, region: options.region, zone: options.az },
            places: Places {
                metadata: options.ecs_container_metadata_uri_v4,
                file: options.ecs_container_metadata_file,
                imds: Some(options.aws_ec2_metadata_service_endpoint).filter(|_| !options.aws_ec2_metadata_disabled),
                interval: asks_ecs.map(|instance| instance.interval).fold(options.metadata_interval, Duration::min),
            },
            instances,
            linger: options.linger,
            inflight: options.inflight,
            stop_timeout: options.stop_timeout,
            admin: options.admin_listen,
            log: Log { filter: options.log, json: options.log_format == options::LogFormat::Json },
            form,
        };
        if config.places.interval.is_zero() {
            return Err(Misconfigured::new("SDS_METADATA_INTERVAL", "must be longer than 0"));
        }
        if config.linger + BESIDES_LINGER > config.stop_timeout {
            let (linger, stop_timeout) = (config.linger, config.stop_timeout);
            let reason = format!(
                "{linger:?} and 10s for the calls around it are longer than SDS_STOP_TIMEOUT, {stop_timeout:?}"
            );
            return Err(Misconfigured::new("SDS_LINGER", reason));
        }
        for nth in 0..config.instances.len() {
            config.fits(nth).map_err(|wrong| config.misconfigured(nth, wrong))?;
        }
        Ok(config)
    }

    /// The rules for one instance that it cannot know alone.
    fn fits(&self, nth: usize) -> Result<(), Wrong> {
        let (before, from) = self.instances.split_at(nth);
        let Some(Instance { service, wants, checks, .. }) = from.first() else { return Ok(()) };
        let port = wants.port;
        if before.iter().any(|other| other.service == *service && other.wants.port == port) {
            return Err(("service", format!("{service} with port {port} is there twice")));
        }
        if port == self.admin.port() {
            return Err(("port", format!("{port} is the sidecar's own port, see SDS_ADMIN_LISTEN")));
        }
        for check in checks {
            let wrong = |reason: &str| Err(("check", format!("{check} {reason}")));
            if check.port() == Some(self.admin.port()) {
                return wrong("is the sidecar's own port, see SDS_ADMIN_LISTEN");
            }
            match check.host() {
                Some(Host::Ip(ip)) if !ip.is_loopback() && Some(ip) != self.given.host => {
                    return wrong("is not in this task: leave the host out, or write 127.0.0.1 or SDS_HOST");
                }
                None if self.places.metadata.is_none() => {
                    return wrong("asks ECS, and ECS_CONTAINER_METADATA_URI_V4 is not set");
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What is wrong with the `nth` instance, named as it was written.
    pub fn misconfigured(&self, nth: usize, wrong: Wrong) -> Misconfigured {
        self.form.misconfigured(nth, wrong)
    }

    /// With what the calls for one of its instances show that they may be made.
    pub fn authorization(&self) -> Result<Authorization, reqwest::Error> {
        Authorization::new(self.shows.clone(), self.credentials.clone())
    }

    /// What the lifecycle of one of its instances needs.
    pub fn lifecycle(&self, instance: &Instance) -> Settings {
        Settings {
            linger: self.linger,
            inflight: self.inflight,
            stop_timeout: self.stop_timeout,
            deregister_after: instance.deregister_after,
            patience: instance.interval + instance.timeout + Duration::from_secs(1),
        }
    }
}

/// A token that fits into a header; the mistake does not repeat it.
fn plain(token: Secret) -> Result<Secret, Misconfigured> {
    let text = token.reveal();
    if text.len() <= 4096 && text.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(token);
    }
    Err(Misconfigured::new("SDS_API_TOKEN", "is not one word of at most 4096 printable characters"))
}

/// What is wrong with a service: the field, and the reason.
pub type Wrong = (&'static str, String);

/// In which form the services were said, so that a mistake is named as it was written.
#[derive(Debug, Clone, Copy)]
enum Form {
    Variables,
    Json(&'static str),
}

impl Form {
    fn misconfigured(self, nth: usize, (field, reason): Wrong) -> Misconfigured {
        match self {
            Self::Variables => Misconfigured::new(format!("SDS_{}", field.to_uppercase()), reason),
            Self::Json(variable) => Misconfigured::new(variable, format!("services[{nth}].{field}: {reason}")),
        }
    }
}

/// The services in the one form that was used.
fn instances(options: &options::Options) -> Result<(Form, Vec<Instance>), Misconfigured> {
    const TEXT: &str = "SDS_CONFIG";
    const FILE: &str = "SDS_CONFIG_FILE";
    let both = |one, other| Err(Misconfigured::new(one, format!("is set together with {other}: one of them")));
    let (form, services) = match (&options.config, &options.config_file, options.service.said()) {
        (Some(_), Some(_), _) => return both(TEXT, FILE),
        (Some(_), _, Some(other)) => return both(TEXT, other),
        (_, Some(_), Some(other)) => return both(FILE, other),
        (Some(text), ..) => (Form::Json(TEXT), file::parse(text).map_err(|reason| Misconfigured::new(TEXT, reason))?),
        (_, Some(path), _) => (Form::Json(FILE), file::read(path).map_err(|reason| Misconfigured::new(FILE, reason))?),
        (None, None, _) => (Form::Variables, vec![options.service.clone()]),
    };
    let numbered = services.into_iter().enumerate();
    let instances = numbered.map(|(nth, service)| service.instance().map_err(|wrong| form.misconfigured(nth, wrong)));
    Ok((form, instances.collect::<Result<_, _>>()?))
}

#[cfg(test)]
mod tests;
