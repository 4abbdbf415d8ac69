//! The connections to the store, and their life.
//!
//! The SDK looks the store's name up for each new connection, but keeps using those that it has for as long as they seem to
//! be alive. A machine that is gone without a word leaves behind a pool of them, each of which costs a call all of its time;
//! over HTTP/2 the only one may stay for ever. So all are left behind as soon as a call was not answered, and after some
//! minutes in any case; what is in flight on them goes on.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use aws_sdk_dynamodb::config::ConfigBag;
use aws_smithy_http_client::{Builder, tls};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        connector_metadata::ConnectorMetadata,
        http::{HttpClient, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector},
        runtime_components::{RuntimeComponents, RuntimeComponentsBuilder},
    },
};
use tokio::time::Instant;

use super::resolve::{Lookup, Resolver};

/// At most: names move for other reasons than death, too.
const LIFE: Duration = Duration::from_secs(300);

/// What the SDK's clients take their connections from; clones share them.
#[derive(Debug, Clone)]
pub struct Connections {
    resolver: Resolver,
    current: Arc<ArcSwap<Generation>>,
}

#[derive(Debug)]
struct Generation {
    client: SharedHttpClient,
    made: Instant,
}

impl Connections {
    /// To whatever address the system's resolver says.
    pub fn system() -> Self {
        Self::new(super::resolve::system)
    }

    /// To whatever address `lookup` says.
    pub(super) fn new(lookup: Lookup) -> Self {
        let resolver = Resolver::new(lookup);
        let current = Arc::new(ArcSwap::from_pointee(Generation::new(&resolver)));
        Self { resolver, current }
    }

    /// Lets the next call make a new one: a call that began at this time was not answered. If they are newer than that, another
    /// call has led to them already.
    pub fn doubt(&self, began: Instant) {
        if self.current.load().made <= began {
            self.renew();
        }
    }

    fn current(&self) -> Arc<Generation> {
        if self.current.load().made.elapsed() >= LIFE {
            self.renew();
        }
        self.current.load_full()
    }

    fn renew(&self) {
        self.current.store(Arc::new(Generation::new(&self.resolver)));
    }
}

impl Generation {
    fn new(resolver: &Resolver) -> Self {
        let rustls = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
        let client = Builder::new().tls_provider(rustls).build_with_resolver(resolver.clone());
        Self { client, made: Instant::now() }
    }
}

impl HttpClient for Connections {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        self.current().client.http_connector(settings, components)
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.current().client.validate_base_client_config(components, config)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.current().client.connector_metadata()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::store::resolve::system;

    #[tokio::test(start_paused = true)]
    async fn connections_are_left_behind_after_a_silence_and_in_the_end() {
        let connections = Connections::new(system);
        let mut before = connections.current();
        let mut left = || {
            let now = connections.current();
            !Arc::ptr_eq(&now, &std::mem::replace(&mut before, now.clone()))
        };
        let began = Instant::now();
        assert!(!left());
        connections.doubt(began);
        assert!(left());
        advance(Duration::from_millis(1)).await;
        connections.doubt(began);
        assert!(left(), "it began when they were made");
        connections.doubt(began);
        assert!(!left(), "it began before they were made");
        advance(LIFE - Duration::from_millis(1)).await;
        assert!(!left());
        advance(Duration::from_millis(1)).await;
        assert!(left());
    }
}
