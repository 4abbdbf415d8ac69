//! The loop of one instance: runs probes and calls, hands results to those who decide, and publishes the status.
//!
//! At most one probe and one call are in flight, side by side, so a slow registry never delays a probe. Heartbeats
//! come out of the same loop as probes. Every wait is one arm of one select, so SIGTERM interrupts all of them. The
//! loop turns at least once a second, which is what /livez sees. A task has one for each of its services and ports;
//! they share the signals, what is known of the task, and nothing else.

use std::{borrow::Cow, future::Future, net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use sds_types::{Health as Belief, Registration};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until},
};

use crate::{
    admin::Status,
    client::Client,
    clock,
    config::{Config, Instance},
    health::Health,
    identity::{Identity, Sight},
    lifecycle::{Answer, Call, Known, Lifecycle, Request, Step},
    metrics::OfInstance,
    probe::{Probe, Prober, Unprepared},
};

mod tell;

/// The loop's longest sleep.
const TURN: Duration = Duration::from_secs(1);
/// A document of the task that is older, or was not renewed for three looks, is no evidence for a check.
const STALE: Duration = Duration::from_secs(30);

/// Something under way, if anything is.
type Running<T> = Option<Pin<Box<dyn Future<Output = T> + Send>>>;

/// What all agents of a task share.
#[derive(Debug, Clone)]
pub struct Shared {
    /// How many times the process was asked to stop.
    pub stop: watch::Receiver<u32>,
    /// What is known of the task.
    pub sight: watch::Receiver<Option<Arc<Sight>>>,
    /// Asks for a fresh look at the task.
    pub look: Arc<Notify>,
}

/// Keeps one instance registered.
pub struct Agent {
    nth: usize,
    instance: Instance,
    shared: Shared,
    metrics: OfInstance,
    start: Instant,
    health: Health,
    lifecycle: Lifecycle,
    client: Client,
    prober: Prober,
    probe_at: Instant,
    /// How old the last look at the task may be.
    stale: Duration,
    /// Since when the app is where it is: what a probe began before says nothing about it.
    placed: Instant,
    /// Probes in a row that did not pass, and why the last one did not.
    not_passed: u32,
    why: String,
    /// Why the last call was not taken; empty if it was.
    untaken: String,
    /// Those that were heeded.
    signals: u32,
    /// Who the registry is told that this is, and who it is by now if that is another.
    identity: Option<Identity>,
    newer: Option<Identity>,
    status: watch::Sender<Status>,
}

impl Agent {
    /// Prepares everything for `instance`, the `nth` of the configuration, and calls nobody.
    pub fn new(
        config: &Config,
        nth: usize,
        instance: &Instance,
        shared: Shared,
        metrics: OfInstance,
    ) -> anyhow::Result<(Self, watch::Receiver<Status>)> {
        let start = Instant::now();
        let not_yet =
            Status { turned: Some(start), ready_until: None, registered_once: false, why_not: "starting".into() };
        let (status, receiver) = watch::channel(not_yet);
        let unprepared = |error: Unprepared| config.misconfigured(nth, ("check", error.to_string()));
        let agent = Self {
            health: Health::new(instance.thresholds),
            lifecycle: Lifecycle::new(config.lifecycle(instance), clock::unix_ms()),
            client: Client::new(&config.api, &config.trust, instance.service.clone(), config.authorization()?)?,
            prober: Prober::new(&instance.checks, instance.timeout).map_err(unprepared)?,
            placed: start,
            stale: STALE.max(config.places.interval.saturating_mul(3)),
            // A fleet that started as one does not probe as one.
            probe_at: start + instance.interval.mul_f64(fastrand::f64()),
            nth,
            instance: instance.clone(),
            shared,
            metrics,
            start,
            not_passed: 0,
            why: String::new(),
            untaken: String::new(),
            signals: 0,
            identity: None,
            newer: None,
            status,
        };
        Ok((agent, receiver))
    }

