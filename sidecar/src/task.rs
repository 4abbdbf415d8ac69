//! All that runs for one ECS task: an agent for each service and port, and the watcher that tells them what is known
//! of the task. It ends when every agent's drain is over, or at once when the watcher finds that the configuration is
//! wrong: no agent registers anything before the watcher knows all of them.

use std::sync::Arc;

use prometheus_client::registry::Registry;
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
};
use tracing::Instrument as _;

use crate::{
    admin::Statuses,
    agent::{Agent, Shared},
    config::{Config, Instance},
    identity::watch::Watcher,
    metrics::Metrics,
};

/// One task's agents, ready to run.
pub struct Task {
    config: Config,
    agents: Vec<Agent>,
    watcher: Watcher,
}

impl Task {
    /// Prepares everything and calls nobody; `stop` counts how often the process was asked to stop.
    pub fn new(
        config: Config,
        stop: watch::Receiver<u32>,
        registry: &mut Registry,
    ) -> anyhow::Result<(Self, Statuses)> {
        let metrics = Metrics::register(registry);
        let ((seen, sight), look) = (watch::channel(None), Arc::new(Notify::new()));
        let wants = config.instances.iter().map(|instance| instance.wants.clone()).collect();
        let watcher = Watcher::new(config.places.clone(), config.given.clone(), wants, seen, Arc::clone(&look))?;
        let shared = Shared { stop, sight, look };
        let numbered = config.instances.iter().enumerate();
        let agents = numbered.map(|(nth, instance)| {
            let metrics = metrics.of(&instance.service, instance.wants.port);
            Agent::new(&config, nth, instance, shared.clone(), metrics)
        });
        let (agents, statuses) = agents.collect::<anyhow::Result<Vec<_>>>()?.into_iter().unzip();
        Ok((Self { config, agents, watcher }, statuses))
    }

    /// Runs to the end.
    pub async fn run(self) -> anyhow::Result<()> {
        let mut agents = JoinSet::new();
        for agent in self.agents {
            let Instance { service, wants, .. } = agent.instance();
            let span = tracing::info_span!("agent", %service, port = wants.port);
            agents.spawn(agent.run().instrument(span));
        }
        let all = async {
            while let Some(ended) = agents.join_next().await {
                ended?;
            }
            Ok(())
        };
        tokio::select! {
            ended = all => ended,
            (nth, reason) = self.watcher.run() => Err(self.config.misconfigured(nth, ("container", reason)).into()),
        }
    }
}
