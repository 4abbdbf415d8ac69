//! The addresses and ports of a task: an address of its own on loopback, and in bridge mode a port of the host for each
//! port of a container, with a proxy behind it, as Docker's.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use super::definition::{Container, NetworkMode};
use crate::gate::Gate;

/// Where a task is.
#[derive(Debug, Clone, Copy)]
pub struct Network {
    /// Its mode.
    pub mode: NetworkMode,
    /// Of the task (awsvpc), of its containers (bridge), or of its host, which it has for itself (host).
    pub address: IpAddr,
    /// Of the host it runs on, which no metadata endpoint tells.
    pub host: IpAddr,
}

impl Network {
    /// A place for a new task.
    pub fn new(mode: NetworkMode) -> Self {
        let address = IpAddr::V4(next_address());
        // With fixed ports, two tasks of one service cannot share a host.
        let host = if mode == NetworkMode::Host { address } else { Ipv4Addr::LOCALHOST.into() };
        Self { mode, address, host }
    }

    /// Where a container listens; port 0 without a port mapping.
    pub fn listen(&self, container: &Container) -> SocketAddr {
        let port = container.port_mappings.first().map_or(0, |mapping| mapping.container_port);
        SocketAddr::new(self.address, port)
    }
}

/// One address a task, so that all can have port 8080: 127.x.y.z, apart from those of other processes on this machine.
fn next_address() -> Ipv4Addr {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let (process, nth) = (process::id() & 0xfff, COUNT.fetch_add(1, Ordering::Relaxed) & 0x3ff);
    Ipv4Addr::from_bits(0x7f40_0000 | process << 10 | nth)
}

/// A port of a container, published on the host.
#[derive(Debug)]
pub struct Published {
    /// In the container.
    pub container: u16,
    /// On the host's IPv4 addresses. On its IPv6 ones Docker takes another: see the metadata.
    pub host: u16,
    _proxy: Gate,
}

/// Publishes the ports of a container that starts; they are gone when this is dropped.
pub async fn publish(network: &Network, container: &Container) -> anyhow::Result<Vec<Published>> {
    let mut published = Vec::new();
    if network.mode != NetworkMode::Bridge {
        return Ok(published);
    }
    for mapping in &container.port_mappings {
        let target = SocketAddr::new(network.address, mapping.container_port);
        let at = SocketAddr::new(network.host, mapping.host_port.unwrap_or(0));
        let proxy = Gate::before(target, at).await?;
        proxy.open();
        published.push(Published { container: mapping.container_port, host: proxy.addr.port(), _proxy: proxy });
    }
    Ok(published)
}
