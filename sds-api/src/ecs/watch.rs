//! The watch over registered tasks: asks ECS about them, and has the registry do what follows.
//!
//! - Every interval each replica asks about its share (`share`), so all of them together ask once about each task, a hundred
//!   a call. Of instances that are late or silent in its own eyes each replica asks by itself, for whether they are kept in
//!   its answers is its own belief.
//! - Only tasks of the configured clusters are asked about, and only of the account that answers: what another
//!   account's cluster of the same name knows is not to be had here, and must not be taken for missing.
//! - What is not answered changes nothing.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use sds_types::TaskArnParts;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{
    Answer, Cluster, Clusters, Ecs,
    absent::Absent,
    share::is_mine,
    unregistered::Looks,
    versions::Versions,
    word::{Deed, Word, deed},
};
use crate::{
    clock::Timestamp,
    metrics::EcsMetrics,
    registry::{By, Entry, Registry, Whose, WriteError},
};

/// The most tasks of a call.
const TASKS: usize = super::queue::TASKS;
/// How many of ECS's words are carried out at once: requests' writes come first.
const AT_ONCE: usize = 8;
/// Between two looks for tasks that nobody registered.
const UNREGISTERED: Duration = Duration::from_secs(60);

/// The watch; clones share what it remembers.
#[derive(Debug, Clone)]
pub struct Watch {
    pub(super) ecs: Ecs,
    pub(super) registry: Registry,
    pub(super) clusters: Arc<Clusters>,
    pub(super) metrics: EcsMetrics,
    pub(super) looks: Arc<Looks>,
    absent: Arc<Mutex<Absent>>,
    versions: Arc<Mutex<Versions>>,
}

/// A change of a task, as an event tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The task's ARN.
    pub task: String,
    /// Its state.
    pub last: String,
    /// The state that ECS wants.
    pub desired: String,
    /// ECS's count of its changes.
    pub version: i64,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// So many registrations changed.
    Changed(usize),
    /// A later one was here before.
    Old,
    /// Of a task that is not asked about.
    Foreign,
}

impl Watch {
    /// Begins to watch; the whole registry is asked about once in `every`.
    pub fn start(ecs: Ecs, registry: Registry, clusters: Clusters, every: Duration, metrics: EcsMetrics) -> Self {
        let absent = Absent::new(every.min(Duration::from_secs(10)) / 2);
        let watch = Self {
            ecs,
            registry: registry.by(By::named("ECS", None)),
            clusters: Arc::new(clusters),
            metrics,
            looks: Arc::default(),
            absent: Arc::new(Mutex::new(absent)),
            versions: Arc::default(),
        };
        tokio::spawn(watch.clone().sweep(every));
        tokio::spawn(watch.clone().look_after_the_late(every));
        tokio::spawn(watch.clone().look_for_unregistered());
        watch
    }

    async fn sweep(self, every: Duration) {
        let mut ticks = ticks(every);
        loop {
            ticks.tick().await;
            let Ok(roll) = self.registry.roll(Whose::All).await else { continue };
            self.absent().keep(&roll.entries.iter().map(Entry::task).collect());
            let own = self.registry.own();
            let mine = roll.entries.into_iter().filter(|entry| is_mine(own, &roll.others, entry.task()));
            if self.ask(mine.collect()).await {
                self.metrics.last_sweep.set(i64::try_from(Timestamp::now().seconds()).unwrap_or(i64::MAX));
            }
        }
    }

    async fn look_after_the_late(self, every: Duration) {
        let mut ticks = ticks(every.min(self.registry.leases().flush()));
        let mut asked: HashMap<String, Instant> = HashMap::new();
        loop {
            ticks.tick().await;
            let Ok(roll) = self.registry.roll(Whose::Late).await else { continue };
            let late: HashSet<&str> = roll.entries.iter().map(Entry::task).collect();
            asked.retain(|task, at| at.elapsed() < every && late.contains(task.as_str()));
            let new: Vec<_> = roll.entries.into_iter().filter(|entry| !asked.contains_key(entry.task())).collect();
            // Also if nothing comes of it: who is away is not asked more often than who answers.
            asked.extend(new.iter().map(|entry| (entry.task().to_owned(), Instant::now())));
            self.ask(new).await;
        }
    }

    async fn look_for_unregistered(self) {
        let mut ticks = ticks(UNREGISTERED);
        loop {
            ticks.tick().await;
            let Ok(roll) = self.registry.roll(Whose::Late).await else { continue };
            if is_mine(self.registry.own(), &roll.others, "unregistered") {
                if let Err(error) = self.unregistered().await {
                    tracing::debug!(%error, "tasks that nobody registered were not looked for");
                }
            } else {
                self.metrics.unregistered.set(0);
            }
        }
    }

