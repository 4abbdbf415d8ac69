//! The options by name, type and default; `--help` prints this file, so its comments are the reference.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::{Parser, ValueEnum};
use reqwest::Url;
use sds_types::{Endpoint, Invalid, Label, Pem, Secret, command, parse_span, proof::Audience};

use super::{Service, credentials::Credentials};

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
    /// Who signs the registry's certificate, instead of the system's authorities: a PEM file, or the PEM text
    #[arg(long, env = "SDS_API_CA", value_name = "PEM")]
    pub api_ca: Option<Pem>,
    /// A certificate to show to the registry, likewise
    #[arg(long, env = "SDS_API_CERT", value_name = "PEM")]
    pub api_cert: Option<Pem>,
    /// Its key, likewise
    #[arg(long, env = "SDS_API_KEY", value_name = "PEM")]
    pub api_key: Option<Pem>,
    /// A static token to show to the registry [default: none]
    #[arg(long, env = "SDS_API_TOKEN", value_name = "TOKEN")]
    pub api_token: Option<Secret>,
    /// Proves the task's role to the registry, whose SDS_AUDIENCE this is, in place of a token [default: proves nothing]
    #[arg(long, env = "SDS_API_AUDIENCE", value_name = "NAME")]
    pub api_audience: Option<Audience>,
    /// The one service of the task.
    #[command(flatten)]
    pub service: Service,
    /// Several services of one task, as JSON, instead of the options for one
    #[arg(long, env = "SDS_CONFIG", value_name = "JSON")]
    pub config: Option<String>,
    /// The same in a file
    #[arg(long, env = "SDS_CONFIG_FILE", value_name = "FILE")]
    pub config_file: Option<PathBuf>,

    /// The IP address that clients reach the app at [default: the task's in awsvpc mode, else the host's]
    #[arg(long, env = "SDS_HOST", value_name = "IP", value_parser = host)]
    pub host: Option<IpAddr>,

    /// From the start of the drain (SIGTERM, or ECS's word before it) to the deregister, announced as DRAINING, at most
    #[arg(long, env = "SDS_LINGER", value_name = "DURATION", default_value = "15s", value_parser = parse_span)]
    pub linger: Duration,
    /// What is waited for of that once the registry says that all Envoys know: your longest usual request
    #[arg(long, env = "SDS_INFLIGHT", value_name = "DURATION", default_value = "5s", value_parser = parse_span)]
    pub inflight: Duration,
    /// The container's stopTimeout; at least the linger and 10s
    #[arg(long, env = "SDS_STOP_TIMEOUT", value_name = "DURATION", default_value = "30s", value_parser = parse_span)]
    pub stop_timeout: Duration,

    /// The region [default: the task's]
    #[arg(
        long, env = "SDS_REGION", value_name = "NAME",
        value_parser = |text: &str| Label::<64>::parse("region", text)
    )]
    pub region: Option<Label<64>>,
    /// The availability zone [default: the task's]
    #[arg(long, env = "SDS_AZ", value_name = "NAME", value_parser = |text: &str| Label::<64>::parse("az", text))]
    pub az: Option<Label<64>>,
    /// Where /livez, /readyz, /healthcheck and /metrics are served; a loopback address
    #[arg(
        long, env = "SDS_ADMIN_LISTEN", value_name = "IP:PORT", default_value = "127.0.0.1:9902",
        value_parser = loopback, global = true
    )]
    pub admin_listen: SocketAddr,
    /// What is logged: a level or a filter such as info,sds_sidecar=debug
    #[arg(long, env = "SDS_LOG", value_name = "FILTER", default_value = "info", value_parser = command::log_filter)]
    pub log: String,
    /// How it is logged
    #[arg(long, env = "SDS_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// Between two looks at the task's metadata: how soon ECS's wish to stop the task, or another port, is seen
    #[arg(
        long, env = "SDS_METADATA_INTERVAL", value_name = "DURATION", default_value = "10s", value_parser = parse_span
    )]
    pub metadata_interval: Duration,
    /// Set by ECS: where the task's metadata is
    #[arg(long, env = "ECS_CONTAINER_METADATA_URI_V4", value_name = "URL", value_parser = http_url)]
    pub ecs_container_metadata_uri_v4: Option<Url>,
    /// Set by ECS on EC2, where the agent has ECS_ENABLE_CONTAINER_METADATA: tells the host's address
    #[arg(long, env = "ECS_CONTAINER_METADATA_FILE", value_name = "FILE")]
    pub ecs_container_metadata_file: Option<PathBuf>,
    /// The EC2 instance metadata service, asked for the host's address where nothing else tells it
    #[arg(
        long, env = "AWS_EC2_METADATA_SERVICE_ENDPOINT", value_name = "URL", default_value = "http://169.254.169.254",
        value_parser = http_url
    )]
    pub aws_ec2_metadata_service_endpoint: Url,
    /// Never ask it
    #[arg(
        long, env = "AWS_EC2_METADATA_DISABLED", value_name = "BOOL", default_value = "false", value_parser = lenient,
        action = clap::ArgAction::Set
    )]
    pub aws_ec2_metadata_disabled: bool,
    /// The task role's.
    #[command(flatten)]
    pub credentials: Credentials,
}

/// The other things to do.
#[derive(Debug, clap::Subcommand)]
pub enum Subcommand {
    /// Asks the sidecar that runs in this container: exit 0 once it has registered all instances and as long as it runs
    Healthcheck,
    /// Waits for something of this task, then exits 0: for a container that another one depends on with SUCCESS
    Wait {
        /// What to wait for
        #[arg(long = "for", value_name = "WHAT")]
        what: Awaited,
        /// How long; then exit 1
        #[arg(long = "wait-timeout", env = "SDS_WAIT_TIMEOUT", value_name = "DURATION", default_value = "5m", value_parser = parse_span)]
        timeout: Duration,
        /// Envoy's admin page; a loopback address
        #[arg(
            long, env = "SDS_ENVOY_ADMIN", value_name = "IP:PORT", default_value = "127.0.0.1:9901",
            value_parser = loopback
        )]
        envoy_admin: SocketAddr,
    },
}

/// `wait --for`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Awaited {
    /// All instances of this task were registered.
    Registered,
    /// The task's Envoy is ready to serve.
    Envoy,
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
    let url: Url = text.trim().parse().map_err(|_| "is not a URL, as in http://sds.internal:8080")?;
    let plain =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    match url.scheme() {
        "http" | "https" if plain => Ok(url),
        "http" | "https" => Err("has a user, a query or a fragment, which are not used"),
        _ => Err("is not a URL of http or https"),
    }
}

/// A variable of the AWS SDKs, read as they read it.
fn lenient(text: &str) -> Result<bool, Infallible> {
    Ok(text.eq_ignore_ascii_case("true"))
}

fn host(text: &str) -> Result<IpAddr, Invalid> {
    Ok(Endpoint::parse(text, 1)?.ip())
}

fn loopback(text: &str) -> Result<SocketAddr, &'static str> {
    let address: SocketAddr = text.parse().map_err(|_| "is not ip:port, as in 127.0.0.1:9902")?;
    if address.ip().is_loopback() { Ok(address) } else { Err("is not a loopback address") }
}
