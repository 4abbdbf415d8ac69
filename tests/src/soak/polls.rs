//! What a poll of 10, 100 and 1,000 hosts costs, against nginx that serves the same bytes as a file and against the floor.
//!
//! The servers are asked in turn within one run, so that what the machine does meanwhile hits all alike; only ratios are
//! worth keeping. A goal that is missed ends the soak with an error.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use tokio::process::Command;

use super::{callgrind, cpu, median, need, nginx::Nginx, say, wrk};
use crate::{
    api::Api,
    process::Process,
    programs::{Programs, bare},
    stage::Stage,
};

const TOOLS: [(&str, &str); 3] = [("wrk", "wrk"), ("nginx", "nginx-light"), ("valgrind", "valgrind")];
const SIZES: [u32; 3] = [10, 100, 1000];
const ROUNDS: usize = 5;
const TIME: Duration = Duration::from_secs(3);
/// Long enough that nothing expires and no body is rendered anew while it is measured.
const LEASE: (&str, &str) = ("SDS_LEASE", "10h");

/// What a request took of a server.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    /// CPU in microseconds.
    cpu: f64,
    /// The 99th percentile of the time to answer, in milliseconds.
    p99: f64,
}

type Of = fn(&Cost) -> f64;

/// Measures and prints.
pub async fn run() -> anyhow::Result<()> {
    need(&TOOLS)?;
    ensure!(!cfg!(debug_assertions), "a debug build says nothing: cargo run --release -p e2e -- soak polls");
    let exe = std::env::current_exe()?;
    let stage = Stage::new("polls", Programs::new(&exe))?;
    let bodies = stage.file("bodies");
    fs::create_dir_all(&bodies)?;
    let data = stage.file("data.sqlite");
    let env = [LEASE, ("SDS_DATA", data.to_str().context("not UTF-8")?)];

    let api = Api::start(&stage, &env).await?;
    for size in SIZES {
        populate(&api, size).await?;
        // Judged by the old Envoy's rules on the way, as every v1 body.
        let body = api.get(&format!("/v1/registration/{}", name(size))).await?.expect(200)?.body;
        fs::write(bodies.join(name(size)), body)?;
    }
    let nginx = Nginx::start(&stage, &bodies, None).await?;
    let (floor_process, floor) = floor(&stage, bare(&exe), &bodies).await?;
    let servers =
        [("nginx", &nginx.process, nginx.addr), ("floor", &floor_process, floor), ("sds-api", &api.process, api.addr)];

    say(format!("wrk -t1 -c64, {ROUNDS} rounds of {TIME:?}, servers in turn; medians. nginx: workers auto, sendfile."));
    say(
        "hosts   bytes   us CPU a request: nginx  floor  sds-api   p99 ms: nginx  floor  sds-api   ratio CPU   ratio p99",
    );
    let mut missed = Vec::new();
    for size in SIZES {
        let seen = rounds(&servers, size).await?;
        let column = |at: usize, of: Of| median(seen.iter().map(|round| of(&round[at])).collect());
        let ratio = |of: Of| median(seen.iter().map(|round| of(&round[2]) / of(&round[0])).collect());
        let (cpu, p99): (Of, Of) = (|seen| seen.cpu, |seen| seen.p99);
        say(format!(
            "{size:>5} {:>7} {:>24.1} {:>6.1} {:>8.1} {:>15.2} {:>6.2} {:>8.2} {:>11.2} {:>11.2}",
            fs::metadata(bodies.join(name(size)))?.len(),
            column(0, cpu),
            column(1, cpu),
            column(2, cpu),
            column(0, p99),
            column(1, p99),
            column(2, p99),
            ratio(cpu),
            ratio(p99),
        ));
        let goal = if size == 1000 { 0.5 } else { 1.0 };
        if ratio(cpu) > goal {
            missed.push(format!("CPU at {size} hosts: {:.2} of nginx's, the goal is {goal}", ratio(cpu)));
        }
    }
    drop((api, nginx, floor_process));
    missed.extend(instructions(&stage, &exe, &bodies, &env).await?);
    ensure!(missed.is_empty(), "goals missed: {}", missed.join("; "));
    say("All goals are met.");
    Ok(())
}

fn name(size: u32) -> String {
    format!("hosts-{size}")
}