    /// Asks about these registrations and does what follows; whether ECS spoke of all of them.
    async fn ask(&self, entries: Vec<Entry>) -> bool {
        let mut by_cluster: BTreeMap<&str, (&Cluster, BTreeMap<String, Vec<Entry>>)> = BTreeMap::new();
        for entry in entries {
            let Some(cluster) = self.ours(entry.task()) else { continue };
            let (_, tasks) = by_cluster.entry(&cluster.said).or_insert_with(|| (cluster, BTreeMap::new()));
            tasks.entry(entry.task().to_owned()).or_default().push(entry);
        }
        let mut all = true;
        for (cluster, tasks) in by_cluster.into_values() {
            let names: Vec<&str> = tasks.keys().map(String::as_str).collect();
            for some in names.chunks(TASKS) {
                // The client logs the trouble. What is known of the others in this cluster stays as it is.
                let Ok(answers) = self.ecs.tasks(&cluster.said, some).await else {
                    all = false;
                    break;
                };
                all &= answers.len() == some.len();
                let words: Vec<_> = answers.iter().map(|(task, answer)| (task, self.word(task, answer))).collect();
                let deeds = words.iter().flat_map(|(task, word)| {
                    let entries = tasks.get(*task).into_iter().flatten();
                    entries.filter_map(|entry| Some((entry.clone(), deed(entry, *word)?)))
                });
                all &= self.carry_out(deeds.collect()).await.is_ok();
            }
        }
        all
    }

    /// The cluster of a task that is asked about.
    fn ours(&self, task: &str) -> Option<&Cluster> {
        let name = TaskArnParts::parse(task)?;
        let cluster = self.clusters.of(name)?;
        let here = name.arn.region == self.ecs.region()
            && self.ecs.account().is_none_or(|account| account == name.arn.account);
        (cluster.home.is_some() || here).then_some(cluster)
    }

    fn word(&self, task: &str, answer: &Answer) -> Word {
        match answer {
            Answer::Task(known) => {
                self.absent().found(task);
                known.word()
            }
            // Whose account it is that answers is known by its first task; until then another's task would be missing, too.
            Answer::Missing => {
                let at_home = TaskArnParts::parse(task).is_some_and(|name| {
                    let home = self.clusters.of(name).is_some_and(|cluster| cluster.home.is_some());
                    home || self.ecs.account().is_some_and(|account| account == name.arn.account)
                });
                let believed = at_home && self.absent().missing(task, Instant::now());
                if believed { Word::Stopped } else { Word::Nothing }
            }
        }
    }

    /// Does what is to be done; how much of it was.
    async fn carry_out(&self, deeds: Vec<(Entry, Deed)>) -> Result<usize, WriteError> {
        let of = |wanted| {
            let those = deeds
                .iter()
                .filter(move |(entry, deed)| *deed == wanted || wanted == Deed::Release && ends(entry, *deed));
            those.map(|(entry, _)| (entry.row.key.clone(), entry.row.at.incarnation)).collect::<Vec<_>>()
        };
        let (keep, release) = (of(Deed::Keep), of(Deed::Release));
        let mut done = keep.len();
        for (those, runs) in [(keep, true), (release, false)] {
            if !those.is_empty() {
                self.registry.ecs_says(those, runs).await?;
            }
        }
        let writes = deeds.into_iter().filter(|(_, deed)| matches!(deed, Deed::Drain | Deed::Remove));
        let writes: Vec<_> =
            stream::iter(writes).map(|(entry, deed)| self.write(entry, deed)).buffer_unordered(AT_ONCE).collect().await;
        for write in writes {
            done += usize::from(write?);
        }
        Ok(done)
    }

    async fn write(&self, entry: Entry, deed: Deed) -> Result<bool, WriteError> {
        let (key, task) = (entry.row.key.clone(), entry.task().to_owned());
        let (word, written) = match deed {
            Deed::Drain => ("drained", self.registry.ecs_drains(entry.row).await),
            _ => ("removed", self.registry.ecs_removes(entry.row).await),
        };
        match &written {
            Ok(true) => {
                tracing::info!(instance = %key, task, "{word} on ECS's word");
                self.metrics.word(word);
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(instance = %key, task, %error, "could not be {word} on ECS's word yet"),
        }
        written
    }

    /// An event, which somebody delivered, tells of a change; an error is a reason to tell it again.
    pub async fn told(&self, change: &Change, by: By) -> Result<Told, WriteError> {
        if self.ours(&change.task).is_none() {
            return Ok(Told::Foreign);
        }
        if !self.versions().is_news(&change.task, change.version) {
            return Ok(Told::Old);
        }
        let word = Word::of(&change.last, &change.desired);
        let roll = self.registry.roll(Whose::Task(change.task.clone())).await?;
        let deeds = roll.entries.into_iter().filter_map(|entry| deed(&entry, word).map(|deed| (entry, deed)));
        let telling = Self { registry: self.registry.by(by), ..self.clone() };
        let changed = telling.carry_out(deeds.collect()).await?;
        self.versions().told(&change.task, change.version);
        Ok(Told::Changed(changed))
    }

    fn absent(&self) -> MutexGuard<'_, Absent> {
        self.absent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn versions(&self) -> MutexGuard<'_, Versions> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether ECS's word that the task runs ends with this.
fn ends(entry: &Entry, deed: Deed) -> bool {
    entry.runs && deed == Deed::Drain
}

fn ticks(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
