//! The verbs of the ancestors' dialects, whose clients know no incarnation: the registry finds them their place in the
//! order of writes, by what it knows and then by what the store says.
//!
//! lyft/discovery knows a host by its ip alone. Its new port is registered before the old one is deregistered: a crash
//! between the two leaves two, not none, and the next heartbeat of the new one ends the old.

mod weight;

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use futures_util::{StreamExt, TryStreamExt, stream};
use sds_types::{Endpoint, Sequence, ServiceName};
use tokio::{sync::oneshot, time::Instant};

use super::{
    Registry, WriteError, detached,
    fold::{Judged, Source},
    judge::{Said, Verdict, next_incarnation},
    registration,
    sync::Command,
};
use crate::{
    instance::{Gone, Key, Origin, Row, Status},
    store::{IN_REQUEST, Write},
};

/// How often a write is judged anew when another one came first.
const TRIES: usize = 4;
/// How many hosts of one request are written at a time: many, because each waits for the announcement that they share.
const AT_ONCE: usize = 64;

impl Registry {
    /// A registration.
    pub async fn legacy_put(&self, key: Key, said: Said) -> Result<(), WriteError> {
        self.legacy_put_all(vec![(key, said)]).await
    }

    /// Registrations of one request. If one fails, others may have been made: the client repeats them all.
    pub async fn legacy_put_all(&self, hosts: Vec<(Key, Said)>) -> Result<(), WriteError> {
        let deadline = Instant::now() + IN_REQUEST;
        let registry = self.clone();
        detached(async move {
            let each = |(key, said)| registry.legacy_register(key, Arc::new(said), deadline);
            stream::iter(hosts).map(each).buffer_unordered(AT_ONCE).try_for_each(async |()| Ok(())).await
        })
        .await
    }

    /// A deregistration of whoever is in service there.
    pub async fn legacy_deregister(&self, key: Key) -> Result<(), WriteError> {
        self.ready()?;
        let deadline = Instant::now() + IN_REQUEST;
        let registry = self.clone();
        detached(async move { registry.legacy_leave(&key, None, deadline).await }).await
    }

    /// Deregistrations of one request; who is not registered needs none.
    pub async fn legacy_deregister_all(&self, keys: Vec<Key>) -> Result<(), WriteError> {
        self.ready()?;
        let deadline = Instant::now() + IN_REQUEST;
        let registry = self.clone();
        detached(async move {
            let mut rows: HashMap<Key, Row> =
                registry.store.rows(&keys).await?.into_iter().map(|row| (row.key.clone(), row)).collect();
            let read = keys.into_iter().map(|key| (rows.remove(&key), key)).collect::<Vec<_>>();
            let each = async |(row, key)| match registry.legacy_leave_as_read(&key, row, None, deadline).await {
                Err(WriteError::Unknown) => Ok(()),
                other => other,
            };
            stream::iter(read).map(each).buffer_unordered(AT_ONCE).try_for_each(async |()| Ok(())).await
        })
        .await
    }

    /// A deregistration of the one host that is in service on an ip.
    pub async fn legacy_deregister_ip(&self, service: ServiceName, ip: IpAddr) -> Result<(), WriteError> {
        let lives = self.lives(&service).await?;
        let mut there = lives.into_keys().filter(|endpoint| endpoint.ip() == ip);
        match (there.next(), there.next()) {
            (Some(endpoint), None) => self.legacy_deregister(Key { service, endpoint }).await,
            (None, _) => Err(WriteError::Unknown),
            (Some(_), Some(_)) => Err(WriteError::Ambiguous),
        }
    }

    async fn legacy_register(&self, key: Key, said: Arc<Said>, deadline: Instant) -> Result<(), WriteError> {
        let former = self.legacy_write(&key, &said, deadline).await?;
        for endpoint in former {
            let former = Key { service: key.service.clone(), endpoint };
            match self.legacy_leave(&former, Some(Origin::Lyft), deadline).await {
                Ok(()) | Err(WriteError::Unknown) => {}
                // The host itself is registered; its next heartbeat tries this again.
                Err(error) => tracing::warn!(%error, instance = %former, "a host's former port stays for now"),
            }
        }
        Ok(())
    }

