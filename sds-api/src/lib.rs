//! The registry: instances register over HTTP, their rows live in DynamoDB, and Envoys are answered from memory.
//!
//! ```text
//!   sidecars --> http --> registry -- conditional writes --> store (DynamoDB)
//!                            |   ^                               |
//!                            |   '------- sync: full reads <-----'
//!                            v
//!   Envoys  <-- http <-- render <-- view <-- snapshot (immutable, watched)
//!           <== xds <-----'
//!              '-- who knows of a drain --> drains --> registry, for the other replicas and the sidecar
//! ```
//!
//! Reads never touch the store and writes never touch a reader: they meet in one immutable snapshot. What decides
//! (`registry::{fold, judge, lease}`, `view`, `xds::subscription`, `drains::ledger`) does no I/O and is told the time.

mod address;
mod auth;
mod clock;
mod config;
#[cfg(test)]
#[path = "../corpus/play.rs"]
mod corpus;
mod drains;
mod ecs;
mod error;
mod http;
mod instance;
mod keepsake;
mod listener;
mod metrics;
mod registry;
mod render;
mod replica;
mod route;
mod server;
mod store;
mod tls;
mod tools;
mod view;
mod xds;

use std::{
    ffi::OsString,
    future::Future,
    net::SocketAddr,
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
};

use anyhow::Context;
use tokio::{net::TcpListener, signal::unix, sync::watch, task::JoinHandle};
use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

pub use config::{Config, StoreKind};
use sds_types::command::{self, Halt, MISCONFIGURED, Misconfigured};

use address::AddressPolicy;
use auth::Auth;
use config::LogFormat;
use listener::Listener;
use metrics::Metrics;
use registry::{Options, Registry};
use store::Store;

