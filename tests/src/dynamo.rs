//! DynamoDB for several replicas: the emulator that the registry embeds, in a process of its own, so that it can die, freeze
//! and come back apart from every replica.
//!
//! It is fast (thousands of writes a second) and strict about expressions, but it knows no throttling and no eventual
//! consistency: a [`Gate`](crate::gate::Gate) before it makes what a network and AWS would. The other emulator,
//! [`Emulator`](crate::emulator::Emulator), shares no code with it and is much slower; it keeps this one honest.

use std::net::SocketAddr;

use anyhow::{Context, anyhow};
use dynoxide::Database;
use tokio::net::TcpListener;

use crate::{process::Process, stage::Stage, table::Table};

/// Serves DynamoDB at `addr` until it is killed, with its data in a file or in `:memory:`.
pub async fn run(addr: &str, data: &str) -> anyhow::Result<()> {
    let database = if data == ":memory:" { Database::memory() } else { Database::new(data) };
    let database = database.with_context(|| format!("opening {data}"))?;
    let listener = TcpListener::bind(addr).await.with_context(|| format!("binding {addr}"))?;
    eprintln!("listening addr={}", listener.local_addr()?);
    let served = dynoxide::server::serve_with_shutdown(listener, database, std::future::pending());
    served.await.map_err(|error| anyhow!(error))
}

/// A running one.
#[derive(Debug)]
pub struct Dynamo {
    /// Its process.
    pub process: Process,
    /// Where it listens, now and after a restart.
    pub addr: SocketAddr,
    data: String,
}

impl Dynamo {
    /// Starts one that forgets everything when it ends.
    pub async fn in_memory(stage: &Stage) -> anyhow::Result<Self> {
        Self::start(stage, "127.0.0.1:0", ":memory:".to_owned()).await
    }

    /// Starts one that keeps its data in a file of the stage.
    pub async fn on_file(stage: &Stage) -> anyhow::Result<Self> {
        Self::start(stage, "127.0.0.1:0", Self::file(stage)).await
    }

    /// The file of [`Self::on_file`].
    pub fn file(stage: &Stage) -> String {
        stage.file("dynamo.sqlite").to_string_lossy().into_owned()
    }

    async fn start(stage: &Stage, addr: &str, data: String) -> anyhow::Result<Self> {
        let mut command = stage.programs.ours("store");
        command.arg(addr).arg(&data);
        let mut process = stage.spawn("dynamo", command)?;
        let addr = process.address("listening addr=").await?;
        Ok(Self { process, addr, data })
    }

    /// `kill -9`, if it still runs.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        if self.process.ended()?.is_none() {
            self.process.kill().await?;
        }
        Ok(())
    }

    /// Starts it again at its address, with what its file holds.
    pub async fn restart(&mut self, stage: &Stage) -> anyhow::Result<()> {
        self.kill().await?;
        *self = Self::start(stage, &self.addr.to_string(), self.data.clone()).await?;
        Ok(())
    }

    /// Starts another one at its address, which knows nothing, not even a table.
    pub async fn replace(&mut self, stage: &Stage) -> anyhow::Result<()> {
        self.kill().await?;
        *self = Self::start(stage, &self.addr.to_string(), ":memory:".to_owned()).await?;
        Ok(())
    }

    /// The table `name` in it.
    pub fn table(&self, name: &str) -> Table {
        Table::new(&format!("http://{}", self.addr), name)
    }
}
