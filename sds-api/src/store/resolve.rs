//! The addresses of the store's name, asked for with each new connection and in random order, so that the next try goes to
//! another one. A lookup blocks a thread, and where no name server answers, for much longer than a call lasts: so only a few
//! run at once, and whoever waits for its turn gives up with its call.

use std::{
    io,
    net::{IpAddr, ToSocketAddrs as _},
    sync::Arc,
};

use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use tokio::{sync::Semaphore, task::spawn_blocking};

const AT_ONCE: usize = 4;

/// How a name is looked up.
pub(super) type Lookup = fn(&str) -> io::Result<Vec<IpAddr>>;

/// The system's resolver, or another.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    lookup: Lookup,
    free: Arc<Semaphore>,
}

impl Resolver {
    /// One that asks `lookup`.
    pub fn new(lookup: Lookup) -> Self {
        Self { lookup, free: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    async fn addresses(&self, name: String) -> Result<Vec<IpAddr>, ResolveDnsError> {
        let free = self.free.clone().acquire_owned().await.map_err(ResolveDnsError::new)?;
        let lookup = self.lookup;
        let found = spawn_blocking(move || {
            let found = lookup(&name);
            drop(free);
            found
        });
        let mut found = found.await.map_err(ResolveDnsError::new)?.map_err(ResolveDnsError::new)?;
        fastrand::shuffle(&mut found);
        Ok(found)
    }
}

impl ResolveDns for Resolver {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(self.addresses(name.to_owned()))
    }
}

/// As the system does it.
pub(super) fn system(name: &str) -> io::Result<Vec<IpAddr>> {
    Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn lookups_that_hang_are_not_added_to() {
        let resolver = Resolver::new(system);
        let hanging = resolver.free.clone().acquire_many_owned(4).await.unwrap();
        assert!(timeout(Duration::from_millis(20), resolver.resolve_dns("localhost")).await.is_err());
        drop(hanging);
        assert!(resolver.resolve_dns("localhost").await.unwrap().iter().all(|address| address.is_loopback()));
    }
}
