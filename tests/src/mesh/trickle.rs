//! A few requests a second by each caller of the mesh, with the host that its Envoy routes by.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::ensure;
use reqwest::{Client, header::HOST};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use crate::{http, wait};

/// What became of one caller's requests.
#[derive(Debug, Clone, Default)]
pub struct Count {
    /// Answered with 200.
    pub ok: u64,
    /// All others.
    pub failed: u64,
    /// Why the last of these did.
    pub why: String,
}

/// Running callers; they end with it.
#[derive(Debug)]
pub struct Trickle {
    counts: Arc<Mutex<Vec<Count>>>,
    _callers: JoinSet<()>,
}

impl Trickle {
    /// Each of these urls is asked for so often a second, with that host.
    pub fn start(urls: &[(String, &'static str)], rate: u32) -> Self {
        let counts = Arc::new(Mutex::new(vec![Count::default(); urls.len()]));
        let mut callers = JoinSet::new();
        for (nth, (url, host)) in urls.iter().enumerate() {
            callers.spawn(call(url.clone(), host, rate, counts.clone(), nth));
        }
        Self { counts, _callers: callers }
    }

    /// By caller, in the order of their urls.
    pub fn counts(&self) -> Vec<Count> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until each caller has `n` more answers.
    pub async fn flows(&self, n: u64) -> anyhow::Result<()> {
        let before = self.counts();
        wait::until("all callers to be answered", wait::SOON, async || {
            let now = self.counts();
            ensure!(now.iter().zip(&before).all(|(now, before)| now.ok >= before.ok + n), "{now:?}");
            Ok(())
        })
        .await
    }

    /// How many failed, and why the last one did.
    pub fn failed(&self) -> (u64, String) {
        let counts = self.counts();
        let why = counts.iter().map(|count| count.why.clone()).find(|why| !why.is_empty());
        (counts.iter().map(|count| count.failed).sum(), why.unwrap_or_default())
    }
}

async fn call(url: String, host: &'static str, rate: u32, counts: Arc<Mutex<Vec<Count>>>, nth: usize) {
    let client = http::client(Duration::from_secs(5));
    let mut ticks = interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let outcome = ask(&client, &url, host).await;
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(()) => counts[nth].ok += 1,
            Err(error) => {
                counts[nth].failed += 1;
                counts[nth].why = format!("{error:#}");
            }
        }
    }
}

async fn ask(client: &Client, url: &str, host: &str) -> anyhow::Result<()> {
    let answer = client.get(url).header(HOST, host).send().await?;
    let status = answer.status();
    let text = answer.text().await?;
    ensure!(status == 200, "{url}: {status}: {text}");
    Ok(())
}
