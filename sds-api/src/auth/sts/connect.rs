//! TCP to STS: the name is looked up with each new connection. A lookup blocks a thread, and where no name server answers,
//! for much longer than a request lasts: so only a few run at once, and whoever waits for its turn gives up with its request.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs as _},
    pin::Pin,
    sync::{Arc, LazyLock},
    time::Duration,
};

use hyper_util::client::legacy::connect::{HttpConnector, dns::Name};
use tokio::{sync::Semaphore, task::spawn_blocking};
use tower::util::{ServiceFn, service_fn};

type Found = Pin<Box<dyn Future<Output = io::Result<std::vec::IntoIter<SocketAddr>>> + Send>>;

/// The connector below TLS.
pub type Http = HttpConnector<ServiceFn<fn(Name) -> Found>>;

const LOOKUPS: usize = 4;
/// Of one address; a request has about two seconds in all.
const CONNECT: Duration = Duration::from_secs(1);

/// A connector without a proxy, which a name server that does not answer cannot pile up threads behind.
pub fn http() -> Http {
    let mut http = HttpConnector::new_with_resolver(service_fn(lookup as fn(Name) -> Found));
    http.enforce_http(false);
    http.set_connect_timeout(Some(CONNECT));
    http.set_nodelay(true);
    http
}

fn lookup(name: Name) -> Found {
    static FREE: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(LOOKUPS)));
    Box::pin(async move {
        let turn = FREE.clone().acquire_owned().await.map_err(io::Error::other)?;
        let found = spawn_blocking(move || {
            let found = (name.as_str(), 0).to_socket_addrs();
            drop(turn);
            found
        });
        found.await?
    })
}

/// The innermost cause; the outer ones only say that a request failed.
pub fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
