//! What the two emulators can take, so that one knows which story can be played on which: calls a second of the kinds
//! that replicas make, sixteen at once, and the CPU time of the emulator for one: the client, our SDK, is as often what
//! is slow.

use std::time::Duration;

use anyhow::Context;
use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::{cpu, say};
use crate::{dynamo::Dynamo, emulator::Emulator, programs::Programs, stage::Stage, table::Table};

const SPAN: Duration = Duration::from_secs(5);
const AT_ONCE: usize = 16;

/// Measures and prints.
pub async fn run() -> anyhow::Result<()> {
    let stage = Stage::new("soak-emulators", Programs::new(std::env::current_exe().context("finding this program")?))?;
    say(format!("Calls a second, {AT_ONCE} at once for {SPAN:?} each: conditional UpdateItem, strong BatchGetItem of"));
    say("100 keys, strong Query of a partition of 3 rows.");
    let (memory, file) = (Dynamo::in_memory(&stage).await?, Dynamo::on_file(&stage).await?);
    measure("embedded, in memory", memory.process.pid(), &memory.table("sds")).await?;
    measure("embedded, on a file", file.process.pid(), &file.table("sds")).await?;
    let second = Emulator::start(&stage).await?;
    measure("the second one", second.process.pid(), &Table::new(&second.endpoint, "sds")).await
}

async fn measure(name: &str, pid: Option<u32>, table: &Table) -> anyhow::Result<()> {
    let pid = pid.context("it has ended")?;
    table.create().await?;
    let service = |nth: usize| format!("s{}", nth % 100);
    let update = rate(pid, async |nth| table.update(&service(nth), &format!("10.0.0.{nth}:80"), nth).await).await?;
    for replica in ["a", "b", "c"] {
        table.update("#replica", replica, 0).await?;
    }
    let keys: Vec<_> = (0..100).map(|nth| (service(nth), format!("10.0.0.{nth}:80"))).collect();
    let get = rate(pid, async |_| table.batch_get(&keys).await.map(drop)).await?;
    let query = rate(pid, async |_| table.query("#replica").await.map(drop)).await?;
    for (call, (rate, spent)) in [("UpdateItem", update), ("BatchGetItem", get), ("Query", query)] {
        say(format!("{name:20} {call:12} {rate:6.0}/s {:6.0} us", spent.as_secs_f64() * 1e6));
    }
    Ok(())
}

/// Calls a second, and the CPU time of the process for one.
async fn rate(pid: u32, call: impl AsyncFn(usize) -> anyhow::Result<()>) -> anyhow::Result<(f64, Duration)> {
    let (start, before) = (Instant::now(), cpu::of_tree(pid)?);
    let one = async |nth: usize| {
        let mut done = 0_u32;
        while start.elapsed() < SPAN {
            call(nth).await?;
            done += 1;
        }
        anyhow::Ok(done)
    };
    let done: u32 = try_join_all((0..AT_ONCE).map(one)).await?.into_iter().sum();
    let spent = cpu::of_tree(pid)?.saturating_sub(before);
    Ok((f64::from(done) / start.elapsed().as_secs_f64(), spent / done.max(1)))
}
