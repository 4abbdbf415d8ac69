//! The options by name, type and default; `--help` prints this file, so its comments are the reference.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use clap::{Parser, ValueEnum};
use reqwest::Url;
use sds_types::{Endpoint, Invalid, Label, Revision, ServiceName, Tags, Weight, parse_span};

use super::Check;

/// Keeps an ECS task registered while its app is fit, and drains it before it stops.
///
/// Every option is also an environment variable. Durations take 500ms, 5s, 2m, 1h or bare seconds.
#[derive(Debug, Parser)]
#[command(
    name = "sds-sidecar",
    version,
    subcommand_negates_reqs = true,
    term_width = 100,
    disable_help_subcommand = true
)]
pub struct Options {
    /// What to do instead of keeping the instance registered
    #[command(subcommand)]
    pub command: Option<Subcommand>,

    /// The registry's URLs, separated by commas; the next one is taken after a failure
    #[arg(
        long, env = "SDS_API_URL", value_name = "URL", value_delimiter = ',', required = true,
        value_parser = http_url
    )]
    pub api_url: Vec<Url>,
    /// The service to register in
    #[arg(long, env = "SDS_SERVICE", value_name = "NAME", required = true, value_parser = str::parse::<ServiceName>)]
    pub service: Option<ServiceName>,
    /// The port that clients reach the app at
    #[arg(
        long, env = "SDS_PORT", value_name = "PORT", required = true,
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    pub port: Option<u16>,
    /// The IP address that clients reach the app at [default: from the ECS metadata, in awsvpc mode]
    #[arg(long, env = "SDS_HOST", value_name = "IP", value_parser = host)]
    pub host: Option<IpAddr>,

    /// Checks that must all pass, separated by commas: http://:8080/health (200 to 299 passes), tcp://:8080
    #[arg(
        long, env = "SDS_CHECK", value_name = "CHECK", value_delimiter = ',', required = true,
        value_parser = str::parse::<Check>
    )]
    pub check: Vec<Check>,
    /// From one probe to the next
    #[arg(long, env = "SDS_INTERVAL", value_name = "DURATION", default_value = "2s", value_parser = parse_span)]
    pub interval: Duration,
    /// For one whole probe; shorter than the interval
    #[arg(long, env = "SDS_TIMEOUT", value_name = "DURATION", default_value = "1s", value_parser = parse_span)]
    pub timeout: Duration,
    /// Passes in a row that make an unhealthy app healthy; the first one after the start registers at once
    #[arg(
        long, env = "SDS_RISE", value_name = "N", default_value = "2",
        value_parser = clap::value_parser!(u32).range(1..=1000)
    )]
    pub rise: u32,
    /// Failures in a row that make a healthy app unhealthy
    #[arg(
        long, env = "SDS_FALL", value_name = "N", default_value = "3",
        value_parser = clap::value_parser!(u32).range(1..=1000)
    )]
    pub fall: u32,
    /// How long failures before the first pass do not count
    #[arg(long, env = "SDS_START_PERIOD", value_name = "DURATION", default_value = "60s", value_parser = parse_span)]
    pub start_period: Duration,

    /// From SIGTERM to the deregister, announced as DRAINING
    #[arg(long, env = "SDS_LINGER", value_name = "DURATION", default_value = "15s", value_parser = parse_span)]
    pub linger: Duration,
    /// The container's stopTimeout; at least the linger and 10s
    #[arg(long, env = "SDS_STOP_TIMEOUT", value_name = "DURATION", default_value = "30s", value_parser = parse_span)]
    pub stop_timeout: Duration,

    /// Share of the service's traffic, 1 to 100 [default: unset, which Envoy takes for 1]
    #[arg(long, env = "SDS_WEIGHT", value_name = "N", value_parser = weight)]
    pub weight: Option<Weight>,
    /// Marks a canary
    #[arg(long, env = "SDS_CANARY", value_name = "BOOL", default_value = "false", action = clap::ArgAction::Set)]
    pub canary: bool,
    /// What runs [default: the task definition's family:revision]
    #[arg(
        long, env = "SDS_REVISION", value_name = "TEXT",
        value_parser = |text: &str| Revision::parse("revision", text)
    )]
    pub revision: Option<Revision>,
    /// The region [default: the task's]
    #[arg(
        long, env = "SDS_REGION", value_name = "NAME",
        value_parser = |text: &str| Label::<64>::parse("region", text)
    )]
    pub region: Option<Label<64>>,
    /// The availability zone [default: the task's]
    #[arg(long, env = "SDS_AZ", value_name = "NAME", value_parser = |text: &str| Label::<64>::parse("az", text))]
    pub az: Option<Label<64>>,
    /// Free tags: k=v,k=v
    #[arg(long, env = "SDS_TAGS", value_name = "TAGS", value_parser = tags)]
    pub tags: Option<Tags>,

    /// Where /livez, /readyz, /healthcheck and /metrics are served; a loopback address
    #[arg(
        long, env = "SDS_ADMIN_LISTEN", value_name = "IP:PORT", default_value = "127.0.0.1:9902",
        value_parser = loopback, global = true
    )]
    pub admin_listen: SocketAddr,
    /// What is logged: a level or a filter such as info,sds_sidecar=debug
    #[arg(long, env = "SDS_LOG", value_name = "FILTER", default_value = "info", value_parser = filter)]
    pub log: String,
    /// How it is logged
    #[arg(long, env = "SDS_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// Set by ECS: where the task's metadata is
    #[arg(long, env = "ECS_CONTAINER_METADATA_URI_V4", value_name = "URL", value_parser = http_url)]
    pub ecs_container_metadata_uri_v4: Option<Url>,
}

/// The other things to do.
#[derive(Debug, clap::Subcommand)]
pub enum Subcommand {
    /// Asks the sidecar that runs in this container: exit 0 once it has registered the instance and as long as it runs
    Healthcheck,
}

/// `SDS_LOG_FORMAT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

fn http_url(text: &str) -> Result<Url, &'static str> {
    let url: Url = text.parse().map_err(|_| "is not a URL, as in http://sds.internal:8080")?;
    let plain =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    match url.scheme() {
        "http" | "https" if plain => Ok(url),
        "http" | "https" => Err("has a user, a query or a fragment, which are not used"),
        _ => Err("is not a URL of http or https"),
    }
}

fn host(text: &str) -> Result<IpAddr, Invalid> {
    Ok(Endpoint::parse(text, 1)?.ip())
}

fn weight(text: &str) -> Result<Weight, String> {
    let number = text.parse::<i64>().map_err(|_| "is not a weight: an integer from 1 to 100".to_owned())?;
    Weight::try_from(number).map_err(|error| error.to_string())
}

fn tags(text: &str) -> Result<Tags, String> {
    let mut tags = BTreeMap::new();
    for pair in text.split(',').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or("is not k=v,k=v")?;
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(format!("the tag '{}' is there twice", key.escape_debug()));
        }
    }
    Tags::parse(tags).map_err(|error| error.to_string())
}

fn loopback(text: &str) -> Result<SocketAddr, &'static str> {
    let address: SocketAddr = text.parse().map_err(|_| "is not ip:port, as in 127.0.0.1:9902")?;
    if address.ip().is_loopback() { Ok(address) } else { Err("is not a loopback address: metrics have no other guard") }
}

fn filter(text: &str) -> Result<String, String> {
    tracing_subscriber::EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}
