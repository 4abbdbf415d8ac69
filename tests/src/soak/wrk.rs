//! wrk, one thread and 64 kept-alive connections: how many requests, and how long the slowest hundredth took.

use std::{path::Path, time::Duration};

use anyhow::{Context, ensure};

use crate::programs::bare;

/// What one run saw.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Answers.
    pub requests: f64,
    /// The 99th percentile of their times, in milliseconds.
    pub p99: f64,
}

/// Asks for `url` again and again.
pub async fn run(url: &str, time: Duration) -> anyhow::Result<Seen> {
    let mut command = bare(Path::new("wrk"));
    command.args(["-t1", "-c64", "--latency", &format!("-d{}s", time.as_secs()), url]).kill_on_drop(true);
    let output = command.output().await.context("running wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "wrk failed: {text}{}", String::from_utf8_lossy(&output.stderr));
    ensure!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "wrk saw errors:\n{text}");
    let word = |needle: &str, at: usize| {
        let line = text.lines().find(|line| line.contains(needle))?;
        line.split_whitespace().nth(at)
    };
    let requests = word(" requests in ", 0).and_then(|n| n.parse().ok());
    let p99 = word(" 99% ", 1).or_else(|| word("99%", 1)).and_then(milliseconds);
    requests.zip(p99).map(|(requests, p99)| Seen { requests, p99 }).with_context(|| format!("wrk said:\n{text}"))
}

fn milliseconds(text: &str) -> Option<f64> {
    let at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let number: f64 = text[..at].parse().ok()?;
    match &text[at..] {
        "us" => Some(number / 1000.0),
        "ms" => Some(number),
        "s" => Some(number * 1000.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn times() {
        assert_eq!(
            ["250.00us", "1.25ms", "2.00s", "x"].map(super::milliseconds),
            [Some(0.25), Some(1.25), Some(2000.0), None]
        );
    }
}