    /// What it keeps registered.
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// Runs until the drain that the first signal began is over; a second signal skips the linger.
    pub async fn run(mut self) {
        let mut probing: Running<(Probe, Instant)> = None;
        let mut calling: Running<(Request, Answer, Instant)> = None;
        self.shared.sight.mark_changed();
        loop {
            let now = self.start.elapsed();
            let wake = match self.lifecycle.next(now) {
                Step::Exit => break,
                Step::Call(request) => {
                    calling = self.call(request);
                    continue;
                }
                Step::Move => {
                    self.moved();
                    continue;
                }
                Step::Wait(until) => until,
            };
            self.publish();
            let stopping = self.lifecycle.stopping();
            if stopping {
                probing = None;
            }
            let wake = wake.map_or(Duration::MAX, |at| at.saturating_sub(now)).min(TURN);
            let probe_due = probing.is_none() && self.identity.is_some() && !stopping;
            tokio::select! {
                biased;
                Ok(()) = self.shared.stop.changed() => {
                    // Two that came at once are two.
                    let signals = *self.shared.stop.borrow_and_update();
                    for nth in self.signals..signals {
                        let linger = self.lifecycle.linger();
                        match nth {
                            0 if stopping => tracing::info!("SIGTERM, which ends the process when all is said"),
                            0 => tracing::info!(?linger, "SIGTERM: draining, then the deregister after the linger or when all know"),
                            _ => tracing::info!("another SIGTERM: what is left of the linger is skipped"),
                        }
                        if self.lifecycle.sigterm(self.start.elapsed()) {
                            calling = None;
                        }
                    }
                    self.signals = signals;
                }
                Ok(()) = self.shared.sight.changed() => {
                    if self.saw() {
                        calling = None;
                    }
                }
                (request, answer, sent) = next(&mut calling) => self.answered(request, &answer, sent),
                (probe, began) = next(&mut probing) => self.probed(&probe, began),
                () = sleep_until(self.probe_at), if probe_due => {
                    let began = Instant::now();
                    self.probe_at = began + self.pause();
                    let probe = self.probe();
                    probing = Some(Box::pin(async move { (probe.await, began) }));
                }
                () = tokio::time::sleep(wake) => {
                    if stopping {
                        // Whether there still is an app to drain.
                        self.shared.look.notify_one();
                    }
                }
            }
        }
        self.status.send_modify(|status| status.turned = None);
        match self.lifecycle.known() {
            Known::Nothing if !self.lifecycle.registered_once() => {
                tracing::info!(last_check = self.why, "done, never registered")
            }
            Known::Nothing => tracing::info!("done"),
            _ => tracing::warn!("done, but the deregister did not get through: the lease has to run out"),
        }
    }

    /// From one probe to the next: early at random, never late, and sooner while the health is in question.
    fn pause(&self) -> Duration {
        let interval = if self.health.wavers() { self.instance.interval / 2 } else { self.instance.interval };
        interval.mul_f64(1.0 - 0.1 * fastrand::f64())
    }

