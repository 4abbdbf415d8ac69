//! Who is connected, and who has to go when too many are: a new connection may be a reader that reconnects, so the ones
//! that did nothing for the longest time give way to it.
//!
//! Room is made before the last place is taken, several places at a time, so that a flood pays one look at all for many
//! of its connections. Whoever was served a moment ago, or is being served, stays; if nobody else is left, the new one is
//! closed at the door.

use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};

use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use super::watch::Activity;
use crate::metrics::Metrics;

/// A connection that served less than this ago is in use: pollers come every second or two.
const IN_USE: Duration = Duration::from_secs(3);

/// All connections.
#[derive(Debug)]
pub struct Crowd {
    limit: usize,
    connections: JoinSet<()>,
    members: HashMap<Id, Member>,
    /// How many were asked to go and are not gone yet.
    going: usize,
    metrics: Metrics,
}

#[derive(Debug)]
struct Member {
    activity: Arc<Activity>,
    task: AbortHandle,
    going: bool,
}

impl Crowd {
    /// At most so many.
    pub fn new(limit: usize, metrics: Metrics) -> Self {
        Self { limit, connections: JoinSet::new(), members: HashMap::new(), going: 0, metrics }
    }

    /// Serves a connection, or drops it if all others are busy.
    pub fn admit(&mut self, activity: Arc<Activity>, connection: impl Future<Output = ()> + Send + 'static) {
        while let Some(ended) = self.connections.try_join_next_with_id() {
            self.forget(ended);
        }
        if self.connections.len() - self.going >= self.limit - share(self.limit, 32) {
            self.make_room();
        }
        if self.connections.len() >= self.limit {
            self.metrics.closed("full");
            return tracing::debug!("connection refused, too many are open");
        }
        let task = self.connections.spawn(connection);
        self.members.insert(task.id(), Member { activity, task, going: false });
        self.metrics.connections.inc();
    }

    /// Ready when a connection has ended, never while there is none.
    pub async fn one_ended(&mut self) {
        match self.connections.join_next_with_id().await {
            Some(ended) => self.forget(ended),
            None => std::future::pending().await,
        }
    }

    /// Ready when all have ended.
    pub async fn all_ended(&mut self) {
        while let Some(ended) = self.connections.join_next_with_id().await {
            self.forget(ended);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    fn make_room(&mut self) {
        let idle = self.members.iter().filter(|(_, member)| !member.going);
        let idle = idle.filter_map(|(id, member)| Some((member.activity.idle()?, *id)));
        for id in idlest(idle.filter(|(idle, _)| *idle >= IN_USE).collect(), share(self.limit, 64)) {
            let Some(member) = self.members.get_mut(&id) else { continue };
            // Nothing is lost: it serves no request, and what it wrote to the store is not its own task.
            member.task.abort();
            member.going = true;
            self.going += 1;
            self.metrics.closed("idle");
        }
    }

    fn forget(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
        if self.members.remove(&id).is_some_and(|member| member.going) {
            self.going -= 1;
        }
        self.metrics.connections.dec();
    }
}

/// One in `parts`, at least one.
fn share(limit: usize, parts: usize) -> usize {
    (limit / parts).max(1)
}

/// The `n` that were idle for the longest time.
fn idlest<T>(mut idle: Vec<(Duration, T)>, n: usize) -> impl Iterator<Item = T> {
    if n < idle.len() {
        idle.select_nth_unstable_by(n, |(one, _), (other, _)| other.cmp(one));
    }
    idle.into_iter().take(n).map(|(_, id)| id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Version;
    use tokio::time::advance;

    #[test]
    fn the_idlest_of_many() {
        let idle = [5, 9, 3, 7].map(|seconds| (Duration::from_secs(seconds), seconds));
        let of = |n| {
            let mut ids: Vec<_> = idlest(idle.to_vec(), n).collect();
            ids.sort_unstable();
            ids
        };
        assert_eq!([of(0), of(1), of(2), of(9)], [vec![], vec![9], vec![7, 9], vec![3, 5, 7, 9]]);
    }

    /// Whether each of `before` is still connected after one more has come.
    async fn after_one_more(crowd: &mut Crowd, before: &[Arc<Activity>]) -> Vec<bool> {
        crowd.admit(Arc::new(Activity::new()), std::future::pending());
        tokio::task::yield_now().await;
        let connected = |activity: &Arc<Activity>| {
            crowd.members.values().any(|member| Arc::ptr_eq(&member.activity, activity) && !member.going)
        };
        before.iter().map(connected).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_idle_give_way_and_the_busy_stay() {
        let mut crowd = Crowd::new(4, Metrics::default());
        let members: Vec<_> = (0..3).map(|_| Arc::new(Activity::new())).collect();
        for activity in &members {
            crowd.admit(activity.clone(), std::future::pending());
        }
        let (busy, _) = Activity::request_begins(&members[0], Version::HTTP_11);
        advance(IN_USE / 3).await;
        drop(Activity::request_begins(&members[1], Version::HTTP_11));
        advance(IN_USE / 3).await;
        assert_eq!(after_one_more(&mut crowd, &members).await, [true, true, true], "nobody was idle for long");
        assert_eq!(after_one_more(&mut crowd, &members).await, [true, true, true], "full");
        assert_eq!(crowd.len(), 4);
        advance(IN_USE / 3).await;
        assert_eq!(after_one_more(&mut crowd, &members).await, [true, true, false], "it never spoke");
        advance(IN_USE).await;
        assert_eq!(after_one_more(&mut crowd, &members).await, [true, false, false]);
        for _ in 0..9 {
            advance(IN_USE).await;
            assert!(after_one_more(&mut crowd, &members).await[0], "it is being served");
        }
        assert_eq!((crowd.len() <= 4, crowd.going <= 1), (true, true));
        drop(busy);
    }
}
