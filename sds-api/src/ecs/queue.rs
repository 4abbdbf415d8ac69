//! Which call is made next. Lookups that wait are put together, a hundred tasks of one cluster a call, so a deployment of
//! a hundred tasks costs a call or two; they go before the sweep's calls, which are whole already.
//!
//! Pure: who waits is a parameter, and time an argument.

use std::collections::{HashSet, VecDeque};

use tokio::time::Instant;

use super::bucket::Bucket;

/// The most tasks of one `DescribeTasks` call (AWS's API reference).
pub const TASKS: usize = 100;
/// The most lookups that may wait.
const WAITING: usize = 10_000;
/// Calls of one kind that are under way at once: what comes meanwhile is put together.
const UNDER_WAY: usize = 2;

/// What ECS is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// `DescribeTasks`: these ids of a cluster.
    Describe { cluster: String, ids: Vec<String> },
    /// `ListTasks`: those that are to run, from this page on.
    List { cluster: String, page: Option<String> },
}

/// A call to be made, and who waits for it.
#[derive(Debug)]
pub struct Call<W> {
    /// What is asked.
    pub request: Request,
    /// For what somebody waits.
    pub urgent: bool,
    /// Who.
    pub waiting: Vec<W>,
}

/// A lookup of one task.
#[derive(Debug)]
pub struct Lookup<W> {
    /// The cluster's name or ARN.
    pub cluster: String,
    /// The task.
    pub id: String,
    /// Nobody waits after that.
    pub deadline: Instant,
    /// Who waits.
    pub waiting: W,
}

/// What waits for its turn.
#[derive(Debug)]
pub struct Queue<W> {
    bucket: Bucket,
    lookups: VecDeque<Lookup<W>>,
    bulk: VecDeque<(Request, W)>,
    /// Calls under way: urgent ones, and the others.
    under_way: [usize; 2],
}

impl<W> Queue<W> {
    /// An empty one.
    pub fn new(bucket: Bucket) -> Self {
        Self { bucket, lookups: VecDeque::new(), bulk: VecDeque::new(), under_way: [0; 2] }
    }

    /// Somebody waits for one task; told back when too many do.
    pub fn look_up(&mut self, lookup: Lookup<W>) -> Option<W> {
        if self.lookups.len() >= WAITING {
            return Some(lookup.waiting);
        }
        self.lookups.push_back(lookup);
        None
    }

    /// A loop asks; its loop waits for the answer, which bounds this line.
    pub fn bulk(&mut self, request: Request, waiting: W) {
        self.bulk.push_back((request, waiting));
    }

    /// The next call, if one may be made now.
    pub fn next(&mut self, now: Instant) -> Option<Call<W>> {
        self.lookups.retain(|lookup| lookup.deadline > now);
        let [urgent, others] = self.under_way;
        if urgent < UNDER_WAY && !self.lookups.is_empty() && self.bucket.take(true, now) {
            return self.together();
        }
        if others < UNDER_WAY && self.lookups.is_empty() && !self.bulk.is_empty() && self.bucket.take(false, now) {
            let (request, waiting) = self.bulk.pop_front()?;
            self.under_way[1] += 1;
            return Some(Call { request, urgent: false, waiting: vec![waiting] });
        }
        None
    }

    fn together(&mut self) -> Option<Call<W>> {
        let cluster = self.lookups.front()?.cluster.clone();
        let (mut ids, mut seen) = (Vec::new(), HashSet::new());
        let (mut waiting, mut left) = (Vec::new(), VecDeque::new());
        for lookup in self.lookups.drain(..) {
            let fits = lookup.cluster == cluster && (seen.len() < TASKS || seen.contains(&lookup.id));
            if !fits {
                left.push_back(lookup);
                continue;
            }
            if seen.insert(lookup.id.clone()) {
                ids.push(lookup.id);
            }
            waiting.push(lookup.waiting);
        }
        self.lookups = left;
        self.under_way[0] += 1;
        Some(Call { request: Request::Describe { cluster, ids }, urgent: true, waiting })
    }

    /// When to look again for a call, if only a token is missing.
    pub fn ready(&mut self, now: Instant) -> Option<Instant> {
        let [urgent, others] = self.under_way;
        if !self.lookups.is_empty() {
            return (urgent < UNDER_WAY).then(|| self.bucket.ready(true, now));
        }
        (others < UNDER_WAY && !self.bulk.is_empty()).then(|| self.bucket.ready(false, now))
    }

    /// A call has ended.
    pub fn ended(&mut self, urgent: bool) {
        let [of_urgent, of_others] = &mut self.under_way;
        let under_way = if urgent { of_urgent } else { of_others };
        *under_way = under_way.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn queue(rate: u32) -> (Queue<usize>, Instant) {
        let now = Instant::now();
        (Queue::new(Bucket::new(rate, now)), now)
    }

    fn look(queue: &mut Queue<usize>, cluster: &str, id: usize, now: Instant) {
        let (cluster, deadline) = (cluster.to_owned(), now + Duration::from_secs(1));
        assert_eq!(queue.look_up(Lookup { cluster, id: id.to_string(), deadline, waiting: id }), None);
    }

    fn sizes(queue: &mut Queue<usize>, now: Instant) -> Vec<(usize, usize)> {
        std::iter::from_fn(|| {
            let call = queue.next(now)?;
            queue.ended(call.urgent);
            let Request::Describe { ids, .. } = call.request else { panic!("a list") };
            Some((ids.len(), call.waiting.len()))
        })
        .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_is_asked_together_by_cluster_and_hundred() {
        let (mut queue, now) = queue(10);
        (0..150).for_each(|id| look(&mut queue, "a", id, now));
        look(&mut queue, "b", 1, now);
        look(&mut queue, "a", 1, now);
        assert_eq!(sizes(&mut queue, now), [(100, 101), (50, 50), (1, 1)]);
        look(&mut queue, "a", 2, now);
        assert_eq!(sizes(&mut queue, now + Duration::from_secs(1)), [], "nobody waits any longer");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_goes_before_a_loop() {
        let (mut queue, now) = queue(1);
        let bulk = Request::Describe { cluster: "a".into(), ids: vec!["x".into(); 7] };
        queue.bulk(bulk, 7);
        look(&mut queue, "a", 1, now);
        assert_eq!(sizes(&mut queue, now), [(1, 1)], "the last token stays for who waits");
        look(&mut queue, "a", 2, now);
        assert_eq!(sizes(&mut queue, now), [(1, 1)]);
        assert_eq!(queue.ready(now).map(|at| (at - now).as_secs_f64().round()), Some(2.0));
        assert_eq!(sizes(&mut queue, now + Duration::from_secs(3)), [(7, 1)]);
        assert_eq!(queue.ready(now), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_while_calls_are_under_way_waits_to_be_put_together() {
        let (mut queue, now) = queue(10);
        for id in 0..2 {
            look(&mut queue, "a", id, now);
            assert!(queue.next(now).is_some());
        }
        (2..9).for_each(|id| look(&mut queue, "a", id, now));
        assert!(queue.next(now).is_none() && queue.ready(now).is_none());
        queue.ended(true);
        assert_eq!(queue.next(now).map(|call| call.waiting.len()), Some(7));
    }

    #[tokio::test(start_paused = true)]
    async fn the_line_has_an_end() {
        let (mut queue, now) = queue(1);
        (0..WAITING).for_each(|id| look(&mut queue, "a", id, now));
        let one_more =
            Lookup { cluster: "a".into(), id: "x".into(), deadline: now + Duration::from_secs(1), waiting: 42 };
        assert_eq!(queue.look_up(one_more), Some(42));
    }
}
