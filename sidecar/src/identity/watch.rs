//! Keeps looking at the task: until it is known who its instances are, and from then on for what changes while it
//! lives: ECS wants it to stop, a container dies or comes back at another port, Docker's word on its health.
//!
//! A look is cheap but not free (each sidecar of a fleet makes them all day), so they are rare while nothing happens
//! and come at once when an agent has a reason: a probe failed, or the drain began. A look that fails changes nothing.

use std::{path::PathBuf, sync::Arc, time::Duration};

use reqwest::{Client, Url};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, sleep_until},
};

use super::{
    Given, Seen, Sight, Wants,
    decide::{Documents, Gap, decide, is_dead, needs_host},
    hostfile, imds,
    metadata::{self, MetadataError},
};
use crate::web;

/// After a failed look, doubled up to three intervals.
const FIRST: Duration = Duration::from_millis(250);
/// Between two looks that agents ask for.
const ASKED: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(2);

/// Where to look.
#[derive(Debug, Clone)]
pub struct Places {
    /// `ECS_CONTAINER_METADATA_URI_V4`; without it the task is no ECS task.
    pub metadata: Option<Url>,
    /// `ECS_CONTAINER_METADATA_FILE`.
    pub file: Option<PathBuf>,
    /// The instance metadata service, unless it is switched off.
    pub imds: Option<Url>,
    /// Between two looks while nothing happens.
    pub interval: Duration,
}

/// Why one look told nothing new.
#[derive(Debug, thiserror::Error)]
enum Blind {
    #[error("the task's metadata (ECS_CONTAINER_METADATA_URI_V4): {0}")]
    Metadata(#[from] MetadataError),
    #[error(
        "the host's address is needed, and the instance metadata service does not tell it \
         (in a container its hop limit must be 2 or more; SDS_HOST tells it by hand): {0}"
    )]
    Host(MetadataError),
    /// Of the instance with this number.
    #[error("{1}")]
    Gap(usize, Gap),
}

/// The loop and what it knows.
pub struct Watcher {
    places: Places,
    given: Given,
    wants: Vec<Wants>,
    client: Client,
    documents: Documents,
    /// Whether the documents have told all there is to know.
    placed: bool,
    sight: watch::Sender<Option<Arc<Sight>>>,
    asked: Arc<Notify>,
}

impl Watcher {
    /// Prepares the loop: `sight` is `None` until all of `wants` are known, `asked` calls for a look.
    pub fn new(
        places: Places,
        given: Given,
        wants: Vec<Wants>,
        sight: watch::Sender<Option<Arc<Sight>>>,
        asked: Arc<Notify>,
    ) -> Result<Self, reqwest::Error> {
        let client = web::client(false).timeout(TIMEOUT).build()?;
        Ok(Self { places, given, wants, client, documents: Documents::default(), placed: false, sight, asked })
    }

    /// Looks for ever; ends only when no look could help, with the instance whose container must be named and why.
    pub async fn run(mut self) -> (usize, String) {
        let mut failures = 0_u32;
        loop {
            let began = Instant::now();
            let pause = match self.look().await {
                Ok(()) => {
                    if failures > 0 {
                        tracing::info!(failures, "the task's metadata is there again");
                    }
                    failures = 0;
                    if self.places.metadata.is_none() {
                        // A host tells who it is once and for all.
                        return std::future::pending().await;
                    }
                    self.places.interval
                }
                Err(Blind::Gap(nth, gap @ Gap::Ambiguous(_))) if self.sight.borrow().is_none() => {
                    return (nth, gap.to_string());
                }
                Err(problem) => {
                    failures = failures.saturating_add(1);
                    let known = self.sight.borrow().is_some();
                    match (failures.is_power_of_two(), known) {
                        (true, false) => {
                            tracing::warn!(failures, %problem, "it is not known who this task is, trying again")
                        }
                        (true, true) => {
                            tracing::warn!(failures, %problem, "nothing new is known of the task, which keeps what it has")
                        }
                        (false, _) => tracing::debug!(failures, %problem, "looked in vain again"),
                    }
                    let pause = FIRST.saturating_mul(1 << failures.min(10)).min(self.places.interval.saturating_mul(3));
                    pause.mul_f64(0.5 + 0.5 * fastrand::f64())
                }
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = self.asked.notified() => sleep_until(began + ASKED).await,
            }
        }
    }

    async fn look(&mut self) -> Result<(), Blind> {
        if let Some(base) = &self.places.metadata {
            let source = metadata::Source::new(self.client.clone(), base.clone());
            if self.documents.own.is_none() {
                self.documents.own = source.own().await?.name;
            }
            let task = source.task().await?;
            if self.documents.task.as_deref() != Some(&task) {
                self.documents.task = Some(Arc::new(task));
                self.placed = false;
            }
        }
        if self.documents.host.is_none() && needs_host(&self.given, self.documents.task.as_deref()) {
            self.documents.host = self.places.file.as_deref().and_then(hostfile::read);
            if let (None, Some(base)) = (&self.documents.host, &self.places.imds) {
                self.documents.host = Some(imds::ask(&self.client, base).await.map_err(Blind::Host)?);
            }
        }
        let before = self.sight.borrow().clone();
        if let (true, Some(before)) = (self.placed, &before) {
            self.publish(before.instances.clone());
            return Ok(());
        }
        let mut gap = None;
        let seen =
            self.wants.iter().enumerate().map(|(nth, wants)| match decide(&self.given, wants, &self.documents) {
                Ok(seen) => Some(seen),
                Err(missing) => {
                    gap = gap.take().or(Some((nth, missing)));
                    // Who it is stays as it was where a later document does not tell.
                    let Seen { identity, app_dead } = before.as_ref()?.instances.get(nth)?.clone();
                    Some(Seen { identity, app_dead: is_dead(wants, &self.documents).unwrap_or(app_dead) })
                }
            });
        if let Some(instances) = seen.collect() {
            self.publish(instances);
        }
        self.placed = gap.is_none();
        gap.map_or(Ok(()), |(nth, gap)| Err(Blind::Gap(nth, gap)))
    }

    fn publish(&self, instances: Vec<Seen>) {
        let task = self.documents.task.clone();
        let stopping = task.as_ref().is_some_and(|task| task.desired_status.as_deref() == Some("STOPPED"));
        self.sight.send_replace(Some(Arc::new(Sight { instances, stopping, task, at: Instant::now() })));
    }
}

#[cfg(test)]
mod tests;
