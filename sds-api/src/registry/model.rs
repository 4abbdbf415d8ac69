//! A randomized model of a whole fleet: several replicas, a table, sidecars that come, change, drain, leave, die and take
//! over addresses, and everything between them that can go wrong. What decides here is the program's own code, all of it:
//! [`super::fold`], [`super::judge`], [`super::cursors`], [`super::voice`], [`super::pages`], [`super::round`]; only what does
//! I/O around it is imitated, step by step (`replica`), and the table is its specification (`table`).
//!
//! A run is made by its seed alone, in virtual time. One that breaks a promise (`oracle`) says which, with the trouble that
//! it takes and what happened. `SDS_MODEL_RUNS` makes more of them.

mod net;
mod oracle;
mod plan;
mod replica;
mod sidecar;
mod table;
mod world;

use plan::{END, Event, REPLICAS, SERVICES, SLOTS, Trouble};
use replica::Replica;
use world::{Ms, World, any};

/// Runs of each kind of trouble.
const RUNS: u64 = 12;

/// Makes one run; what it breaks, and what happened in it.
fn run(seed: u64, plan: &[(Ms, Event)], traced: bool) -> Option<(String, Vec<String>)> {
    fastrand::seed(seed);
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut world = World::default();
    world.trace = traced.then(Vec::new);
    world.table.meta = true;
    let keeps = rng.bool();
    for r in 0..REPLICAS {
        world.replicas.push(Replica { skew: plan::skew(&mut rng), keeps, ..Replica::default() });
        world.later(any(0..2000), move |world| world.boot(r));
    }
    for slot in 0..SLOTS {
        let skew = plan::skew(&mut rng);
        world.later(any(1..10_000), move |world| {
            world.start_sidecar(plan::key(slot), slot % SERVICES, skew, slot == 0);
        });
    }
    for (at, event) in plan.iter().copied() {
        world.later(at, move |world| world.happen(event));
    }
    world.later(0, World::watch);
    world.later(0, World::check_health);
    world.later(END - 1, World::check_agreement);
    world.run(END);
    let broken = world.oracle.broken.take()?;
    Some((broken.clone(), told_of(&broken, &world)))
}

/// What happened to the replicas and to the instances that a breach names.
fn told_of(broken: &str, world: &World) -> Vec<String> {
    let concerned = world.sidecars.iter().enumerate().filter(|(_, sidecar)| broken.contains(&sidecar.key.to_string()));
    let mut words: Vec<_> = concerned.flat_map(|(s, it)| [format!("sidecar {s} "), it.key.to_string()]).collect();
    words.extend(["-- ", " starts", "has read", "missed"].map(String::from));
    let lines = world.trace.iter().flatten();
    lines.filter(|line| words.iter().any(|word| line.contains(word))).cloned().collect()
}

/// Leaves out of a plan what its breach does not need.
fn shrink(seed: u64, mut plan: Vec<(Ms, Event)>) -> Vec<(Ms, Event)> {
    let mut at = 0;
    while at < plan.len() {
        let mut less = plan.clone();
        less.remove(at);
        if run(seed, &less, false).is_some() {
            plan = less;
        } else {
            at += 1;
        }
    }
    plan
}

#[allow(clippy::disallowed_methods, reason = "the size of a test is no configuration of the program")]
fn check(trouble: Trouble) {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let first = number("SDS_MODEL_SEED").unwrap_or(0);
    for seed in first..first + number("SDS_MODEL_RUNS").unwrap_or(RUNS) {
        let plan = plan::plan(trouble, &mut fastrand::Rng::with_seed(seed ^ 0x5d5));
        if run(seed, &plan, false).is_some() {
            let plan = shrink(seed, plan);
            let (broken, trace) = run(seed, &plan, true).unwrap();
            let tail = trace.len().saturating_sub(150);
            panic!("seed {seed} of {trouble:?}\n{}\n{broken}\nwith {plan:?}", trace[tail..].join("\n"));
        }
    }
}

macro_rules! troubles {
    ($($name:ident: $trouble:ident,)*) => { $(
        #[test]
        fn $name() {
            check(Trouble::$trouble);
        }
    )* };
}

troubles! {
    calm: Calm,
    crashes: Crashes,
    pauses: Pauses,
    cuts: Cuts,
    mute: Mute,
    lossy: Lossy,
    outages: Outages,
    wipes: Wipes,
    silence: Silence,
    all_at_once: All,
}