    fn probe(&self) -> impl Future<Output = Probe> + Send + 'static {
        let latest = self.newer.as_ref().or(self.identity.as_ref());
        let app = latest.map_or(IpAddr::from([127, 0, 0, 1]), |identity| identity.app);
        let sight = self.shared.sight.borrow();
        let sight = sight.as_ref().filter(|sight| sight.at.elapsed() < self.stale);
        let dead = sight.and_then(|sight| sight.instances.get(self.nth)).is_some_and(|seen| seen.app_dead);
        if dead {
            // Until it is started again.
            self.shared.look.notify_one();
        }
        let probe = self.prober.clone().probe(app, sight.and_then(|sight| sight.task.clone()));
        // Whoever would answer, it is not the app.
        async move { if dead { Probe::Fail("ECS says that its container has stopped".into()) } else { probe.await } }
    }

    /// The task was looked at; tells whether a call in flight is given up for what was seen.
    fn saw(&mut self) -> bool {
        let now = self.start.elapsed();
        let Some(sight) = self.shared.sight.borrow_and_update().clone() else { return false };
        let Some(seen) = sight.instances.get(self.nth) else { return false };
        if seen.app_dead && self.health.died(now) {
            self.metrics.changes.inc();
            tracing::warn!("the app's container has stopped");
        }
        self.lifecycle.app_is_dead(seen.app_dead);
        self.knows(&seen.identity);
        self.lifecycle.wants(now, self.wanted());
        if !sight.stopping || self.lifecycle.stopping() {
            return false;
        }
        tracing::info!("ECS wants the task to stop");
        self.lifecycle.drain(now)
    }

    fn knows(&mut self, latest: &Identity) {
        let now = self.start.elapsed();
        let endpoint = latest.endpoint;
        match &self.identity {
            Some(known) if known == latest => self.newer = None,
            Some(known) if known.endpoint == endpoint => {
                self.lifecycle.changed(now);
                (self.identity, self.newer) = (Some(latest.clone()), None);
            }
            Some(known) => {
                if self.newer.as_ref().is_none_or(|newer| newer.endpoint != endpoint) {
                    tracing::warn!(from = %known.endpoint, to = %endpoint, "the app has another address");
                    self.lifecycle.moves(now);
                    // Another container: that the one before it was well does not make this one fit for traffic.
                    self.health.replaced(now);
                    self.placed = Instant::now();
                    self.probe_at = self.placed;
                }
                self.newer = Some(latest.clone());
            }
            None => {
                let (place, revision) = (&latest.locality, &latest.revision);
                tracing::info!(%endpoint, region = %place.region, zone = %place.zone, %revision, "this is the instance");
                self.identity = Some(latest.clone());
            }
        }
    }

    /// Nothing is left at the old address.
    fn moved(&mut self) {
        if let Some(newer) = self.newer.take() {
            self.identity = Some(newer);
        }
    }

    fn call(&mut self, request: Request) -> Running<(Request, Answer, Instant)> {
        let identity = self.identity.as_ref()?;
        let registration = Registration {
            incarnation: request.sequence.incarnation,
            seq: request.sequence.seq,
            health: match request.call {
                Call::Register(health) => health,
                Call::Drain | Call::Deregister(_) => Belief::Unhealthy,
            },
            weight: self.instance.weight,
            canary: self.instance.canary,
            revision: identity.revision.clone(),
            locality: identity.locality.clone(),
            instance_id: identity.instance_id.clone(),
            task_arn: identity.task_arn.clone(),
            tags: identity.tags.clone(),
        };
        let answer = self.client.call(request, identity.endpoint, &registration);
        let sent = Instant::now();
        Some(Box::pin(async move { (request, answer.await, sent) }))
    }

    fn answered(&mut self, request: Request, answer: &Answer, sent: Instant) {
        let (before, had_failed) = (self.lifecycle.known(), self.lifecycle.failures());
        let had_drained = self.lifecycle.drained().is_some();
        self.metrics.call(request.call, answer, sent.elapsed().as_secs_f64());
        self.untaken = match answer {
            Answer::Refused(reason) | Answer::Failed { reason, .. } => reason.clone(),
            _ => String::new(),
        };
        self.lifecycle.answer(self.start.elapsed(), answer, fastrand::f64());
        tell::called(&tell::Ended {
            call: request.call,
            answer,
            known: (before, self.lifecycle.known()),
            failures: (had_failed, self.lifecycle.failures()),
            conflict: self.lifecycle.conflict_until().is_some(),
            endpoint: self.identity.as_ref().map(|identity| identity.endpoint),
            api: self.client.base(),
        });
        if !had_drained && self.lifecycle.drained().is_some() {
            let inflight = self.lifecycle.inflight();
            tracing::info!(?inflight, "everybody knows of the drain: requests in flight may still end");
        }
        if matches!(answer, Answer::Done(_)) {
            self.metrics.acknowledged.set(clock::unix_ms() as f64 / 1000.0);
        }
    }

    fn probed(&mut self, probe: &Probe, began: Instant) {
        let now = self.start.elapsed();
        self.metrics.probe(probe, began.elapsed().as_secs_f64());
        if began < self.placed {
            return;
        }
        let wavered = self.health.wavers();
        let changed = self.health.observe(now, probe);
        self.probe_at = self.probe_at.min(began + self.pause());
        if changed || (!wavered && self.health.wavers()) {
            // ECS may know more: that the app is dead, or at another port.
            self.shared.look.notify_one();
        }
        match probe {
            Probe::Pass => (self.not_passed, self.why) = (0, String::new()),
            Probe::Fail(reason) | Probe::Unknown(reason) => {
                (self.not_passed, self.why) = (self.not_passed.saturating_add(1), reason.clone());
            }
        }
        tell::probed(probe, changed, self.health.belief(), self.not_passed);
        if changed {
            self.metrics.changes.inc();
        }
        self.lifecycle.probed(now, self.wanted());
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
        let with = |what: &'static str, why: &str| match why {
            "" => what.into(),
            why => format!("{what}: {why}").into(),
        };
        let why_not: Cow<'static, str> = match (self.lifecycle.stopping(), &self.identity, self.health.belief()) {
            (true, ..) => "draining".into(),
            (_, None, _) => "the address is not known yet".into(),
            (.., None) => with("the app has not passed its check yet", &self.why),
            _ if conflict => "the address has a second owner".into(),
            (.., Some(Belief::Unhealthy)) => with("the app is unhealthy", &self.why),
            (.., Some(Belief::Healthy)) => {
                with("the registry has not acknowledged the instance within its lease", &self.untaken)
            }
        };
        self.metrics.healthy.set(healthy.into());
        self.metrics.ready.set(ready_until.is_some_and(|until| turned < until).into());
        self.metrics.draining.set(self.lifecycle.stopping().into());
        self.metrics.conflict.set(conflict.into());
        self.metrics.failures.set(self.lifecycle.failures().into());
        let registered_once = self.lifecycle.registered_once();
        self.status.send_replace(Status { turned: Some(turned), ready_until, registered_once, why_not });
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
