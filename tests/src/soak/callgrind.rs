//! Instructions per request, the one figure that a noisy machine does not move: a server runs under callgrind, is warmed
//! up, its counters are set to zero, and what stands in them after a known number of requests is those requests' cost,
//! less what the server does by itself in as much time.
//!
//! The requests come over several connections, as polls do: one alone would make the server fall asleep and wake up for
//! each of them.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::Client;
use tokio::{
    process::Command,
    time::{Instant, sleep},
};

use crate::{http, process::Process, programs::bare};

const WARM: u32 = 300;
const REQUESTS: u32 = 3000;
const CONNECTIONS: usize = 16;
/// A server under valgrind needs a while for everything.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// valgrind, to be followed by the program that it runs; the result goes to `out`.
pub fn wrapper(out: &Path) -> Command {
    let mut command = bare(Path::new("valgrind"));
    command.args(["--tool=callgrind", "--quiet"]).arg(format!("--callgrind-out-file={}", out.display()));
    command
}

/// Instructions for one request for `path`; ends the server.
pub async fn per_request(process: Process, addr: SocketAddr, path: &str, out: &Path) -> anyhow::Result<f64> {
    let client = http::client(PATIENCE);
    let url = format!("http://{addr}{path}");
    let pid = process.pid().context("it has ended")?;
    ask(&client, &url, WARM).await?;
    control("--zero", pid).await?;
    let start = Instant::now();
    ask(&client, &url, REQUESTS).await?;
    let took = start.elapsed();
    let asked = dumped(out, 1, pid).await?;
    sleep(took).await;
    let idle = dumped(out, 2, pid).await?;
    Ok((asked - idle) / f64::from(REQUESTS))
}

/// What was counted since the last time; valgrind numbers the dumps of a process.
async fn dumped(out: &Path, nth: u32, pid: u32) -> anyhow::Result<f64> {
    control("--dump", pid).await?;
    let dump = out.with_extension(format!("out.{nth}"));
    let result = fs::read_to_string(&dump).with_context(|| format!("no {}", dump.display()))?;
    fs::remove_file(dump)?;
    let total =
        result.lines().find_map(|line| line.strip_prefix("totals: ")).context("no total in callgrind's result")?;
    Ok(total.trim().parse()?)
}

async fn ask(client: &Client, url: &str, n: u32) -> anyhow::Result<()> {
    let one = async |_| {
        let answer = client.get(url).send().await?;
        ensure!(answer.status() == 200, "{url}: {}", answer.status());
        answer.bytes().await?;
        Ok(())
    };
    stream::iter(0..n).map(one).buffer_unordered(CONNECTIONS).try_collect().await
}

async fn control(what: &str, pid: u32) -> anyhow::Result<()> {
    let mut command = bare(Path::new("callgrind_control"));
    let output = command.arg(what).arg(pid.to_string()).output().await.context("running callgrind_control")?;
    ensure!(output.status.success(), "callgrind_control {what}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
