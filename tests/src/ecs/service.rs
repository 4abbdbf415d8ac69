//! A service: a number of tasks of one definition, kept up and replaced as ECS's scheduler does it (`ecs/schedule` decides).
//!
//! A loop of its own owns the tasks, so that an unhealthy one is replaced while a test looks elsewhere.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, interval, timeout},
};

use super::{
    Ecs,
    definition::Definition,
    health::Health,
    schedule::{self, Limits, Seen},
    task::{Phase, Task},
};

const TURN: Duration = Duration::from_millis(50);

/// A running service; its tasks end with it.
#[derive(Debug)]
pub struct Service {
    wanted: watch::Sender<Wanted>,
    seen: watch::Receiver<View>,
    runner: JoinHandle<()>,
}

#[derive(Debug, Clone)]
struct Wanted {
    definition: Option<Arc<Definition>>,
    revision: u32,
}

/// The tasks of a service at one moment.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// That have not ended, in the order of their start, with their revision.
    pub tasks: Vec<(u32, Arc<Task>)>,
    /// That have ended.
    pub past: Vec<(u32, Arc<Task>)>,
    /// What kept the scheduler from its work.
    pub error: Option<String>,
    /// The revision that this view is about.
    revision: u32,
    steady: bool,
}

impl View {
    /// How many tasks are healthy and not about to end.
    pub fn healthy(&self) -> usize {
        self.tasks.iter().map(|(_, task)| task.status()).filter(serving).count()
    }
}

fn serving(status: &super::task::Status) -> bool {
    status.phase == Phase::Running && status.health == Health::Healthy
}

impl Service {
    pub(super) fn start(ecs: Ecs, desired: usize) -> Self {
        let (wanted, orders) = watch::channel(Wanted { definition: None, revision: 0 });
        let (told, seen) = watch::channel(View::default());
        let runner = tokio::spawn(run(ecs, desired, orders, told));
        Self { wanted, seen, runner }
    }

    /// Registers a new revision and deploys it; ends when the service is steady: all tasks are of it and healthy, and all
    /// others have ended. Tells how long that took.
    pub async fn deploy(&self, definition: &Definition, within: Duration) -> anyhow::Result<Duration> {
        let start = Instant::now();
        self.wanted.send_modify(|wanted| {
            wanted.definition = Some(Arc::new(definition.clone()));
            wanted.revision += 1;
        });
        let revision = self.wanted.borrow().revision;
        self.until("steady", |view| view.revision == revision && view.steady, within).await?;
        Ok(start.elapsed())
    }

    /// What there is now.
    pub fn view(&self) -> View {
        self.seen.borrow().clone()
    }

    /// Waits until what there is is such.
    pub async fn until(&self, what: &str, is: impl Fn(&View) -> bool, within: Duration) -> anyhow::Result<View> {
        let mut seen = self.seen.clone();
        let found = timeout(within, seen.wait_for(|view| view.error.is_some() || is(view))).await;
        let view = match found {
            Ok(view) => view.context("the scheduler has ended")?.clone(),
            Err(_) => {
                let view = self.view();
                let traces = view.tasks.iter().map(|(revision, task)| format!("{revision}: {}", task.history.trace()));
                bail!("the service is not {what} within {within:?}:\n{}", traces.collect::<Vec<_>>().join("\n"))
            }
        };
        match view.error {
            Some(error) => bail!("the scheduler failed: {error}"),
            None => Ok(view),
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.runner.abort();
    }
}

async fn run(ecs: Ecs, desired: usize, mut wanted: watch::Receiver<Wanted>, told: watch::Sender<View>) {
    let mut turns = interval(TURN);
    loop {
        turns.tick().await;
        let wanted = wanted.borrow_and_update().clone();
        let mut view = told.borrow().clone();
        if let Err(error) = turn(&ecs, desired, &wanted, &mut view).await {
            view.error = Some(format!("{error:#}"));
        }
        told.send_replace(view);
    }
}

async fn turn(ecs: &Ecs, desired: usize, wanted: &Wanted, view: &mut View) -> anyhow::Result<()> {
    let (past, tasks): (Vec<_>, Vec<_>) =
        view.tasks.drain(..).partition(|(_, task)| task.status().phase == Phase::Stopped);
    (view.tasks, view.revision) = (tasks, wanted.revision);
    view.past.extend(past);
    let Some(definition) = &wanted.definition else { return Ok(()) };

    let staying = || view.tasks.iter().filter(|(_, task)| task.status().phase < Phase::Stopping);
    let seen: Vec<Seen> = staying()
        .map(|(revision, task)| Seen { current: *revision == wanted.revision, health: task.status().health })
        .collect();
    let settings = ecs.settings();
    let limits = Limits {
        desired,
        minimum_healthy_percent: settings.minimum_healthy_percent,
        maximum_percent: settings.maximum_percent,
    };
    let moves = schedule::moves(limits, &seen);
    for (_, (_, task)) in staying().enumerate().filter(|(at, _)| moves.stop.contains(at)) {
        task.stop("the scheduler stopped it").await;
    }
    for _ in 0..moves.start {
        view.tasks.push((wanted.revision, Arc::new(ecs.run_task(definition, wanted.revision).await?)));
    }
    view.steady = view.tasks.len() == desired
        && view.tasks.iter().all(|(revision, task)| *revision == wanted.revision && serving(&task.status()));
    Ok(())
}
