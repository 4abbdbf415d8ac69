//! When to register, renew, drain, deregister and exit: compares what should be with what the registry is known to
//! have, and names the one call that closes the gap.
//!
//! One call at a time, each with the next `seq`, so the registry can order them whatever the network does. A call
//! whose end nobody saw leaves a doubt, and a doubt is treated like a registration: it is drained and deregistered.
//! Health goes out as it changes and the row stays, unless `deregister_after` says how long it may stay unhealthy. The
//! stages run one way, serving, draining, leaving, gone: nothing makes a draining instance healthy again, and each
//! stage has its own end in time, so the process exits before the stop timeout whatever the registry answers.
//!
//! The drain begins with SIGTERM, or before it when ECS's metadata says that the task is to stop. In the second case
//! the process stays when all is said, until SIGTERM comes: an essential container that exits would end the app while
//! a load balancer still drains it. An app that is dead has nothing to drain.
//! The registry says when everybody who routes by it knows of the drain; what was sent before that has `inflight` to end, and
//! the linger need not be waited for. A registry that cannot say so changes nothing.
//! Heartbeats need a recent probe: a sidecar whose prober is stuck has nothing to vouch for.
//!
//! No I/O here: `now` is the time since the start, jitter comes as a number from 0 to 1, the agent makes the calls.

use std::{mem, time::Duration};

use sds_types::{Health, Sequence};

mod call;
mod retry;
#[cfg(test)]
mod tests;

pub use call::{Answer, Call, Request, Why};

/// The time since the start of the sidecar.
pub type Elapsed = Duration;

/// How long a DRAINING that does not get through is tried, and a deregister after it.
const PERSIST: Duration = Duration::from_secs(5);
/// How soon a registry is asked again whether all know.
const ASKED_AGAIN: Duration = Duration::from_millis(500);
/// What is left of the stop timeout for the process to end in, before SIGKILL.
const RESERVE: Duration = Duration::from_secs(2);

/// What the configuration decides.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// From the start of the drain to the deregister, at most.
    pub linger: Duration,
    /// What requests may take that were sent before everybody knew of the drain.
    pub inflight: Duration,
    /// From SIGTERM to SIGKILL.
    pub stop_timeout: Duration,
    /// How long an unhealthy instance stays registered; `None` is for ever.
    pub deregister_after: Option<Duration>,
    /// How old the last probe may be for a heartbeat to go out.
    pub patience: Duration,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Make this call; one that is still in flight is given up.
    Call(Request),
    /// Nothing of this instance is left at its old address: go on with the new one.
    Move,
    /// Wait for something to happen, at most until then.
    Wait(Option<Elapsed>),
    /// The process is done.
    Exit,
}

/// What the registry has of this instance, as far as is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Nothing of ours.
    Nothing,
    /// Perhaps something: a call ended unseen, or another owner wrote.
    Doubt,
    /// A row in service with this health.
    Serving(Health),
    /// A draining row.
    Draining,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Serving,
    Draining {
        since: Elapsed,
    },
    Leaving {
        until: Elapsed,
    },
    /// All is said; only SIGTERM is still awaited.
    Gone,
}

/// The state of one instance.
#[derive(Debug)]
pub struct Lifecycle {
    settings: Settings,
    stage: Stage,
    /// When the first SIGTERM came.
    signalled: Option<Elapsed>,
    app_dead: bool,
    wanted: Option<Health>,
    unhealthy_since: Option<Elapsed>,
    /// Until when a deregister of the address that was left is tried.
    moving: Option<Elapsed>,
    probed: Elapsed,
    known: Known,
    /// When the registry last confirmed that it has nothing.
    removed: Option<Elapsed>,
    last: Sequence,
    in_flight: Option<(Call, Elapsed)>,
    /// When what is known must be renewed.
    renew_at: Elapsed,
    /// When the registry first said that everybody knows of the drain.
    drained: Option<Elapsed>,
    /// When the last acknowledged call was sent.
    confirmed: Option<Elapsed>,
    registered_once: bool,
    retry: retry::Retry,
}

impl Lifecycle {
    /// Before the first probe; `incarnation` is the wall clock in ms.
    pub fn new(settings: Settings, incarnation: u64) -> Self {
        Self {
            settings,
            stage: Stage::Serving,
            signalled: None,
            app_dead: false,
            wanted: None,
            unhealthy_since: None,
            moving: None,
            probed: Duration::ZERO,
            known: Known::Nothing,
            removed: None,
            last: Sequence { incarnation, seq: 0 },
            in_flight: None,
            renew_at: Duration::ZERO,
            drained: None,
            confirmed: None,
            registered_once: false,
            retry: retry::Retry::default(),
        }
    }

    /// A probe ended, and this is to be registered now; `None` while there is nothing to register.
    pub fn probed(&mut self, now: Elapsed, wanted: Option<Health>) {
        self.probed = now;
        self.wants(now, wanted);
    }