async fn populate(api: &Api, size: u32) -> anyhow::Result<()> {
    let register = |n: u32| async move {
        let at = format!("10.{}.{}.{}:8080", n / 65536, n / 256 % 256, n % 256);
        let more = json!({"weight": n % 100 + 1, "revision": "0123456789abcdef", "instance_id": format!("i-{n:017x}"),
            "locality": {"region": "ap-northeast-1", "zone": format!("ap-northeast-1{}", ['a', 'c', 'd'][(n % 3) as usize])}});
        api.put(&name(size), &at, (1, 1), more).await?.expect(200).map(drop)
    };
    stream::iter(1..=size).map(register).buffer_unordered(8).try_collect().await
}

async fn floor(stage: &Stage, mut command: Command, bodies: &Path) -> anyhow::Result<(Process, SocketAddr)> {
    command.arg("floor").arg(bodies);
    let mut process = stage.spawn("floor", command)?;
    let addr = process.address("listening addr=").await?;
    Ok((process, addr))
}

/// For each round, what each server took.
async fn rounds(servers: &[(&str, &Process, SocketAddr); 3], size: u32) -> anyhow::Result<Vec<[Cost; 3]>> {
    let mut seen = Vec::new();
    // The first round warms up.
    for round in 0..=ROUNDS {
        let mut row = [Cost::default(); 3];
        for ((server, process, addr), slot) in servers.iter().zip(&mut row) {
            let pid = process.pid().with_context(|| format!("{server} has ended"))?;
            let before = cpu::of_tree(pid)?;
            let run = wrk::run(&format!("http://{addr}/v1/registration/{}", name(size)), TIME).await?;
            let spent = cpu::of_tree(pid)?.saturating_sub(before);
            *slot = Cost { cpu: spent.as_secs_f64() * 1e6 / run.requests, p99: run.p99 };
        }
        if round > 0 {
            seen.push(row);
        }
    }
    Ok(seen)
}

/// Prints instructions a request; returns the goals that are missed.
async fn instructions(stage: &Stage, exe: &Path, bodies: &Path, env: &[(&str, &str)]) -> anyhow::Result<Vec<String>> {
    let out = stage.file("callgrind.out");
    say("\ninstructions a request (callgrind)   nginx   floor   sds-api");
    let mut ours = Vec::new();
    for size in SIZES {
        let path = format!("/v1/registration/{}", name(size));
        let server = Nginx::start(stage, bodies, Some(callgrind::wrapper(&out))).await?;
        let nginx = callgrind::per_request(server.process, server.addr, &path, &out).await?;
        let (process, addr) = floor(stage, wrapped(exe, &out), bodies).await?;
        let floor = callgrind::per_request(process, addr, &path, &out).await?;
        let (process, addr) = under_valgrind(stage, wrapped(exe, &out), env).await?;
        let api = callgrind::per_request(process, addr, &path, &out).await?;
        say(format!("{size:>5} hosts {nginx:>30.0} {floor:>7.0} {api:>9.0}"));
        ours.push(api);
    }
    let mut missed = Vec::new();
    if ours.iter().any(|ir| *ir > 20_000.0) {
        missed.push("more than 20,000 instructions a poll".to_owned());
    }
    if ours[2] / ours[0] > 1.05 {
        missed.push(format!("instructions grow with the hosts: {:.2} times", ours[2] / ours[0]));
    }
    Ok(missed)
}

fn wrapped(exe: &Path, out: &Path) -> Command {
    let mut command = callgrind::wrapper(out);
    command.arg(exe);
    command
}

async fn under_valgrind(
    stage: &Stage,
    mut command: Command,
    env: &[(&str, &str)],
) -> anyhow::Result<(Process, SocketAddr)> {
    command.arg("api").envs([("SDS_LISTEN", "127.0.0.1:0"), ("SDS_STORE", "embedded"), ("SDS_ENV", "test")]);
    command.envs(env.iter().copied());
    let mut process = stage.spawn("sds-api under callgrind", command)?;
    let addr = process.address("listening addr=").await?;
    let url = format!("http://{addr}/readyz");
    let client = crate::http::client(callgrind::PATIENCE);
    crate::wait::until("it to be ready", callgrind::PATIENCE, async || {
        crate::http::send(&client, reqwest::Method::GET, &url, &[], "").await?.expect(200)
    })
    .await?;
    Ok((process, addr))
}