/// The whole program; the first argument is its name.
pub fn cli(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let config = match Config::read(args) {
        Ok(config) => config,
        #[allow(clippy::print_stdout, reason = "help was asked for")]
        Err(Halt::Shown(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(Halt::Wrong(wrong)) => return misconfigured(&wrong),
    };
    if let Some(tool) = &config.tool {
        return tools::run(tool);
    }
    log(&config);
    for variable in command::unknown_variables::<Config>() {
        tracing::warn!(variable, "is set, and no option of this program");
    }
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let ran = tokio::runtime::Runtime::new().context("starting the runtime").and_then(|runtime| {
        runtime.block_on(async {
            let server = Server::start(config).await?;
            server.run(stop_signal()?).await;
            Ok(())
        })
    });
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<Misconfigured>() {
            Some(wrong) => misconfigured(wrong),
            None => {
                tracing::error!("{error:#}");
                ExitCode::FAILURE
            }
        },
    }
}

fn misconfigured(wrong: &Misconfigured) -> ExitCode {
    eprintln!("{wrong}");
    ExitCode::from(MISCONFIGURED)
}

fn log(config: &Config) {
    // The embedded store warns of each refused condition, which is an answer, and the SDK of each place without a
    // region before it comes to the next.
    let filter = format!("dynoxide=error,aws_config=error,{}", config.log);
    let filter: Targets = filter.parse().unwrap_or_default();
    let (text, json) = match config.log_format {
        LogFormat::Text => (Some(fmt::layer().with_writer(std::io::stderr).with_ansi(false)), None),
        LogFormat::Json => (None, Some(fmt::layer().with_writer(std::io::stderr).json())),
    };
    // A second server in one process, as in tests, keeps the first one's logging.
    let _ = tracing_subscriber::registry().with(filter).with(text).with(json).try_init();
}

fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = unix::signal(unix::SignalKind::terminate())?;
    let mut interrupt = unix::signal(unix::SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

async fn listen(at: Listener, addr: SocketAddr) -> anyhow::Result<(Listener, TcpListener)> {
    let bound = TcpListener::bind(addr).await;
    Ok((at, bound.with_context(|| format!("{}: cannot listen on {addr}", at.variable()))?))
}

/// A running registry.
#[derive(Debug)]
pub struct Server {
    /// Where its main listener is.
    pub addr: SocketAddr,
    app: Arc<http::App>,
    stop: watch::Sender<bool>,
    serving: Vec<JoinHandle<()>>,
    shutdown_delay: std::time::Duration,
    #[cfg(feature = "embedded")]
    _embedded: Option<store::embedded::Embedded>,
}

impl Server {
    /// Opens the store, binds the listeners and answers; `/readyz` tells when something is known.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        let metrics = Metrics::default();
        let tls = config.tls.files().map(|files| tls::Tls::start(files, metrics.clone())).transpose()?;
        let snapshots = config.snapshots()?;
        let asked = config.listeners().into_iter().map(|(at, addr)| listen(at, addr));
        let listeners = futures_util::future::try_join_all(asked).await?;
        let addrs = listeners.iter().map(|(_, listener)| listener.local_addr()).collect::<Result<Vec<_>, _>>()?;
        let addr = *addrs.first().context("no listener is open")?;
        #[cfg(feature = "embedded")]
        let embedded = match config.store_kind() {
            StoreKind::Embedded => Some(store::embedded::Embedded::start(&config.data).await?),
            StoreKind::Dynamodb => None,
        };
        #[cfg(feature = "embedded")]
        let endpoint = embedded.as_ref().map(|embedded| embedded.addr);
        #[cfg(not(feature = "embedded"))]
        let endpoint = None;
        let client = store::connect(endpoint, config.ddb_timeout_sec).await?;
        let store = Store::new(client, config.table(), config.ddb_timeout_sec, metrics.store_calls.clone());
        if let Some(addr) = endpoint {
            tracing::info!(%addr, data = config.data, "embedded store");
        }
        let ecs = if config.ecs_clusters.is_empty() && config.auth.audience.is_none() {
            None
        } else {
            Some(ecs::Ecs::connect(config.ecs_rate, metrics.ecs.clone()).await?)
        };
        let attester = match (config.auth.audience.clone(), config.auth.keys()?, &ecs) {
            (Some(audience), Some(keys), Some(ecs)) => {
                let sts = auth::Sts::new(audience, config.auth.aws_endpoint_url_sts.clone())
                    .context("preparing to ask STS")?;
                Some(auth::Attester::new(sts, ecs.clone(), keys, config.auth.token_ttl))
            }
            _ => None,
        };
        let addresses = AddressPolicy { allow_loopback: config.allows_loopback(), cidrs: config.cidrs.0.clone() };
        let env: Arc<str> = config.env.as_str().into();
        let options = Options {
            leases: config.leases(),
            full_read: config.full_read,
            addresses: addresses.clone(),
            env: env.clone(),
            fail_open: config.fail_open,
            create_table: config.create_table || endpoint.is_some(),
            snapshots,
        };
        let auth = Auth::start(config.auth.policy.clone(), config.allows_open(), attester, metrics.clone());
        let auth = auth.map_err(|reason| Misconfigured::new("SDS_POLICY", reason))?;
        let registry = Registry::start(store, options, metrics.clone());
        let watch = ecs.filter(|_| !config.ecs_clusters.is_empty()).map(|ecs| {
            let (clusters, every) = (config.ecs_clusters.clone(), config.ecs_interval);
            ecs::Watch::start(ecs, registry.clone(), clusters, every, metrics.ecs.clone())
        });
        let clients = xds::Clients::default();
        let every = config.leases().poll() / 2;
        let drains = drains::Drains::start(registry.clone(), clients.clone(), config.fail_open, every);
        let discovery = xds::Discovery {
            snapshots: registry.snapshots(),
            metrics: metrics.clone(),
            clients,
            admission: xds::Admission::default(),
            pollers: drains.pollers().clone(),
            gateway: config.xds_gateway,
        };
        let app = Arc::new(http::App {
            registry,
            watch,
            discovery,
            drains,
            metrics: metrics.clone(),
            rates: http::Rates::new(config.rate_writes, config.rate_reads),
            admission: http::Admission::default(),
            auth,
            addresses,
            env,
            fail_open: config.fail_open,
            listeners: listeners.iter().map(|(at, _)| *at).collect(),
            certified_writes: config.tls.tls_client_ca.is_some(),
            stopping: AtomicBool::new(false),
        });
        let (stop, stopped) = watch::channel(false);
        let version = env!("CARGO_PKG_VERSION");
        tracing::info!(%addr, store = ?config.store_kind(), table = config.table(), version, "listening");
        for ((at, _), addr) in listeners.iter().zip(&addrs).skip(1) {
            tracing::info!(%addr, "listening for {}", at.what());
        }
        for (at, _) in listeners.iter().filter(|(at, _)| config.tls.is_at(*at)) {
            tracing::info!("{at} speaks TLS");
        }
        let limits = config.limits().shared_by(listeners.len());
        let all = limits.connections.saturating_mul(listeners.len());
        metrics.connection_limit.set(i64::try_from(all).unwrap_or(i64::MAX));
        let serve = |(at, listener)| {
            let http = http::Http::new(app.clone(), at);
            let tls =
                tls.as_ref().filter(|_| config.tls.is_at(at)).map(|tls| tls.handshake(at == config.writes_at().0));
            tokio::spawn(server::serve(listener, http, tls, limits.clone(), metrics.clone(), stopped.clone()))
        };
        let serving = listeners.into_iter().map(serve).collect();
        Ok(Self {
            addr,
            app,
            stop,
            serving,
            shutdown_delay: config.shutdown_delay,
            #[cfg(feature = "embedded")]
            _embedded: embedded,
        })
    }

    /// Serves until `shutdown` is ready, then stops: not ready, a pause for load balancers to see it, listeners
    /// closed, what is in flight finished.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        shutdown.await;
        tracing::info!(delay = ?self.shutdown_delay, "stopping");
        server::stop(&self.app, self.shutdown_delay, &self.stop).await;
        for serving in self.serving {
            if let Err(error) = serving.await {
                tracing::error!(%error, "the server did not end cleanly");
            }
        }
        if !self.app.registry.bye().await {
            tracing::warn!("the other replicas could not be told of the end: they learn of it by silence");
        }
        tracing::info!("stopped");
    }
}
