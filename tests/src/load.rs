//! Requests at a fixed rate through one or more Envoys in turn, over kept-alive connections, that count everything but a
//! 200 as failed.
//!
//! Open loop: a slow answer delays no later request, so an outage of one second costs one second of requests, as it does
//! to real users. Nothing is retried by us. (hyper sends a request again whose pooled connection was closed before any
//! of it was written; towards Envoy, which keeps its connections open here, that does not occur.)

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::ensure;
use reqwest::Client;
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{http, wait};

/// What became of the requests.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Answered with 200, by the name that the app says.
    pub answered: BTreeMap<String, u64>,
    /// All others, by what went wrong.
    pub failed: BTreeMap<String, u64>,
    /// When the first and the last of those ended.
    pub failing: Option<[Instant; 2]>,
}

impl Report {
    /// How many were answered.
    pub fn ok(&self) -> u64 {
        self.answered.values().sum()
    }

    /// How many were not.
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// From the first failure to the last.
    pub fn failing_for(&self) -> Duration {
        self.failing.map_or(Duration::ZERO, |[first, last]| last - first)
    }
}

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub struct Mix {
    /// Requests a second, to all targets together.
    pub rate: u32,
    /// Each how many-th of them is a slow one; 0: none.
    pub slow_every: u64,
    /// How long the app takes for a slow one.
    pub slow: Duration,
}

/// A running load.
#[derive(Debug)]
pub struct Load {
    report: Arc<Mutex<Report>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Load {
    /// Sends `rate` requests a second to `target` until it is stopped.
    pub fn start(target: SocketAddr, rate: u32) -> Self {
        Self::mixed(&[target], Mix { rate, slow_every: 0, slow: Duration::ZERO })
    }

    /// Sends such requests to the targets in turn until it is stopped.
    pub fn mixed(targets: &[SocketAddr], mix: Mix) -> Self {
        let report = Arc::new(Mutex::new(Report::default()));
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(drive(targets.to_vec(), mix, report.clone(), stopped));
        Self { report, stop, task }
    }

    /// What is known so far.
    pub fn report(&self) -> Report {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for `n` more answers, so that there is load while something happens.
    pub async fn flows(&self, n: u64) -> anyhow::Result<()> {
        let before = self.report().ok();
        wait::until("requests to be answered", wait::SOON, async || {
            let now = self.report();
            ensure!(now.ok() >= before + n, "{} answered, failed: {:?}", now.ok() - before, now.failed);
            Ok(())
        })
        .await
    }

    /// Stops, waits for what is in flight, and tells all.
    pub async fn stop(self) -> anyhow::Result<Report> {
        self.stop.send_replace(true);
        self.task.await?;
        Ok(self.report.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

async fn drive(targets: Vec<SocketAddr>, mix: Mix, report: Arc<Mutex<Report>>, mut stopped: watch::Receiver<bool>) {
    let client = http::client(Duration::from_secs(5));
    let mut ticks = interval(Duration::from_secs(1) / mix.rate);
    // After a stall of the machine, a burst of late requests would measure the burst.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut requests = JoinSet::new();
    for (nth, target) in (1_u64..).zip(targets.into_iter().cycle()) {
        if *stopped.borrow_and_update() {
            break;
        }
        ticks.tick().await;
        let slow = nth.checked_rem(mix.slow_every) == Some(0);
        let path = if slow { format!("slow?ms={}", mix.slow.as_millis()) } else { String::new() };
        requests.spawn(one(client.clone(), format!("http://{target}/{path}"), report.clone()));
        while requests.try_join_next().is_some() {}
    }
    requests.join_all().await;
}

async fn one(client: Client, url: String, report: Arc<Mutex<Report>>) {
    let outcome = async {
        let answer = client.get(&url).send().await?;
        let status = answer.status();
        anyhow::Ok((status, answer.text().await?))
    };
    let outcome = outcome.await;
    let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
    if let Ok((status, name)) = &outcome
        && *status == 200
    {
        *report.answered.entry(name.trim().to_owned()).or_default() += 1;
        return;
    }
    let why = outcome.map_or_else(|error| format!("{error:#}"), |(status, text)| format!("{url}: {status}: {text}"));
    *report.failed.entry(why).or_default() += 1;
    let now = Instant::now();
    report.failing.get_or_insert([now; 2])[1] = now;
}
