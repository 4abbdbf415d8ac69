//! A load balancer of connections, as an NLB is one: each new connection goes to the next server in turn that takes it, and stays
//! there until one side ends it.
//!
//! It asks nobody for his health: a server that refuses is passed over, and that is all it knows. An NLB's own checks know
//! less in the seconds after a death, and more of a server that hangs.

use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// A running one.
#[derive(Debug)]
pub struct Balancer {
    /// Where it listens.
    pub addr: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Balancer {
    /// Starts one before these servers.
    pub async fn before(servers: &[SocketAddr]) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (addr, servers, mut tasks) = (listener.local_addr()?, servers.to_vec(), JoinSet::new());
        tasks.spawn(async move { drop(keep(listener, servers).await) });
        Ok(Self { addr, _tasks: tasks })
    }
}

async fn keep(listener: TcpListener, mut servers: Vec<SocketAddr>) -> std::io::Result<()> {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await?;
        connections.spawn(pass(client, servers.clone()));
        servers.rotate_left(1);
        while connections.try_join_next().is_some() {}
    }
}

async fn pass(mut client: TcpStream, servers: Vec<SocketAddr>) {
    for server in servers {
        if let Ok(mut server) = TcpStream::connect(server).await {
            drop(copy_bidirectional(&mut client, &mut server).await);
            return;
        }
    }
}
