//! The verbs of the ancestors' dialects, whose clients know no incarnation: the registry finds them their place in the
//! order of writes, by what it knows and then by what the store says.

use std::sync::Arc;

use tokio::{sync::oneshot, time::Instant};

use super::{Accepted, Registry, WriteError, detached, fold::Source, judge::Verdict, registration, sync::Command};
use crate::{
    instance::{Content, Gone, Key, Origin, Status},
    store::{IN_REQUEST, Write},
};

/// How often a write is judged anew when another one came first.
const TRIES: usize = 4;

impl Registry {
    /// A registration in one of the ancestors' dialects.
    pub async fn legacy_put(&self, key: Key, content: Content, origin: Origin) -> Result<Accepted, WriteError> {
        let deadline = Instant::now() + IN_REQUEST;
        let registry = self.clone();
        detached(async move { registry.legacy_register(key, Arc::new(content), origin, deadline).await }).await
    }

    /// A deregistration in one of the ancestors' dialects: of whoever is in service there.
    pub async fn legacy_deregister(&self, key: Key) -> Result<Accepted, WriteError> {
        self.ready()?;
        let deadline = Instant::now() + IN_REQUEST;
        let registry = self.clone();
        detached(async move { registry.legacy_leave(&key, deadline).await }).await
    }

    async fn legacy_register(
        &self,
        key: Key,
        content: Arc<Content>,
        origin: Origin,
        deadline: Instant,
    ) -> Result<Accepted, WriteError> {
        for _ in 0..TRIES {
            let (reply, verdict) = oneshot::channel();
            let judge = Command::Legacy { key: key.clone(), origin, content: content.clone(), reply };
            let at = match self.ask(judge, verdict).await? {
                Verdict::Write(at) | Verdict::Rewrite(at) => at,
                Verdict::Heard => {
                    self.metrics.heartbeats.inc();
                    return self.announced(&key).await;
                }
                Verdict::Ignored => return Ok(self.ignored()),
            };
            let registration = registration(Status::Healthy, content.clone(), origin);
            match self.store.register(&key, at, &registration, deadline).await {
                Ok(Write::Done(row)) => {
                    tracing::info!(instance = %key, origin = origin.as_str(), "registered");
                    return self.written(row).await;
                }
                // Somebody was faster, perhaps with the same words: judged anew by what stands there now.
                Ok(Write::Refused { row: Some(row), .. }) => self.fold(row, Source::Read).await?,
                Ok(Write::Refused { row: None, .. }) => break,
                Err(error) => {
                    self.unknown(&key, &error).await?;
                    return Err(error.into());
                }
            }
        }
        Err(WriteError::Superseded(None))
    }

    async fn legacy_leave(&self, key: &Key, deadline: Instant) -> Result<Accepted, WriteError> {
        for _ in 0..TRIES {
            let served = self.lives(&key.service).await?.contains_key(&key.endpoint);
            let row = self.store.read(key, deadline).await?.filter(|_| served).ok_or(WriteError::Unknown)?;
            match row.registration() {
                // The answer to an earlier try was lost; what it asked for is done.
                None => return self.written(row).await,
                Some(found) if found.origin == Origin::Native => return Ok(self.ignored()),
                Some(_) => {}
            }
            match self.store.deregister_if(&row, Gone::Deregistered, deadline).await {
                Ok(Write::Done(row)) => {
                    tracing::info!(instance = %key, "deregistered by a legacy client");
                    return self.written(row).await;
                }
                Ok(Write::Refused { .. }) => {}
                Err(error) => {
                    self.unknown(key, &error).await?;
                    return Err(error.into());
                }
            }
        }
        Err(WriteError::Superseded(None))
    }

    /// Answered as a success that changes nothing.
    fn ignored(&self) -> Accepted {
        self.metrics.legacy_ignored.inc();
        Accepted::Persisted
    }
}
