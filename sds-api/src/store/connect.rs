//! The SDK's client, made lean: rustls with ring as the only TLS, and calls that end.

use std::{net::SocketAddr, time::Duration};

use aws_config::{BehaviorVersion, Region, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_dynamodb::{Client, config::Credentials};
use aws_smithy_http_client::{Builder, tls};
use sds_types::command::Misconfigured;

/// A client for AWS by the SDK's own variables, or for an emulator at `endpoint`.
pub async fn connect(endpoint: Option<SocketAddr>, limit: Duration) -> Result<Client, Misconfigured> {
    let http = Builder::new().tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring)).build_https();
    let timeouts = TimeoutConfig::builder().connect_timeout(limit).operation_attempt_timeout(limit).build();
    // Short pauses: a request waits for the outcome, and the full reads come round again.
    let retries = RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(50));
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .timeout_config(timeouts)
        .retry_config(retries);
    let loader = match endpoint {
        None => loader,
        Some(addr) => loader
            .endpoint_url(format!("http://{addr}"))
            .region(Region::from_static("local"))
            .credentials_provider(Credentials::new("embedded", "embedded", None, None, "embedded")),
    };
    let config = loader.load().await;
    if config.region().is_none() {
        return Err(Misconfigured::new("AWS_REGION", "is not set, and no profile or instance tells it"));
    }
    Ok(Client::new(&config))
}
