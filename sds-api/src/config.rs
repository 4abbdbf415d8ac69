//! What can be configured, and what is refused at the start.
//!
//! Each option is a flag and an environment variable, because ECS configures by environment. The ancestors' names
//! (`PORT`, `DDB_TABLE`, `HOST_TTL`, `DDB_TIMEOUT_SEC`) work, so that a task definition can keep them. A bad value is one
//! line that names the variable, and exit 64.

mod auth;
mod tls;

use std::{
    ffi::OsString,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::{ArgAction::Set, Parser, ValueEnum};
use ipnet::IpNet;
use sds_types::{
    command::{self, Halt, Misconfigured},
    parse_span,
};

use auth::Auth;
use tls::Tls;

use crate::{
    ecs::Clusters,
    keepsake::Peers,
    listener::Listener,
    registry::{Leases, Snapshots},
    server::Limits,
    tools::Tool,
};

/// Where registrations are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StoreKind {
    /// In this process, in a file.
    #[cfg(feature = "embedded")]
    Embedded,
    /// In a DynamoDB table.
    Dynamodb,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// Service registry for Amazon ECS: answers Envoy, keeps registrations in DynamoDB.
///
/// Every option is also an environment variable. Durations take 500ms, 5s, 2m, 1h or bare seconds.
#[derive(Debug, Clone, Parser)]
#[command(name = "sds-api", version, term_width = 110)]
pub struct Config {
    /// Something else than to serve.
    #[command(subcommand)]
    pub tool: Option<Tool>,
    /// Address and port to listen on [default: 127.0.0.1:8080]
    #[arg(long, env = "SDS_LISTEN", value_parser = ip_port, value_name = "IP:PORT")]
    pub listen: Option<SocketAddr>,
    /// cookpad/sds's name: a port on all addresses; needs SDS_POLICY or SDS_ALLOW_OPEN_WRITES=true
    #[arg(long, env = "PORT", value_name = "N")]
    pub port: Option<u16>,
    /// Accept registrations from anybody who reaches an address that is not loopback
    #[arg(long, env = "SDS_ALLOW_OPEN_WRITES", action = Set, default_value = "false", value_name = "BOOL")]
    pub allow_open_writes: bool,
    /// Who may register what.
    #[command(flatten)]
    pub auth: Auth,
    /// Where registrations are kept [default: dynamodb if DDB_TABLE is set or nothing else is compiled in, else embedded]
    #[arg(long, env = "SDS_STORE")]
    pub store: Option<StoreKind>,
    /// File of the embedded store, or `:memory:`
    #[arg(long, env = "SDS_DATA", default_value = "sds-data.sqlite", value_name = "FILE")]
    pub data: String,
    /// Name of the table [default: sds]
    #[arg(long, env = "DDB_TABLE", value_name = "NAME")]
    pub ddb_table: Option<String>,
    /// Create the table with its TTL if it does not exist (always done in the embedded store)
    #[arg(long, env = "SDS_CREATE_TABLE", action = Set, default_value = "false", value_name = "BOOL")]
    pub create_table: bool,
    /// How long a sidecar's registration lives without a heartbeat; heartbeats are asked for three times as often
    #[arg(long, env = "SDS_LEASE", default_value = "30s", value_parser = parse_span, value_name = "SPAN")]
    pub lease: Duration,
    /// How long a registration by a legacy client lives
    #[arg(long, env = "HOST_TTL", default_value = "120s", value_parser = parse_span, value_name = "SPAN")]
    pub host_ttl: Duration,
    /// How long many that fall silent together are held in the answers
    #[arg(long, env = "SDS_HOLD_MAX", default_value = "60m", value_parser = parse_span, value_name = "SPAN")]
    pub hold_max: Duration,
    /// Time between two full reads of the table, which repair what was missed
    #[arg(long, env = "SDS_FULL_READ", default_value = "120s", value_parser = parse_span, value_name = "SPAN")]
    pub full_read: Duration,
    /// File that keeps what is in service, for a start while the store is away [default: none]
    #[arg(long, env = "SDS_SNAPSHOT", value_name = "FILE")]
    pub snapshot: Option<PathBuf>,
    /// How old a snapshot may be that is served while the store is away
    #[arg(long, env = "SDS_SNAPSHOT_MAX_AGE", default_value = "24h", value_parser = parse_span, value_name = "SPAN")]
    pub snapshot_max_age: Duration,
    /// Sibling replicas to ask for a snapshot then, where registrations come in: `http://host:port` or https, comma-separated,
    /// or a name with a port, of which every address is one
    #[arg(long, env = "SDS_PEERS", default_value = "", value_name = "LIST")]
    pub peers: Peers,
    /// Longest wait for one call of the store; a call made for a request waits at most 0.8 s
    #[arg(long, env = "DDB_TIMEOUT_SEC", default_value = "1", value_parser = parse_span, value_name = "SPAN")]
    pub ddb_timeout_sec: Duration,
    /// Whether v1 lists unhealthy instances when a service has no other
    #[arg(long, env = "SDS_FAIL_OPEN", action = Set, default_value = "true", value_name = "BOOL")]
    pub fail_open: bool,
    /// The environment's name in v1 answers
    #[arg(long, env = "SDS_ENV", default_value = "production", value_name = "NAME")]
    pub env: String,
    /// Whether loopback addresses may be registered [default: only when registrations come in on loopback]
    #[arg(long, env = "SDS_ALLOW_LOOPBACK", action = Set, value_name = "BOOL")]
    pub allow_loopback: Option<bool>,
    /// Networks whose addresses may be registered, comma-separated; empty allows any. Loopback is judged apart
    #[arg(long, env = "SDS_CIDRS", default_value = "", value_name = "LIST")]
    pub cidrs: Networks,
    /// Networks of load balancers that may say by PROXY protocol v2 for whom they speak, comma-separated. Peers there have
    /// no rate of their own
    #[arg(long, env = "SDS_TRUSTED_PROXIES", default_value = "", value_name = "LIST")]
    pub trusted_proxies: Networks,
    /// Writes a second that one address (an IPv6 /64) may send, twice as many at once; 0 is any number
    #[arg(long, env = "SDS_RATE_WRITES", default_value = "1000", value_name = "N")]
    pub rate_writes: u32,
    /// The same for polls and other reads
    #[arg(long, env = "SDS_RATE_READS", default_value = "0", value_name = "N")]
    pub rate_reads: u32,
    /// How many connections a listener serves at once; beyond it the idlest ones are closed
    #[arg(long, env = "SDS_CONNECTIONS", default_value = "12000", value_name = "N")]
    pub connections: usize,
    /// After this and up to as much again, a connection is asked to go, so that keep-alives spread over replicas
    #[arg(long, env = "SDS_CONNECTION_AGE", default_value = "5m", value_parser = parse_span, value_name = "SPAN")]
    pub connection_age: Duration,
    /// Address and port for registrations alone, and what replicas ask each other, which SDS_LISTEN then does not serve
    /// [default: SDS_LISTEN serves them]
    #[arg(long, env = "SDS_WRITE_LISTEN", value_parser = ip_port, value_name = "IP:PORT")]
    pub write_listen: Option<SocketAddr>,
    /// The same for operators: metrics, events, clients, overrides, and lists, which SDS_LISTEN serves too
    #[arg(long, env = "SDS_ADMIN_LISTEN", value_parser = ip_port, value_name = "IP:PORT")]
    pub admin_listen: Option<SocketAddr>,
    /// Address and port for discovery streams alone, which SDS_LISTEN then does not serve; health answers there too [default:
    /// SDS_LISTEN serves them]
    #[arg(long, env = "SDS_XDS_LISTEN", value_parser = ip_port, value_name = "IP:PORT")]
    pub xds_listen: Option<SocketAddr>,
    /// TLS on the listeners.
    #[command(flatten)]
    pub tls: Tls,
    /// Where a gateway Envoy is to listen, whose hosts are the names of all services; told to who asks for all listeners
    #[arg(long, env = "SDS_XDS_GATEWAY", value_name = "IP:PORT")]
    pub xds_gateway: Option<SocketAddr>,
    /// Clusters whose tasks ECS is asked about, names or ARNs, comma-separated; empty asks nothing [default: none]
    #[arg(long, env = "SDS_ECS_CLUSTERS", default_value = "", hide_default_value = true, value_name = "LIST")]
    pub ecs_clusters: Clusters,
    /// How often ECS is asked about every registered task of theirs, by all replicas together
    #[arg(long, env = "SDS_ECS_INTERVAL", default_value = "10s", value_parser = parse_span, value_name = "SPAN")]
    pub ecs_interval: Duration,
    /// Calls of ECS a second that this replica may make, twice as many at once; the account's own limit is 20, 100 at once
    #[arg(long, env = "SDS_ECS_RATE", default_value = "3", value_name = "N")]
    pub ecs_rate: u32,
    /// Time between SIGTERM (not ready, connections end with their next answer) and the close of the listeners
    #[arg(long, env = "SDS_SHUTDOWN_DELAY", default_value = "0s", value_parser = parse_span, value_name = "SPAN")]
    pub shutdown_delay: Duration,
    /// Which log lines are written: a level, or `target=level,..`
    #[arg(long, env = "SDS_LOG", default_value = "info", value_name = "FILTER", value_parser = command::log_filter)]
    pub log: String,
    /// How log lines look
    #[arg(long, env = "SDS_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

fn ip_port(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("'{}' is not ip:port, as in 127.0.0.1:8080", text.escape_debug()))
}

/// A comma list of networks.
#[derive(Debug, Clone, Default)]
pub struct Networks(pub Vec<IpNet>);

impl std::str::FromStr for Networks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let networks = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let parsed =
            networks.map(|part| part.parse().map_err(|_| format!("'{part}' is not a network like 10.0.0.0/8")));
        parsed.collect::<Result<_, _>>().map(Self)
    }
}

