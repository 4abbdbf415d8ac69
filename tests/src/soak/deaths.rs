//! The matrix of deaths and hangs, ten times over, each time a tenth of a heartbeat later.

use std::time::Duration;

use anyhow::Context;

use super::say;
use crate::{
    programs::Programs,
    scenario::deaths::{self, CASES, HEARTBEAT, Seen},
    stage::Stage,
};

const TIMES: u32 = 10;

/// Plays and prints.
pub async fn run() -> anyhow::Result<()> {
    let mut all = Vec::new();
    for nth in 0..TIMES {
        let stage = Stage::new("soak-deaths", Programs::new(std::env::current_exe().context("finding this program")?))?;
        let logs = stage.log_book();
        let later = HEARTBEAT * nth / TIMES;
        all.extend(deaths::play(&stage, later).await.inspect_err(|_| say(logs.tails()))?);
    }
    say(format!("{TIMES} times each; a lease of 6 s, probes each 500 ms. Seconds, and what is promised."));
    say(format!("{:42} {:9} {:>6} {:>6} {:>6}   {:>12}", "", "becomes", "mean", "max", "bound", "back (max)"));
    for case in CASES {
        let seen: Vec<&Seen> = all.iter().filter(|seen| seen.case == case).collect();
        let [first, ..] = seen[..] else { continue };
        let (mean, max) = spread(seen.iter().map(|seen| seen.took));
        let back = seen.iter().filter_map(|seen| seen.back).max();
        let back = back.map_or_else(String::new, |back| format!("{:.2}", back.as_secs_f64()));
        let bound = first.bound.as_secs_f64();
        let became = if first.became == "healthy" { "(heard)" } else { first.became };
        say(format!("{:42} {became:9} {mean:6.2} {max:6.2} {bound:6.2}   {back:>12}", case.to_string()));
    }
    Ok(())
}

/// Mean and maximum in seconds.
fn spread(times: impl Iterator<Item = Duration>) -> (f64, f64) {
    let seconds: Vec<f64> = times.map(|time| time.as_secs_f64()).collect();
    (seconds.iter().sum::<f64>() / seconds.len() as f64, seconds.iter().copied().fold(0.0, f64::max))
}
