//! The verbs of the person on call: what is known of an instance, what happened lately, and a word that wins over its
//! registrant's.

use std::sync::Arc;

use tokio::{sync::oneshot, time::Instant};

use super::{Accepted, Events, Facts, Registry, Service, WriteError, detached, fold::Source, sync::Command};
use crate::{
    clock::Timestamp,
    instance::{Key, Override},
    store::{IN_REQUEST, Write, item},
};

/// What is known of one place of the table.
#[derive(Debug)]
pub struct Looked {
    /// Its name, safe to print: it need not be words of our grammar.
    pub name: String,
    /// What is believed of it, if it has a row that could be read.
    pub facts: Option<Facts>,
    /// Its service, as it is served now.
    pub service: Option<Arc<Service>>,
    /// Why its row was left out by the last full read.
    pub quarantine: Option<String>,
    /// When all of this was last known to be true.
    pub fresh: Timestamp,
}

impl Registry {
    /// What is known of `ip_port` of `service`, as they stand in the table.
    pub async fn look_at(&self, service: &str, ip_port: &str) -> Result<Looked, WriteError> {
        let key = service.parse().ok().zip(ip_port.parse().ok());
        let key = key.map(|(service, endpoint)| Key { service, endpoint });
        let (reply, looked) = oneshot::channel();
        self.ask(Command::LookAt { key, name: item::printable(service, ip_port), reply }, looked).await
    }

    /// This replica's last transitions.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// Lays an operator's word over an instance, or takes it away.
    pub async fn set_override(&self, key: Key, new: Option<Override>) -> Result<Accepted, WriteError> {
        self.ready()?;
        let deadline = Instant::now() + IN_REQUEST;
        let registry = self.clone();
        detached(async move {
            match registry.store.set_override(&key, new.as_ref(), deadline).await {
                // No sign of life: an operator's word revives nobody.
                Ok(Write::Done(row)) => {
                    registry.changed(row, Source::Read).await?;
                    registry.announce(key).await
                }
                Ok(Write::Refused { row, .. }) => {
                    if let Some(row) = row {
                        registry.fold(row, Source::Read).await?;
                    }
                    Err(WriteError::Unknown)
                }
                Err(error) => {
                    registry.unknown(&key, &error).await?;
                    Err(error.into())
                }
            }
        })
        .await
    }
}