impl Config {
    /// Reads flags and environment; the first argument is the program's name.
    pub fn read(args: impl IntoIterator<Item = OsString>) -> Result<Self, Halt> {
        let config: Self = command::parse(args)?;
        if config.tool.is_none() {
            config.check().map_err(Halt::Wrong)?;
        }
        Ok(config)
    }

    fn check(&self) -> Result<(), Misconfigured> {
        let least = [
            ("SDS_LEASE", self.lease, Duration::from_millis(300)),
            ("HOST_TTL", self.host_ttl, Duration::from_millis(300)),
            ("SDS_FULL_READ", self.full_read, Duration::from_millis(50)),
            ("DDB_TIMEOUT_SEC", self.ddb_timeout_sec, Duration::from_millis(10)),
            ("SDS_CONNECTION_AGE", self.connection_age, Duration::from_secs(1)),
            ("SDS_ECS_INTERVAL", self.ecs_interval, Duration::from_millis(100)),
        ];
        for (name, value, least) in least {
            if value < least {
                return Err(Misconfigured::new(name, format!("{value:?} is too short, the least is {least:?}")));
            }
        }
        if let Some(file) = &self.snapshot
            && !file.parent().is_some_and(|folder| folder.as_os_str().is_empty() || folder.is_dir())
        {
            return Err(Misconfigured::new("SDS_SNAPSHOT", format!("there is no folder for {}", file.display())));
        }
        if self.connections == 0 {
            return Err(Misconfigured::new("SDS_CONNECTIONS", "0 connections serve nobody"));
        }
        if self.ecs_rate == 0 {
            return Err(Misconfigured::new(
                "SDS_ECS_RATE",
                "0 calls tell nothing; leave SDS_ECS_CLUSTERS empty instead",
            ));
        }
        self.auth.check(self.lease)?;
        let listeners = self.listeners();
        for (nth, (at, addr)) in listeners.iter().enumerate() {
            let taken = |(_, other): &&(Listener, SocketAddr)| other == addr && addr.port() != 0;
            if let Some((other, _)) = listeners.iter().take(nth).find(taken) {
                let reason = format!("{addr} is the address of {} already", other.variable());
                return Err(Misconfigured::new(at.variable(), reason));
            }
        }
        let (at, writes) = self.writes_at();
        let open: Vec<_> = listeners.iter().map(|(at, _)| *at).collect();
        self.tls.check(&open, at, self.peers.are_secure())?;
        if self.auth.policy.is_none() && !self.allows_open() {
            let port = at == Listener::Main && self.listen.is_none();
            let reason = format!(
                "{writes} is not loopback and writes are open to all who reach it; \
                 say in SDS_POLICY who may register, set SDS_TLS_CLIENT_CA, or SDS_ALLOW_OPEN_WRITES=true if the network alone decides"
            );
            return Err(Misconfigured::new(if port { "PORT" } else { at.variable() }, reason));
        }
        Ok(())
    }

