//! The one loop of the sidecar: runs probes and calls, hands results to those who decide, and publishes the status.
//!
//! At most one probe and one call are in flight, side by side, so a slow registry never delays a probe. Heartbeats
//! come out of the same loop as probes. Every wait is one arm of one select, so SIGTERM interrupts all of them. The
//! loop turns at least once a second, which is what /livez sees.

use std::{future::Future, pin::Pin, time::Duration};

use sds_types::{Health as Belief, Registration, command::Misconfigured};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use crate::{
    admin::Status,
    client::Client,
    clock,
    config::Config,
    health::Health,
    identity::{self, Identity, decide},
    lifecycle::{Answer, Call, Known, Lifecycle, Request, Step},
    metrics::Metrics,
    probe::{Probe, Prober},
};

/// The loop's longest sleep.
const TURN: Duration = Duration::from_secs(1);

/// Something under way, if anything is.
type Running<T> = Option<Pin<Box<dyn Future<Output = T> + Send>>>;

/// Keeps one instance registered.
pub struct Agent {
    config: Config,
    metrics: Metrics,
    start: Instant,
    health: Health,
    lifecycle: Lifecycle,
    client: Client,
    prober: Prober,
    identity: Option<Identity>,
    status: watch::Sender<Status>,
}

impl Agent {
    /// Prepares everything and calls nobody.
    pub fn new(config: Config, metrics: Metrics) -> anyhow::Result<(Self, watch::Receiver<Status>)> {
        let start = Instant::now();
        let not_yet = Status { turned: start, ready_until: None, registered_once: false, why_not: "starting" };
        let (status, receiver) = watch::channel(not_yet);
        let agent = Self {
            health: Health::new(config.thresholds),
            lifecycle: Lifecycle::new(config.lifecycle(), clock::unix_ms()),
            client: Client::new(&config.api, config.service.clone())?,
            prober: Prober::new(&config.checks, config.timeout)
                .map_err(|error| Misconfigured::new("SDS_CHECK", error.to_string()))?,
            identity: decide::decide(&config.given, None).ok(),
            config,
            metrics,
            start,
            status,
        };
        Ok((agent, receiver))
    }

    /// Runs until the drain that `stop` began is over; a second word of it skips the linger.
    pub async fn run(mut self, mut stop: mpsc::Receiver<()>) {
        let mut learning: Running<Identity> = match self.config.metadata.clone() {
            Some(url) => Some(Box::pin(identity::learn(url, self.config.given.clone()))),
            None => None,
        };
        if self.identity.is_none() && learning.is_none() {
            tracing::error!(
                "no address: neither SDS_HOST nor ECS_CONTAINER_METADATA_URI_V4 is set, nothing is registered"
            );
        }
        let mut probing: Running<(Probe, Instant)> = None;
        let mut calling: Running<(Request, Answer, Instant)> = None;
        let mut probe_at = self.start + self.config.interval.mul_f64(fastrand::f64());
        loop {
            let now = self.start.elapsed();
            let wake = match self.lifecycle.next(now) {
                Step::Exit => break,
                Step::Call(request) => {
                    calling = self.call(request);
                    continue;
                }
                Step::Wait(until) => until,
            };
            self.publish();
            let wake = wake.map_or(Duration::MAX, |at| at.saturating_sub(now)).min(TURN);
            let probe_due = probing.is_none() && !self.lifecycle.stopping();
            tokio::select! {
                biased;
                Some(()) = stop.recv() => {
                    tracing::info!(again = self.lifecycle.stopping(), "asked to stop");
                    probing = None;
                    if self.lifecycle.stop(self.start.elapsed()) {
                        calling = None;
                    }
                }
                (request, answer, sent) = next(&mut calling) => self.answered(request, &answer, sent),
                (probe, began) = next(&mut probing) => self.probed(&probe, began),
                identity = next(&mut learning) => self.learned(identity),
                () = sleep_until(probe_at), if probe_due => {
                    let began = Instant::now();
                    // Early at random, never late: a fleet that started as one does not probe as one.
                    probe_at = began + self.config.interval.mul_f64(1.0 - 0.1 * fastrand::f64());
                    let probe = self.prober.clone().probe(std::net::Ipv4Addr::LOCALHOST.into(), None);
                    probing = Some(Box::pin(async move { (probe.await, began) }));
                }
                () = tokio::time::sleep(wake) => {}
            }
        }
        match self.lifecycle.known() {
            Known::Nothing => tracing::info!("done"),
            _ => tracing::warn!("done, but the deregister did not get through: the lease has to run out"),
        }
    }

    fn call(&mut self, request: Request) -> Running<(Request, Answer, Instant)> {
        let identity = self.identity.as_ref()?;
        let registration = Registration {
            incarnation: request.sequence.incarnation,
            seq: request.sequence.seq,
            health: match request.call {
                Call::Register(health) => health,
                Call::Drain | Call::Deregister => Belief::Unhealthy,
            },
            weight: self.config.weight,
            canary: self.config.canary,
            revision: identity.revision.clone(),
            locality: identity.locality.clone(),
            instance_id: identity.instance_id.clone(),
            task_arn: identity.task_arn.clone(),
            tags: self.config.tags.clone(),
        };
        let answer = self.client.call(request, identity.endpoint, &registration);
        let sent = Instant::now();
        Some(Box::pin(async move { (request, answer.await, sent) }))
    }

