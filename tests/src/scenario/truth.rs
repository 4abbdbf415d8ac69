//! Three replicas ask ECS about a fleet: each task once an interval by all of them together, a hundred a call, and never
//! faster than their buckets let them. One that stops meanwhile, and says nothing itself, is gone within an interval.

use std::time::Duration;

use anyhow::ensure;
use futures_util::future::{join_all, try_join_all};
use tokio::time::{Instant, sleep};

use crate::{
    aws::ecs::{Call, Ecs, task::Task},
    dynamo::Dynamo,
    fleet::{Fleet, Spec},
    replicas::{self, addrs},
    stage::Stage,
    wait::{SOON, until},
};

/// The fleet's service.
const SERVICE: &str = "web";
const REPLICAS: usize = 3;
/// How many register in a second: what a deploy is like is another story's.
const PACE: u64 = 60;
/// Beyond an interval: the calls, the writes, and that all replicas know.
const GRACE: Duration = Duration::from_secs(1);

/// What is played.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many tasks, one instance each.
    pub tasks: u32,
    /// Between two sweeps.
    pub every: Duration,
    /// How many of them are counted.
    pub sweeps: u32,
    /// Calls a second of each replica.
    pub rate: u32,
}

/// What was seen.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// Calls of a sweep, on average.
    pub calls: f64,
    /// The most calls in any second.
    pub peak: usize,
    /// From a task's stop until all answers were without it.
    pub gone: Duration,
}

/// Plays it; an error names what was not kept.
pub async fn play(stage: &Stage, plan: Plan) -> anyhow::Result<Outcome> {
    let (store, ecs) = (Dynamo::in_memory(stage).await?, Ecs::start().await?);
    let (every, rate) = (format!("{}ms", plan.every.as_millis()), plan.rate.to_string());
    let mut env = ecs.env("prod");
    env.extend([("SDS_ECS_INTERVAL", every.as_str()), ("SDS_ECS_RATE", rate.as_str())]);
    let replicas = replicas::start(stage, store.addr, REPLICAS, &env).await?;
    let arns: Vec<_> = (0..plan.tasks).map(|nth| ecs.run(Task::new("prod", nth))).collect();
    let specs = arns.iter().zip(0..).map(|(arn, nth)| Spec::new(SERVICE, nth).task(arn));
    let spread = Duration::from_secs(u64::from(plan.tasks) / PACE);
    let fleet = Fleet::start(specs, &addrs(&replicas), spread);
    fleet.registered(spread + 8 * SOON).await?;
    replicas::agree(&replicas, SERVICE, arns.len(), 2 * SOON).await?;

    let began = Instant::now();
    sleep(plan.every * plan.sweeps).await;
    let calls: Vec<Call> = ecs.calls().into_iter().filter(|call| call.at >= began && call.names > 0).collect();
    let names: usize = calls.iter().map(|call| call.names).sum();
    let (sweeps, tasks) = (plan.sweeps as usize, arns.len());
    ensure!(calls.iter().all(|call| call.status == 200), "not all calls were answered: {:?}", ecs.refused());
    // The span need not begin with a sweep, and a loaded machine may be late with one.
    let expected = (sweeps - 1) * tasks..=(sweeps + 1) * tasks;
    ensure!(expected.contains(&names), "{names} tasks were asked about in {sweeps} sweeps of {tasks}");
    let per_sweep = calls.len() as f64 * tasks as f64 / names as f64;
    // Each share's last call may be a small one.
    let most = tasks.div_ceil(100) + REPLICAS;
    ensure!(per_sweep <= most as f64, "{per_sweep:.1} calls a sweep, at most {most} are needed");
    let peak = peak(&calls);
    let bucket = REPLICAS * plan.rate as usize * 3;
    ensure!(peak <= bucket, "{peak} calls in a second, the buckets let {bucket} through");

    let victim = fleet.all.first().ok_or_else(|| anyhow::anyhow!("no fleet"))?;
    victim.kill();
    ecs.change(&arns[0], |task| task.stops("STOPPED"));
    let stopped = Instant::now();
    let gone = until("the stopped task to be gone", plan.every + GRACE, async || {
        let views = join_all(replicas.iter().map(|replica| replica.api.status(SERVICE, &victim.spec.at))).await;
        for view in views {
            let status = view?;
            ensure!(status == "absent", "it is {status}");
        }
        Ok(stopped.elapsed())
    });
    let gone = gone.await?;
    let counts = try_join_all(replicas.iter().map(|replica| replica.api.instances(SERVICE))).await?;
    ensure!(counts.iter().all(|all| all.len() == tasks - 1), "more than one is gone");
    Ok(Outcome { calls: per_sweep, peak, gone })
}

/// The most calls within any second.
fn peak(calls: &[Call]) -> usize {
    let within = |first: &Call| {
        let near = |call: &&Call| call.at >= first.at && call.at - first.at < Duration::from_secs(1);
        calls.iter().filter(near).count()
    };
    calls.iter().map(within).max().unwrap_or(0)
}