    /// This is to be registered now; news do not wait for the backoff of what failed before them.
    pub fn wants(&mut self, now: Elapsed, wanted: Option<Health>) {
        if self.wanted != wanted {
            self.wanted = wanted;
            self.unhealthy_since = Some(now).filter(|_| wanted == Some(Health::Unhealthy));
            self.retry.at_once(now);
        }
    }

    /// Something else than the health changed: what is registered is renewed at once.
    pub fn changed(&mut self, now: Elapsed) {
        self.renew_at = self.renew_at.min(now);
    }

    /// The instance has another address now; what stands at the old one goes first.
    pub fn moves(&mut self, now: Elapsed) {
        if self.stage == Stage::Serving && self.moving.is_none() {
            self.moving = Some(now + PERSIST);
            self.retry.anew(now);
        }
    }

    /// SIGTERM; a second one skips what is left of the linger. Tells whether a call in flight is given up for it.
    pub fn sigterm(&mut self, now: Elapsed) -> bool {
        let again = self.signalled.is_some();
        self.signalled = self.signalled.or(Some(now));
        match self.stage {
            Stage::Draining { .. } if again => self.leave(now),
            _ => self.drain(now),
        }
    }

    /// ECS wants the task to stop; SIGTERM is still to come. Tells whether a call in flight is given up for it.
    pub fn drain(&mut self, now: Elapsed) -> bool {
        match self.stage {
            Stage::Serving => self.enter(Stage::Draining { since: now }, now),
            _ => false,
        }
    }

    /// Whether the app's container has stopped.
    pub fn app_is_dead(&mut self, dead: bool) {
        self.app_dead = dead;
    }

    /// The call in flight ended.
    pub fn answer(&mut self, now: Elapsed, answer: &Answer, jitter: f64) {
        let Some((call, sent)) = self.in_flight.take() else { return };
        match answer {
            Answer::Done(told) => {
                self.knows(
                    now,
                    match call {
                        Call::Register(health) => Known::Serving(health),
                        Call::Drain => Known::Draining,
                        Call::Deregister(_) => Known::Nothing,
                    },
                );
                self.registered_once |= matches!(call, Call::Register(Health::Healthy));
                self.confirmed = Some(sent);
                self.renew_at = self.retry.done(sent, now, told.as_ref(), jitter);
                match told.as_ref().and_then(|told| told.drained).filter(|_| call == Call::Drain) {
                    Some(true) => self.drained = self.drained.or(Some(now)),
                    Some(false) if self.drained.is_none() => {
                        self.renew_at = self.renew_at.min(sent + ASKED_AGAIN.mul_f64(1.0 - 0.1 * jitter));
                    }
                    _ => {}
                }
            }
            // Whoever owns an address that is left says what becomes of it.
            Answer::Superseded(_) if self.leaves(call) => self.knows(now, Known::Nothing),
            Answer::Superseded(current) => {
                self.known = Known::Doubt;
                self.last.incarnation = self.last.incarnation.max(current.incarnation.saturating_add(1));
                self.retry.superseded(now);
            }
            Answer::Refused(_) => self.retry.refused(now, self.stopping(), jitter),
            Answer::Failed { doubt, retry_after, .. } => {
                if *doubt && !self.holds(call) {
                    self.known = Known::Doubt;
                }
                self.retry.failed(now, *retry_after, self.stopping(), jitter);
            }
        }
    }

    /// The one thing to do now; a call that it names counts as in flight from here on.
    pub fn next(&mut self, now: Elapsed) -> Step {
        if let Stage::Draining { since } = self.stage
            && (self.app_dead || now >= self.leaves_at(since))
        {
            self.leave(now);
        }
        let left = |until: Elapsed| self.known == Known::Nothing || now >= until;
        match (self.stage, self.moving) {
            (Stage::Serving, Some(until)) if self.in_flight.is_none() && left(until) => {
                (self.moving, self.known) = (None, Known::Nothing);
                self.retry.anew(now);
                return Step::Move;
            }
            // Nobody ever was sent here.
            (Stage::Draining { .. }, _) if self.known == Known::Nothing && !self.registered_once => {
                self.stage = Stage::Gone;
            }
            (Stage::Leaving { until }, _) if left(until) => self.stage = Stage::Gone,
            _ => {}
        }
        if self.stage == Stage::Gone && self.signalled.is_some() {
            return Step::Exit;
        }
        let (call, turn) = self.wish(now);
        let due = call.map_or(Duration::MAX, |call| self.due(call));
        match call {
            Some(call) if self.in_flight.is_none() && due <= now => {
                self.last.seq += 1;
                self.in_flight = Some((call, now));
                let sequence = self.last;
                if self.stage == Stage::Serving && matches!(call, Call::Deregister(_)) {
                    // Only a later incarnation comes back from a goodbye, also from one whose answer is lost.
                    self.last.incarnation = self.last.incarnation.saturating_add(1);
                }
                Step::Call(Request { call, sequence, fresh: mem::take(&mut self.retry.fresh) })
            }
            _ => {
                let due = if self.in_flight.is_some() { Duration::MAX } else { due };
                // A turn that has passed waits for the call in flight.
                let turn = if turn <= now { Duration::MAX } else { turn };
                Step::Wait(Some(due.min(turn)).filter(|at| *at != Duration::MAX))
            }
        }
    }