    /// Names of the ancestors that were set beside ours, which win. The same port is no contradiction: images set one.
    pub fn warnings(&self) -> Vec<&'static str> {
        let contradicted = self.listen.zip(self.port).is_some_and(|(listen, port)| listen.port() != port);
        if contradicted { vec!["PORT is ignored, SDS_LISTEN is set"] } else { vec![] }
    }

    /// Where to listen, the main one first.
    pub fn listeners(&self) -> Vec<(Listener, SocketAddr)> {
        let addrs = [Some(self.listen_addr()), self.write_listen, self.admin_listen, self.xds_listen];
        Listener::ALL.into_iter().zip(addrs).filter_map(|(at, addr)| Some((at, addr?))).collect()
    }

    /// Where registrations come in.
    pub fn writes_at(&self) -> (Listener, SocketAddr) {
        match self.write_listen {
            Some(addr) => (Listener::Write, addr),
            None => (Listener::Main, self.listen_addr()),
        }
    }

    fn listen_addr(&self) -> SocketAddr {
        match (self.listen, self.port) {
            (Some(listen), _) => listen,
            (None, Some(port)) => SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port),
            (None, None) => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
        }
    }

    /// Where registrations are kept.
    pub fn store_kind(&self) -> StoreKind {
        match self.store {
            Some(kind) => kind,
            #[cfg(feature = "embedded")]
            None if self.ddb_table.is_none() => StoreKind::Embedded,
            None => StoreKind::Dynamodb,
        }
    }

    /// The table's name.
    pub fn table(&self) -> String {
        self.ddb_table.clone().unwrap_or_else(|| "sds".into())
    }

    /// Whether loopback addresses may be registered.
    pub fn allows_loopback(&self) -> bool {
        self.allow_loopback.unwrap_or(self.writes_at().1.ip().is_loopback())
    }

    /// Whether registrations may be open to all who reach the registry.
    pub fn allows_open(&self) -> bool {
        self.allow_open_writes || self.tls.tls_client_ca.is_some() || self.writes_at().1.ip().is_loopback()
    }

    /// Where a snapshot is looked for.
    pub fn snapshots(&self) -> Result<Snapshots, Misconfigured> {
        let peers = self.peers.clone().trusting(self.tls.peers()?).showing(self.auth.peers_token.as_ref());
        Ok(Snapshots { file: self.snapshot.clone(), max_age: self.snapshot_max_age, peers })
    }

    /// What connections are held to.
    pub fn limits(&self) -> Limits {
        Limits { connections: self.connections, age: self.connection_age, trusted: self.trusted_proxies.0.clone() }
    }

    /// The leases.
    pub fn leases(&self) -> Leases {
        Leases { native: self.lease, legacy: self.host_ttl, hold: self.hold_max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Result<Config, Halt> {
        Config::read(std::iter::once("sds-api").chain(args.iter().copied()).map(OsString::from))
    }

    /// Registrations at an address of their own, with clients' certificates.
    const SEPARATE: [&str; 8] =
        ["--write-listen", "127.0.0.1:1", "--tls-cert", "c", "--tls-key", "k", "--tls-client-ca", "a"];

    #[test]
    fn bad_values_name_their_variable() {
        for (args, name) in [
            (&["--listen", "localhost"][..], "SDS_LISTEN"),
            (&["--listen", "0.0.0.0:80"], "SDS_LISTEN"),
            (&["--xds-listen", "8081"], "SDS_XDS_LISTEN"),
            (&["--admin-listen", "localhost:1"], "SDS_ADMIN_LISTEN"),
            (&["--write-listen", "0.0.0.0:80"], "SDS_WRITE_LISTEN"),
            (&["--write-listen", "127.0.0.1:8080"], "SDS_WRITE_LISTEN"),
            (&["--xds-listen", "127.0.0.1:1", "--admin-listen", "127.0.0.1:1"], "SDS_XDS_LISTEN"),
            (&["--port", "8080"], "PORT"),
            (&["--port", "x"], "PORT"),
            (&["--store", "etcd"], "SDS_STORE"),
            (&["--lease", "0"], "SDS_LEASE"),
            (&["--lease", "soon"], "SDS_LEASE"),
            (&["--fail-open", "yes"], "SDS_FAIL_OPEN"),
            (&["--audience", "a b"], "SDS_AUDIENCE"),
            (&["--audience", "sds"], "SDS_TOKEN_KEYS"),
            (&["--aws-endpoint-url-sts", "127.0.0.1:1"], "AWS_ENDPOINT_URL_STS"),
            (&["--audience", "sds", "--token-keys", "k1:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"], "SDS_POLICY"),
            (&["--token-keys", "k:short"], "SDS_TOKEN_KEYS"),
            (&["--token-ttl", "1s"], "SDS_TOKEN_TTL"),
            (&["--cidrs", "10.0.0.0/33"], "SDS_CIDRS"),
            (&["--trusted-proxies", "10.0.0.1"], "SDS_TRUSTED_PROXIES"),
            (&["--rate-writes=-1"], "SDS_RATE_WRITES"),
            (&["--rate-reads", "1/s"], "SDS_RATE_READS"),
            (&["--connections", "0"], "SDS_CONNECTIONS"),
            (&["--connection-age", "0"], "SDS_CONNECTION_AGE"),
            (&["--ecs-clusters", "a/b"], "SDS_ECS_CLUSTERS"),
            (&["--ecs-interval", "0"], "SDS_ECS_INTERVAL"),
            (&["--ecs-rate", "0"], "SDS_ECS_RATE"),
            (&["--peers", "https://a:1"], "SDS_PEERS_CA"),
            (&["--peers", "http://a:1", "--peers-ca", "c"], "SDS_PEERS_CA"),
            (&["--tls-cert", "c"], "SDS_TLS_KEY"),
            (&["--tls-key", "k"], "SDS_TLS_CERT"),
            (&["--tls-listeners", "main"], "SDS_TLS_LISTENERS"),
            (&["--tls-cert", "c", "--tls-key", "k", "--tls-listeners", "all"], "SDS_TLS_LISTENERS"),
            (&["--tls-cert", "c", "--tls-key", "k", "--tls-listeners", "main,xds"], "SDS_TLS_LISTENERS"),
            (&["--tls-client-ca", "a"], "SDS_TLS_CLIENT_CA"),
            (&[&SEPARATE[..], &["--tls-listeners", "main"]].concat(), "SDS_TLS_CLIENT_CA"),
            (&["--log", "sds_api=loud"], "SDS_LOG"),
            (&["--log", "inof"], "SDS_LOG"),
            (&["--peers", "sds.internal"], "SDS_PEERS"),
            (&["--snapshot-max-age", "long"], "SDS_SNAPSHOT_MAX_AGE"),
            (&["--snapshot", "/no/such/place/snapshot"], "SDS_SNAPSHOT"),
        ] {
            let Err(Halt::Wrong(wrong)) = read(args) else { panic!("{args:?} was accepted") };
            assert_eq!((wrong.variable.as_str(), wrong.reason.lines().count()), (name, 1), "{args:?}: {wrong}");
        }
    }

    #[test]
    fn loopback_may_be_registered_only_where_it_is_listened_on() {
        assert!(read(&[]).unwrap().allows_loopback());
        assert!(!read(&["--port", "80", "--allow-open-writes", "true"]).unwrap().allows_loopback());
    }

    #[test]
    fn an_ancestors_name_that_says_something_else_is_told() {
        let warnings = |args: &[&str]| read(args).unwrap().warnings().len();
        assert_eq!(warnings(&["--listen", "127.0.0.1:80", "--port", "8080"]), 1);
        assert_eq!(warnings(&["--listen", "127.0.0.1:8080", "--port", "8080"]), 0);
        assert_eq!(warnings(&["--port", "80", "--allow-open-writes", "true"]), 0);
    }

    #[test]
    fn what_counts_is_where_registrations_come_in() {
        let apart = read(&["--listen", "0.0.0.0:80", "--write-listen", "127.0.0.1:81"]).unwrap();
        assert!(apart.allows_loopback());
        assert!(read(&["--admin-listen", "0.0.0.0:80"]).is_ok());
        let open = ["--write-listen", "0.0.0.0:80", "--allow-open-writes", "true"];
        assert!(!read(&open).unwrap().allows_loopback());
        let certified = ["--listen", "0.0.0.0:80", "--tls-cert", "c", "--tls-key", "k", "--tls-client-ca", "a"];
        assert!(read(&certified).is_ok(), "registrations are not open to all");
        assert!(read(&[&SEPARATE[..], &["--tls-listeners", "write"]].concat()).is_ok());
    }

    #[test]
    fn the_manual_names_every_option_and_its_default() {
        let manual = include_str!("../README.md");
        for arg in <Config as clap::CommandFactory>::command().get_arguments() {
            let Some(name) = arg.get_env().map(|name| name.to_string_lossy()) else { continue };
            let mut lines = manual.lines().filter(|line| line.contains(&format!("`{name}`")));
            let default = arg.get_default_values().first().map(|value| value.to_string_lossy()).unwrap_or_default();
            let told = lines.any(|line| default.is_empty() || line.contains(&format!("`{default}`")));
            assert!(told, "{name}, by default '{default}'");
        }
    }

    #[test]
    fn help_is_the_reference() {
        let Err(Halt::Shown(help)) = read(&["--help"]) else { panic!("no help") };
        insta::assert_snapshot!(help);
    }
}
