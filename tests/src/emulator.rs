//! The second DynamoDB emulator, ministack: Python, and written by other people than the embedded one, so that a habit
//! of one emulator cannot pass for DynamoDB's. It checks no signatures and counts no capacity.

use crate::{process::Process, python::MINISTACK, raw, stage::Stage, wait};

/// A running ministack; empty at its start.
#[derive(Debug)]
pub struct Emulator {
    /// Its DynamoDB endpoint.
    pub endpoint: String,
    /// Its process.
    pub process: Process,
}

impl Emulator {
    /// Starts one.
    pub async fn start(stage: &Stage) -> anyhow::Result<Self> {
        // It cannot choose a port itself, and the one that we choose may be taken before it binds it.
        let addr = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = MINISTACK.python().await?;
        command.args(["-c", "from ministack.app import main; main()"]).current_dir(stage.dir());
        command.env("BIND_HOST", "127.0.0.1").env("GATEWAY_PORT", addr.port().to_string()).env("HOME", stage.dir());
        let mut process = stage.spawn("ministack", command)?;
        process.says("Running on").await?;
        wait::until("ministack to answer", wait::SOON, async || {
            let head =
                "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-amz-target: DynamoDB_20120810.ListTables\r\n";
            let request = format!("{head}content-type: application/x-amz-json-1.0\r\ncontent-length: 2\r\n\r\n{{}}");
            raw::exchange(addr, request.as_bytes()).await?.expect(200)
        })
        .await?;
        Ok(Self { endpoint: format!("http://{addr}"), process })
    }
}
