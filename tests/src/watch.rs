//! Who may not be missing, and two who look all the time whether somebody is: at the hosts that Envoys have ([`Watch`]), and
//! at what replicas answer to their polls ([`Polls`]).

mod expected;
mod polls;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::ensure;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use crate::{
    envoy::{self, Envoy},
    http,
};

pub use expected::Expected;
pub use polls::{Polls, Seen};

/// Between two looks at an Envoy.
const EVERY: Duration = Duration::from_millis(100);

/// Looks at Envoys until it is stopped.
#[derive(Debug)]
pub struct Watch {
    looks: Arc<Mutex<Looks>>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Looks {
    made: u64,
    /// In how many looks this was wrong.
    wrong: BTreeMap<String, u64>,
}

impl Watch {
    /// Each of them has all of the expected hosts from now on.
    pub fn over<'a>(envoys: impl IntoIterator<Item = &'a Envoy>, expected: &Expected) -> Self {
        let looks = Arc::<Mutex<Looks>>::default();
        let mut tasks = JoinSet::new();
        for (nth, envoy) in envoys.into_iter().enumerate() {
            let (admin, expected, looks) = (envoy.admin, expected.clone(), looks.clone());
            let client = http::client(Duration::from_secs(5));
            tasks.spawn(async move {
                let mut ticks = interval(EVERY);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    ticks.tick().await;
                    let clusters = envoy::clusters(&client, admin).await;
                    let mut looks = looks.lock().unwrap_or_else(PoisonError::into_inner);
                    looks.made += 1;
                    let clusters = match clusters {
                        Ok(clusters) => clusters,
                        Err(error) => {
                            *looks.wrong.entry(format!("Envoy {nth}: {error:#}")).or_default() += 1;
                            continue;
                        }
                    };
                    for service in expected.services() {
                        let has = |at: &str| clusters.get(&service).is_some_and(|hosts| hosts.contains_key(at));
                        for at in expected.missing(&service, has) {
                            *looks.wrong.entry(format!("Envoy {nth} has lost {service}/{at}")).or_default() += 1;
                        }
                    }
                }
            });
        }
        Self { looks, _tasks: tasks }
    }

    /// An error if anybody was missing so far; else how many looks there were.
    pub fn lost_nothing(&self) -> anyhow::Result<u64> {
        let looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(looks.wrong.is_empty(), "in {} looks: {:?}", looks.made, looks.wrong);
        ensure!(looks.made > 0, "nobody looked");
        Ok(looks.made)
    }
}