    /// Registers or hears a host; returns its former ports.
    async fn legacy_write(&self, key: &Key, said: &Arc<Said>, deadline: Instant) -> Result<Vec<Endpoint>, WriteError> {
        // The wait for the announcement is outside: many share it.
        let mut turn = Some(self.turns.of(key).await);
        let mut in_the_way = None;
        for _ in 0..TRIES {
            let (reply, judged) = oneshot::channel();
            let judge = Command::Legacy { key: key.clone(), said: said.clone(), reply };
            let Judged { verdict, content, former } = self.ask(judge, judged).await??;
            let at = match verdict {
                Verdict::Write(at) | Verdict::Rewrite(at) => at.max(in_the_way.unwrap_or(at)),
                Verdict::Heard => {
                    turn.take();
                    self.metrics.heartbeats.inc();
                    return self.announced(key).await.map(|_| former);
                }
                Verdict::Ignored => {
                    self.metrics.legacy_ignored.inc();
                    return Ok(Vec::new());
                }
            };
            let registration = registration(Status::Healthy, Arc::new(content), said.origin);
            match self.store.register(key, at, &registration, deadline).await {
                Ok(Write::Done(row)) => {
                    self.changed(row, Source::Written).await?;
                    turn.take();
                    return self.announce(key.clone()).await.map(|_| former);
                }
                // Somebody was faster, perhaps with the same words: judged anew by what stands there now.
                Ok(Write::Refused { row: Some(row), .. }) => self.fold(row, Source::Read).await?,
                // A row that cannot be served, but can be overtaken.
                Ok(Write::Refused { row: None, at: Some(at) }) => in_the_way = Some(next_incarnation(at)),
                Ok(Write::Refused { row: None, at: None }) => break,
                Err(error) => {
                    self.unknown(key, &error).await?;
                    // What it says is known; that the store should be told again is our trouble.
                    return if matches!(verdict, Verdict::Rewrite(_)) { Ok(former) } else { Err(error.into()) };
                }
            }
        }
        Err(WriteError::Superseded(None))
    }

    /// Deregisters what is in service there, if it has this origin.
    async fn legacy_leave(&self, key: &Key, of: Option<Origin>, deadline: Instant) -> Result<(), WriteError> {
        let row = self.store.read(key, deadline).await?;
        self.legacy_leave_as_read(key, row, of, deadline).await
    }

    /// The same, with what the store has just shown.
    async fn legacy_leave_as_read(
        &self,
        key: &Key,
        mut row: Option<Row>,
        of: Option<Origin>,
        deadline: Instant,
    ) -> Result<(), WriteError> {
        for _ in 0..TRIES {
            let (reply, seen) = oneshot::channel();
            let seen = self.ask(Command::Look { key: key.clone(), reply }, seen).await?;
            let found = row.filter(|row| seen.is_in_service(row)).ok_or(WriteError::Unknown)?;
            match found.registration() {
                // The answer to an earlier try was lost; what it asked for is done.
                None => return self.written(found).await.map(drop),
                Some(standing) if of.is_some_and(|origin| origin != standing.origin) => {
                    return Err(WriteError::Unknown);
                }
                Some(standing) if standing.origin == Origin::Native => {
                    self.metrics.legacy_ignored.inc();
                    return Ok(());
                }
                Some(_) => {}
            }
            let left = if found.is_foreign() {
                // It has nothing of ours to compare; that it still has not is the condition.
                let first = Sequence { incarnation: 1, seq: 1 };
                self.store.deregister(key, first, Gone::Deregistered, deadline).await
            } else {
                self.store.deregister_if(&found, Gone::Deregistered, deadline).await
            };
            match left {
                Ok(Write::Done(row)) => return self.written(row).await.map(drop),
                Ok(Write::Refused { row: standing, .. }) => row = standing,
                Err(error) => {
                    self.unknown(key, &error).await?;
                    return Err(error.into());
                }
            }
        }
        Err(WriteError::Superseded(None))
    }
}