    /// The call that the registry should have heard, if any, and when another one takes its place.
    fn wish(&self, now: Elapsed) -> (Option<Call>, Elapsed) {
        let unless_gone = |why| Some(Call::Deregister(why)).filter(|_| self.known != Known::Nothing);
        match self.stage {
            Stage::Serving if let Some(until) = self.moving => (unless_gone(Why::Goodbye), until),
            Stage::Serving if now > self.probed + self.settings.patience => (None, Duration::MAX),
            Stage::Serving => {
                let since = self.unhealthy_since.zip(self.settings.deregister_after);
                let until = since.map_or(Duration::MAX, |(since, after)| since + after);
                if now >= until {
                    (unless_gone(Why::Unhealthy), Duration::MAX)
                } else {
                    (self.wanted.map(Call::Register), until)
                }
            }
            Stage::Draining { since } => {
                (Some(Call::Drain).filter(|_| self.known != Known::Nothing), self.leaves_at(since))
            }
            Stage::Leaving { until } => (Some(Call::Deregister(Why::Goodbye)), until),
            Stage::Gone => (None, Duration::MAX),
        }
    }

    /// Until when the instance counts as registered and fit, if no further answer comes.
    pub fn ready_until(&self) -> Option<Elapsed> {
        let fit = self.stage == Stage::Serving
            && self.wanted == Some(Health::Healthy)
            && self.known == Known::Serving(Health::Healthy);
        self.confirmed.filter(|_| fit).map(|at| at + self.retry.lease)
    }

    /// Whether the registry ever acknowledged this instance as fit.
    pub fn registered_once(&self) -> bool {
        self.registered_once
    }

    /// What the registry has.
    pub fn known(&self) -> Known {
        self.known
    }

    /// Whether the drain has begun.
    pub fn stopping(&self) -> bool {
        self.stage != Stage::Serving
    }

    /// Since when everybody is known to know of the drain.
    pub fn drained(&self) -> Option<Elapsed> {
        self.drained
    }

    /// Until when a second owner of the address keeps this one away.
    pub fn conflict_until(&self) -> Option<Elapsed> {
        self.retry.conflict_until
    }

    /// From the start of the drain to the deregister, at most.
    pub fn linger(&self) -> Duration {
        self.settings.linger
    }

    /// What is waited for once everybody knows.
    pub fn inflight(&self) -> Duration {
        self.settings.inflight
    }

    /// Calls in a row that did not work.
    pub fn failures(&self) -> u32 {
        self.retry.failures
    }

    fn enter(&mut self, stage: Stage, now: Elapsed) -> bool {
        let given_up = self.in_flight.take().is_some();
        if given_up {
            self.known = Known::Doubt;
            self.retry.fresh = true;
        }
        self.stage = stage;
        self.retry.anew(now);
        given_up
    }

    fn leave(&mut self, now: Elapsed) -> bool {
        let killed = self.signalled.map_or(Duration::MAX, |at| at + self.settings.stop_timeout);
        self.enter(Stage::Leaving { until: (now + PERSIST).min(killed.saturating_sub(RESERVE)) }, now)
    }

    fn knows(&mut self, now: Elapsed, known: Known) {
        self.known = known;
        self.removed = Some(now).filter(|_| known == Known::Nothing);
    }

    /// Requests in flight have the linger, from the drain's start or from the goodbye that came before it; a DRAINING
    /// that did not get through may have longer.
    fn leaves_at(&self, since: Elapsed) -> Elapsed {
        match self.known {
            Known::Draining => {
                let enough = self.drained.map_or(Duration::MAX, |at| at + self.settings.inflight);
                enough.min(since + self.settings.linger)
            }
            Known::Nothing => self.removed.unwrap_or(since).min(since) + self.settings.linger,
            _ => since + self.settings.linger.max(PERSIST),
        }
    }

    /// Whether a call says goodbye to its address, so that another owner of it is none of our business.
    fn leaves(&self, call: Call) -> bool {
        self.stage != Stage::Serving || matches!(call, Call::Deregister(_))
    }

    fn holds(&self, call: Call) -> bool {
        match call {
            Call::Register(health) => self.known == Known::Serving(health),
            Call::Drain => self.known == Known::Draining,
            Call::Deregister(_) => false,
        }
    }

    fn due(&self, call: Call) -> Elapsed {
        let due = if self.holds(call) { self.renew_at } else { Duration::ZERO };
        due.max(self.retry.not_before())
    }
}
