//! One round of all checks of the app, on fresh connections: a kept-alive one hides a dead listener.
//!
//! The checks run side by side, each with one deadline for everything from the connect to the last byte. The app
//! passes if all do. A failed probe is data, not an error. What failed because of *us* (no descriptors, no ports) says
//! nothing about the app and is unknown; a definite failure of another check still counts. What costs time to make,
//! such as a set of certificate authorities, is made once and shared by all rounds.

use std::{net::IpAddr, sync::Arc, time::Duration};

use tokio::task::JoinSet;

use crate::identity::metadata::Task;

pub mod check;
mod connect;
mod ecs;
mod grpc;
mod http;
mod tls;

use check::{Check, Kind};

/// One round's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// Every check passed.
    Pass,
    /// A check failed, and why.
    Fail(String),
    /// A check could not be made, and why.
    Unknown(String),
}

/// The checks of one instance, ready to run.
#[derive(Debug, Clone)]
pub struct Prober {
    checks: Vec<Arc<Ready>>,
    timeout: Duration,
}

/// A check that cannot be prepared.
#[derive(Debug, thiserror::Error)]
#[error("{check}: {reason}")]
pub struct Unprepared {
    check: String,
    reason: String,
}

/// A check and what its probes share.
#[derive(Debug)]
struct Ready {
    check: Check,
    tls: Option<tls::Client>,
}

impl Prober {
    /// Prepares `checks`; fails only when one of them trusts the system's certificate authorities and there are none.
    pub fn new(checks: &[Check], timeout: Duration) -> Result<Self, Unprepared> {
        let mut system = tls::System::default();
        let ready = |check: &Check| {
            let protocol = match check.kind() {
                Kind::Grpc(_) => "h2",
                Kind::Http(_) | Kind::Tcp(_) | Kind::Ecs(_) => "http/1.1",
            };
            let tls = check.tls().map(|tls| tls::Client::new(tls, protocol, &mut system)).transpose();
            let tls = tls.map_err(|reason| Unprepared { check: check.to_string(), reason })?;
            Ok(Arc::new(Ready { check: check.clone(), tls }))
        };
        Ok(Self { checks: checks.iter().map(ready).collect::<Result<_, _>>()?, timeout })
    }

    /// One round, for an app that is at `app` in a task that was last described by `task`; ends within the timeout.
    pub async fn probe(self, app: IpAddr, task: Option<Arc<Task>>) -> Probe {
        let mut running = JoinSet::new();
        for ready in self.checks {
            let task = task.clone();
            running.spawn(async move {
                let probe = tokio::time::timeout(self.timeout, ready.probe(app, task.as_deref())).await;
                let late = || Probe::Fail(format!("no answer within {:?}", self.timeout));
                match probe.unwrap_or_else(|_| late()) {
                    Probe::Fail(reason) => Probe::Fail(format!("{}: {reason}", ready.check)),
                    Probe::Unknown(reason) => Probe::Unknown(format!("{}: {reason}", ready.check)),
                    Probe::Pass => Probe::Pass,
                }
            });
        }
        let mut all = Probe::Pass;
        while let Some(one) = running.join_next().await {
            let one = one.unwrap_or_else(|_| Probe::Unknown("the probe was cut off".into()));
            all = match (all, one) {
                (fail @ Probe::Fail(_), _) | (_, fail @ Probe::Fail(_)) => fail,
                (unknown @ Probe::Unknown(_), _) => unknown,
                (_, one) => one,
            };
        }
        all
    }
}

impl Ready {
    async fn probe(&self, app: IpAddr, task: Option<&Task>) -> Probe {
        let result = match self.check.kind() {
            Kind::Http(http) => http::probe(http, self.tls.as_ref(), app).await,
            Kind::Tcp(target) => connect::tcp(&target.addresses(app)).await.map(|_| Probe::Pass),
            Kind::Grpc(grpc) => grpc::probe(grpc, self.tls.as_ref(), app).await,
            Kind::Ecs(container) => Ok(ecs::probe(container, task)),
        };
        result.unwrap_or_else(|problem| problem)
    }
}

/// Fail, unless the error tells of a want of ours: descriptors, memory, buffers or local ports.
fn failure(error: &(dyn std::error::Error + 'static)) -> Probe {
    const OURS: [i32; 5] = [
        12,  /* ENOMEM */
        23,  /* ENFILE */
        24,  /* EMFILE */
        99,  /* EADDRNOTAVAIL */
        105, /* ENOBUFS */
    ];
    let mut cause = Some(error);
    while let Some(error) = cause {
        let code = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
        if code.is_some_and(|code| OURS.contains(&code)) {
            return Probe::Unknown(crate::web::cause(error));
        }
        cause = error.source();
    }
    Probe::Fail(crate::web::cause(error))
}

#[cfg(test)]
mod tests;
