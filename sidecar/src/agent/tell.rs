//! What the log tells of an instance, for somebody who has nothing else: each change once, with what to do where a
//! person must act, and what goes on failing at the first, second, fourth, eighth time, so that an outage of a day is not
//! a day of lines.

use sds_types::{Endpoint, Health as Belief};

use crate::{
    lifecycle::{Answer, Call, Known, Why},
    probe::Probe,
};

/// A call that ended.
pub struct Ended<'a> {
    /// What was called.
    pub call: Call,
    /// How it ended.
    pub answer: &'a Answer,
    /// What was known before it, and what is now.
    pub known: (Known, Known),
    /// How many calls had failed in a row before it, and now.
    pub failures: (u32, u32),
    /// Whether a second owner keeps this instance away from here on.
    pub conflict: bool,
    /// Whose instance it is.
    pub endpoint: Option<Endpoint>,
    /// Who was called.
    pub api: &'a str,
}

/// Tells of a call.
pub fn called(ended: &Ended<'_>) {
    let Ended { answer, known: (before, after), failures: (had_failed, failures), api, .. } = *ended;
    let (call, endpoint) = (word(ended.call), ended.endpoint.map(tracing::field::display));
    match answer {
        Answer::Done(_) if before == after && had_failed > 0 => {
            tracing::info!(call, failures = had_failed, api, "the registry hears again");
        }
        Answer::Done(_) if before == after => tracing::debug!(call, "the registry heard"),
        Answer::Done(_) => match after {
            Known::Serving(Belief::Healthy) => tracing::info!(endpoint, "registered as healthy"),
            Known::Serving(_) => tracing::info!(endpoint, "registered as unhealthy"),
            Known::Draining => tracing::info!(endpoint, "registered as draining"),
            _ => tracing::info!(endpoint, "deregistered"),
        },
        Answer::Superseded(current) if ended.conflict => tracing::error!(
            endpoint,
            incarnation = current.incarnation,
            "this address has a second owner, giving way for 5 minutes: two tasks register one ip:port, see SDS_HOST, \
             SDS_PORT and who else registers here"
        ),
        Answer::Superseded(current) => tracing::warn!(
            call,
            endpoint,
            incarnation = current.incarnation,
            "another registration stands at this address, overtaking it: most often one of its former tenant"
        ),
        Answer::Refused(reason) if failures.is_power_of_two() => {
            tracing::error!(call, failures, api, reason, "the registry refuses the call, a configuration is wrong");
        }
        Answer::Failed { reason, .. } if failures.is_power_of_two() => {
            tracing::warn!(call, failures, api, reason, "the call failed, trying again");
        }
        Answer::Refused(reason) | Answer::Failed { reason, .. } => {
            tracing::debug!(call, failures, api, reason, "failed again");
        }
    }
}

/// Tells of a round of checks: whether it changed the belief, and for the how-manieth time in a row none has passed.
pub fn probed(probe: &Probe, changed: bool, belief: Option<Belief>, not_passed: u32) {
    let (reason, unknown) = match probe {
        Probe::Pass => ("passed", false),
        Probe::Fail(reason) => (reason.as_str(), false),
        Probe::Unknown(reason) => (reason.as_str(), true),
    };
    match (probe, belief) {
        (Probe::Pass, _) if changed => tracing::info!("the app is healthy"),
        (_, Some(_)) if changed => tracing::warn!(reason, "the app is unhealthy"),
        (_, None) if changed => tracing::warn!(reason, "the app has not passed within its start period"),
        (_, None) if not_passed.is_power_of_two() => {
            tracing::info!(not_passed, reason, "the app has not passed its check yet");
        }
        _ if unknown && not_passed.is_power_of_two() => {
            tracing::warn!(not_passed, reason, "a check could not be made, which changes nothing");
        }
        _ => tracing::debug!(reason, "probed"),
    }
}

fn word(call: Call) -> &'static str {
    match call {
        Call::Register(Belief::Healthy) => "register",
        Call::Register(Belief::Unhealthy) => "register as unhealthy",
        Call::Drain => "drain",
        Call::Deregister(Why::Goodbye) => "deregister",
        Call::Deregister(Why::Unhealthy) => "deregister the unhealthy",
    }
}
