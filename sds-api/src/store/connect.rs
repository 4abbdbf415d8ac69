//! The SDK's client, made lean: rustls with ring as the only TLS, and neither tries nor an end of its own: those `calls` gives
//! it. A connection that is not made in time is given up also when nobody waits for it any longer.

use std::{net::SocketAddr, time::Duration};

use aws_config::{BehaviorVersion, ConfigLoader, Region, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_dynamodb::{Client, config::Credentials};
use sds_types::command::Misconfigured;

use super::{
    connections::Connections,
    resolve::{self, Lookup},
};

/// A client, and the connections that it uses.
#[derive(Debug, Clone)]
pub struct Connected {
    pub(super) client: Client,
    pub(super) connections: Connections,
}

/// A client for AWS by the SDK's own variables, or for an emulator at `endpoint`.
pub async fn connect(endpoint: Option<SocketAddr>, limit: Duration) -> Result<Connected, Misconfigured> {
    connect_to(endpoint.map(|addr| addr.to_string()), limit, resolve::system).await
}

pub(super) async fn connect_to(
    emulator: Option<String>,
    limit: Duration,
    lookup: Lookup,
) -> Result<Connected, Misconfigured> {
    let connections = Connections::new(lookup);
    let loader = lean(&connections, limit);
    let loader = match emulator {
        None => loader,
        Some(addr) => loader
            .endpoint_url(format!("http://{addr}"))
            .region(Region::from_static("local"))
            .credentials_provider(Credentials::new("embedded", "embedded", None, None, "embedded")),
    };
    let config = loader.load().await;
    if config.region().is_none() {
        return Err(no_region());
    }
    Ok(Connected { client: Client::new(&config), connections })
}

/// How any of AWS's services is reached: by the SDK's own variables, over these connections, in one try.
pub fn lean(connections: &Connections, limit: Duration) -> ConfigLoader {
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(connections.clone())
        .timeout_config(TimeoutConfig::builder().connect_timeout(limit).build())
        .retry_config(RetryConfig::disabled())
}

/// Nothing says where AWS is to be called.
pub fn no_region() -> Misconfigured {
    Misconfigured::new("AWS_REGION", "is not set, and no profile or instance tells it")
}
