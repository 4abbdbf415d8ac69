//! The CPU time of a process and all of its children, as Linux counts it.

use std::{fs, time::Duration};

use anyhow::Context;

/// `utime` and `stime` of `pid` and everything below it.
pub fn of_tree(pid: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the CPU time is read from /proc")?;
    // The command's name may hold spaces; everything behind its bracket is plain.
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks =
        |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).context("a short /proc/PID/stat");
    // The kernel tells user space 100 ticks a second, whatever its own are.
    let mut time = Duration::from_millis((ticks(11)? + ticks(12)?) * 10);
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    for child in children.split_whitespace() {
        time += of_tree(child.parse()?)?;
    }
    Ok(time)
}

/// The time on a CPU of all threads of `pid`, to the nanosecond: a sidecar uses less than a tick in a second.
pub fn precise(pid: u32) -> anyhow::Result<Duration> {
    let mut time = Duration::ZERO;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).context("the CPU time is read from /proc")? {
        let stat = fs::read_to_string(thread?.path().join("schedstat"))?;
        let spent =
            stat.split_whitespace().next().and_then(|spent| spent.parse().ok()).context("an empty schedstat")?;
        time += Duration::from_nanos(spent);
    }
    Ok(time)
}
