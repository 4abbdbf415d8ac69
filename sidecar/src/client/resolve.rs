//! The addresses of the registry's name, each lookup starting with another one.
//!
//! The system sorts a name's addresses the same way for a whole fleet, which would put every sidecar onto one replica
//! and, after a failure, onto the same one again. A lookup blocks a thread, and where no name server answers, for
//! longer than a call lasts: so those that hang are counted, and more than two are not added to.

use std::{
    net::ToSocketAddrs as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

/// One may be lost with a packet; the second may not wait for it.
const AT_ONCE: usize = 2;

/// The system's resolver, rotated.
#[derive(Debug)]
pub struct Rotating {
    turn: AtomicUsize,
    free: Arc<Semaphore>,
}

impl Rotating {
    /// Starts with the `first` address (modulo their number).
    pub fn new(first: usize) -> Self {
        Self { turn: AtomicUsize::new(first), free: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Resolve for Rotating {
    fn resolve(&self, name: Name) -> Resolving {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let free = Arc::clone(&self.free).try_acquire_owned();
        Box::pin(async move {
            let taken = free.map_err(|_| format!("the last lookups of {} hang still", name.as_str()))?;
            let lookup = tokio::task::spawn_blocking(move || {
                let found = (name.as_str(), 0).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
                drop(taken);
                found
            });
            let mut addresses = lookup.await??;
            let first = turn % addresses.len().max(1);
            addresses.rotate_left(first);
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lookups_that_hang_are_not_added_to() {
        let resolver = Rotating::new(0);
        let ask = || resolver.resolve("localhost".parse().unwrap());
        assert!(ask().await.is_ok());
        let hanging = Arc::clone(&resolver.free).acquire_many_owned(2).await.unwrap();
        let refused = ask().await.map(drop).unwrap_err();
        assert!(refused.to_string().contains("hang"), "{refused}");
        drop(hanging);
        assert!(ask().await.is_ok());
    }
}