    fn answered(&mut self, request: Request, answer: &Answer, sent: Instant) {
        let (call, before, had_failed) = (request.call, self.lifecycle.known(), self.lifecycle.failures() > 0);
        self.metrics.call(call, answer, sent.elapsed().as_secs_f64());
        self.lifecycle.answer(self.start.elapsed(), answer, fastrand::f64());
        let failures = self.lifecycle.failures();
        // Once, twice, four times: an outage of a day is not a day of log lines.
        let worth_a_line = failures.is_power_of_two();
        match answer {
            Answer::Done(_) if before == self.lifecycle.known() && had_failed => {
                tracing::info!(?call, "the registry hears again");
            }
            Answer::Done(_) if before == self.lifecycle.known() => tracing::debug!(?call, "the registry heard"),
            Answer::Done(_) => {
                let (service, endpoint) = (&self.config.service, self.identity.as_ref().map(|id| id.endpoint));
                let endpoint = endpoint.map(tracing::field::display);
                match self.lifecycle.known() {
                    Known::Serving(Belief::Healthy) => tracing::info!(%service, endpoint, "registered as healthy"),
                    Known::Serving(_) => tracing::info!(%service, endpoint, "registered as unhealthy"),
                    Known::Draining => tracing::info!(%service, endpoint, "draining"),
                    _ => tracing::info!(%service, endpoint, "deregistered"),
                }
            }
            Answer::Superseded(current) => {
                let conflict = self.lifecycle.conflict_until().is_some();
                let (incarnation, seq) = (current.incarnation, current.seq);
                if conflict {
                    tracing::error!(incarnation, seq, "this address has a second owner, giving way for 5 minutes");
                } else {
                    tracing::warn!(?call, incarnation, seq, "another write stands at this address");
                }
            }
            Answer::Refused(reason) if worth_a_line => {
                tracing::error!(?call, failures, reason, "the registry refuses the call, a configuration is wrong");
            }
            Answer::Failed { reason, .. } if worth_a_line => {
                tracing::warn!(?call, failures, reason, "the call failed, trying again");
            }
            Answer::Refused(reason) | Answer::Failed { reason, .. } => {
                tracing::debug!(?call, failures, reason, "failed again")
            }
        }
        if matches!(answer, Answer::Done(_)) {
            self.metrics.acknowledged.set(self.start.elapsed().as_secs_f64());
        }
    }

    fn probed(&mut self, probe: &Probe, began: Instant) {
        let now = self.start.elapsed();
        self.metrics.probe(probe, began.elapsed().as_secs_f64());
        let changed = self.health.observe(now, probe);
        let reason = match probe {
            Probe::Pass => "passed",
            Probe::Fail(reason) | Probe::Unknown(reason) => reason,
        };
        tracing::debug!(?probe, "probed");
        if changed {
            self.metrics.changes.inc();
            match (probe, self.health.belief()) {
                (Probe::Pass, _) => tracing::info!(reason, "the app is healthy"),
                (_, Some(_)) => tracing::warn!(reason, "the app is unhealthy"),
                (_, None) => tracing::warn!(reason, "the app has not passed within its start period"),
            }
        }
        self.lifecycle.probed(now, self.wanted());
    }

    fn learned(&mut self, identity: Identity) {
        let Identity { endpoint, locality, revision, .. } = &identity;
        let (region, zone) = (&locality.region, &locality.zone);
        tracing::info!(%endpoint, %region, %zone, %revision, "the metadata tells who this task is");
        self.identity = Some(identity);
        let now = self.start.elapsed();
        self.lifecycle.changed(now);
        self.lifecycle.wants(now, self.wanted());
    }

    /// What to register: nothing without an address, nor before the app has passed.
    fn wanted(&self) -> Option<Belief> {
        self.health.belief().filter(|_| self.identity.is_some())
    }

    fn publish(&self) {
        let (now, turned) = (self.start.elapsed(), Instant::now());
        let ready_until = self.lifecycle.ready_until().map(|at| self.start + at);
        let conflict = self.lifecycle.conflict_until().is_some_and(|until| now < until);
        let healthy = self.health.belief() == Some(Belief::Healthy);
        let why_not = match (self.lifecycle.stopping(), &self.identity, self.health.belief()) {
            (true, ..) => "draining",
            (_, None, _) => "the address is not known yet",
            (.., None) => "the app has not passed its check yet",
            _ if conflict => "the address has a second owner",
            (.., Some(Belief::Unhealthy)) => "the app is unhealthy",
            (.., Some(Belief::Healthy)) => "the registry has not acknowledged the instance within its lease",
        };
        self.metrics.healthy.set(healthy.into());
        self.metrics.ready.set(ready_until.is_some_and(|until| turned < until).into());
        self.metrics.draining.set(self.lifecycle.stopping().into());
        self.metrics.conflict.set(conflict.into());
        self.metrics.failures.set(self.lifecycle.failures().into());
        let registered_once = self.lifecycle.registered_once();
        self.status.send_replace(Status { turned, ready_until, registered_once, why_not });
    }
}

/// Waits for what is running, for ever if nothing is; what has ended is no longer running.
async fn next<T>(running: &mut Running<T>) -> T {
    match running {
        Some(future) => {
            let output = future.await;
            *running = None;
            output
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
