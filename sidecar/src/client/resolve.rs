//! The addresses of the registry's name, each lookup starting with another one.
//!
//! The system sorts a name's addresses the same way for a whole fleet, which would put every sidecar onto one replica
//! and, after a failure, onto the same one again.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The system's resolver, rotated.
#[derive(Debug)]
pub struct Rotating(Arc<AtomicUsize>);

impl Rotating {
    /// Starts with the `first` address (modulo their number).
    pub fn new(first: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(first)))
    }
}

impl Resolve for Rotating {
    fn resolve(&self, name: Name) -> Resolving {
        let turn = self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            let mut addresses: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let first = turn % addresses.len().max(1);
            addresses.rotate_left(first);
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}
