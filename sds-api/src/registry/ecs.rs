//! ECS's word, carried out: a task that stops drains, one that has stopped leaves. Both are writes that stand only while the row
//! is still the one of which ECS spoke, and neither is a sign of life.
//!
//! A drain keeps the registrant's place in the order, so that all that its sidecar says later is still news: its own drain,
//! its goodbye. A stopped task's tombstone keeps that incarnation out for good, whatever the loss guard holds.

use tokio::{sync::oneshot, time::Instant};

use super::{
    Registry, Roll, Whose, WriteError, detached,
    fold::{Owing, Source},
    lease::Leases,
    sync::Command,
};
use crate::{
    instance::{Gone, Key, Row},
    replica::ReplicaId,
    store::{IN_REQUEST, Trouble, Write},
};

impl Registry {
    /// This replica's name.
    pub fn own(&self) -> &ReplicaId {
        &self.own
    }

    /// How long registrations live.
    pub fn leases(&self) -> Leases {
        self.leases
    }

    /// Registrations that name their tasks, and the other replicas that live.
    pub async fn roll(&self, whose: Whose) -> Result<Roll, WriteError> {
        let (reply, roll) = oneshot::channel();
        self.ask(Command::Roll { whose, reply }, roll).await
    }

    /// ECS says of these incarnations that their tasks run, or no more; it counts for those that are late.
    pub async fn ecs_says(&self, of: Vec<(Key, u64)>, runs: bool) -> Result<(), WriteError> {
        let (reply, told) = oneshot::channel();
        self.ask(Command::EcsSays { of, runs, reply }, told).await
    }

    /// ECS stops the task of this row: it drains. Whether it was done; not if something newer stands there.
    pub async fn ecs_drains(&self, row: Row) -> Result<bool, WriteError> {
        self.ready()?;
        let deadline = Instant::now() + IN_REQUEST;
        let registry = self.clone();
        detached(async move {
            let drained = match registry.store.drain_if(&row, deadline).await {
                Ok(Write::Refused { row: Some(moved), .. }) if only_moved(&row, &moved) => {
                    registry.store.drain_if(&moved, deadline).await
                }
                drained => drained,
            };
            registry.ecs_wrote(&row.key, drained).await
        })
        .await
    }

    /// The task of this row has stopped: it leaves. Whether it was done; with the store away, in these answers.
    pub async fn ecs_removes(&self, row: Row) -> Result<bool, WriteError> {
        self.ready()?;
        let deadline = Instant::now() + IN_REQUEST;
        let registry = self.clone();
        detached(async move {
            let removed = match registry.store.deregister_if(&row, Gone::Stopped, deadline).await {
                Ok(Write::Refused { row: Some(moved), .. }) if only_moved(&row, &moved) => {
                    registry.store.deregister_if(&moved, Gone::Stopped, deadline).await
                }
                removed => removed,
            };
            match removed {
                Err(error) if error.kind == Trouble::Away => {
                    registry.unknown(&row.key, &error).await?;
                    let (reply, owing) = oneshot::channel();
                    let owe = Command::OweGoodbye { key: row.key, at: row.at, why: Gone::Stopped, reply };
                    Ok(registry.ask(owe, owing).await? == Owing::Kept)
                }
                written => registry.ecs_wrote(&row.key, written).await,
            }
        })
        .await
    }

    async fn ecs_wrote(&self, key: &Key, written: Result<Write, crate::store::StoreError>) -> Result<bool, WriteError> {
        match written {
            Ok(Write::Done(row)) => {
                // No sign of life, as an operator's word is none.
                self.changed(row, Source::Read).await?;
                self.announce(key.clone()).await?;
                Ok(true)
            }
            Ok(Write::Refused { row, .. }) => {
                if let Some(row) = row {
                    self.fold(row, Source::Read).await?;
                }
                Ok(false)
            }
            Err(error) => {
                self.unknown(key, &error).await?;
                Err(error.into())
            }
        }
    }
}

/// Whether what stands there is still the incarnation, and of the task, of which ECS spoke.
fn only_moved(row: &Row, moved: &Row) -> bool {
    let task = |row: &Row| row.registration().map(|standing| standing.content.task_arn.clone());
    row.at.incarnation == moved.at.incarnation && task(moved).is_some() && task(row) == task(moved)
}
