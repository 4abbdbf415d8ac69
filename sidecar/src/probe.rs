//! One round of all checks of the app, on fresh connections: a kept-alive one hides a dead listener.
//!
//! The checks run side by side, each with one deadline for everything from the connect to the last byte. The app
//! passes if all do. A failed probe is data, not an error. What failed because of *us* (no descriptors, no ports) says
//! nothing about the app and is unknown; a definite failure of another check still counts.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;

use crate::config::{Check, Scheme};

mod http;
mod tcp;

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
    checks: Arc<[Check]>,
    timeout: Duration,
    client: reqwest::Client,
}

impl Prober {
    /// Prepares `checks`; fails only when the TLS library does.
    pub fn new(checks: &[Check], timeout: Duration) -> Result<Self, reqwest::Error> {
        Ok(Self { checks: checks.into(), timeout, client: http::client(checks)? })
    }

    /// One round; ends within the timeout.
    pub async fn probe(self, _app: std::net::IpAddr, _task: Option<Arc<crate::identity::metadata::Task>>) -> Probe {
        let mut running = JoinSet::new();
        for check in self.checks.iter().cloned() {
            let client = self.client.clone();
            running.spawn(async move {
                let probe = async {
                    match &check.scheme {
                        Scheme::Http(url) => http::probe(&client, url.clone()).await,
                        Scheme::Tcp => tcp::probe(&check.addresses).await,
                    }
                };
                let late = || Probe::Fail(format!("no answer within {:?}", self.timeout));
                let probe = tokio::time::timeout(self.timeout, probe).await.unwrap_or_else(|_| late());
                match probe {
                    Probe::Fail(reason) => Probe::Fail(format!("{check}: {reason}")),
                    Probe::Unknown(reason) => Probe::Unknown(format!("{check}: {reason}")),
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
