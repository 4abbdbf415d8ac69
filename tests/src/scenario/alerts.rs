//! The shipped rules under a real Prometheus that scrapes a running mesh: while all is well no alert fires; then each one is
//! shown to fire by the fault that it is for. In between, with something of everything to see, each panel of each
//! dashboard is asked for what it draws.
//!
//! The durations of the rules are divided by one number, those of the registry are short of themselves. Faults that do not
//! touch each other happen at the same time; before each one its alerts must be silent.

mod odd;
mod world;

use std::{collections::BTreeSet, fmt, fs, time::Duration};

use anyhow::{Context, ensure};
use tokio::time::Instant;

use crate::{
    dashboard,
    gate::Fault,
    mesh::{Mesh, observed::RULES, text},
    prometheus::{Alert, Prometheus, check_config, check_rules},
    rules,
    stage::Stage,
    wait::{SOON, throughout, until},
};
use world::World;

/// The rules' durations are divided by this: five minutes are 15 s, in which fifteen scrapes come.
pub const HURRY: u32 = 20;
/// The longest `for` and the longest window, one after the other, are a minute; and as much for a slow machine.
const FIRES: Duration = Duration::from_secs(120);
/// As long as the longest window: what happened at the start is forgotten.
const CALM: Duration = Duration::from_secs(30);
/// Those of the registries, short as well.
const REGISTRY: [(&str, &str); 2] = [("SDS_LEASE", "3s"), ("SDS_FULL_READ", "2s")];

/// What was seen.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Alerts that fired by their fault, and how soon after it.
    pub fired: Vec<(String, Duration)>,
    /// Queries of panels that had a series.
    pub queries: usize,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (alert, after) in &self.fired {
            writeln!(f, "{alert:<24} fired {after:.1?} after its fault")?;
        }
        write!(f, "{} alerts; {} queries of panels, none of them empty", self.fired.len(), self.queries)
    }
}

/// An alert that is to fire, and a label by which it is the right one.
type Wanted<'a> = (&'static str, &'static str, &'a str);

/// Plays it.
pub async fn play(stage: &Stage) -> anyhow::Result<Outcome> {
    check_rules(&crate::mesh::file(RULES)).await?;
    let mut world = World::start(stage, Mesh::start(stage, &REGISTRY).await?).await?;
    let dir = stage.file("prometheus");
    fs::create_dir_all(&dir)?;
    fs::write(dir.join("rules.yaml"), rules::hurried(&text(RULES)?, HURRY))?;
    let config = dir.join("prometheus.yaml");
    fs::write(&config, world.config()?)?;
    check_config(&config).await?;
    let prometheus = Prometheus::start(stage, &config).await?;
    let mut watch = Watch { prometheus, outcome: Outcome::default() };
    watch.all_up(world.targets()).await?;
    watch.calm().await?;

    let [one, two] = [0, 1].map(|nth: usize| world.mesh.registries[nth].api.addr.to_string());
    let odd = world.odd.api.addr.to_string();
    let wanted = [
        ("SdsNack", "instance", one.as_str()),
        ("SdsBadRows", "instance", &two),
        ("SdsLossGuardHolds", "instance", &one),
        ("SdsAuthRefusals", "why", "unproven"),
        ("SdsPolicyBad", "instance", &odd),
        ("SdsTlsExpires", "of", "certificate"),
        ("SdsEcsUnregistered", "instance", &odd),
        ("SdsConnectionsAtCap", "instance", &odd),
        ("SdsSidecarCutOff", "service", "cut"),
        ("SdsSidecarNotRegistered", "service", "cut"),
        ("SdsSidecarFlaps", "service", "flaps"),
        ("SdsSidecarConflict", "service", "rival"),
        ("SdsEnvoyRejectsUpdates", "envoy_cluster_name", "odd"),
        ("SdsEnvoyCutOff", "severity", "critical"),
        ("SdsRateLimited", "instance", &odd),
        ("SdsNoHealthyHost", "envoy_cluster_name", "empty"),
        ("SdsServiceErrors", "envoy_cluster_name", "failing"),
        ("SdsRetries", "envoy_cluster_name", "sick"),
        ("SdsCircuitOpen", "service_cluster", "narrow"),
    ];
    watch.silent(&wanted).await?;
    let began = Instant::now();
    world.odd_things_happen(stage).await?;
    watch.fire(&wanted, began).await?;
    watch.panels().await?;

    let wanted = [
        ("SdsTlsFilesRefused", "instance", odd.as_str()),
        ("SdsEcsSweepOld", "instance", &odd),
        ("SdsStoreThrottled", "instance", &one),
        ("SdsStoreDenied", "instance", &two),
        ("SdsFullReadOld", "instance", &two),
    ];
    watch.silent(&wanted).await?;
    let began = Instant::now();
    world.odd.files_are_spoilt()?;
    world.odd.ecs.fails(Some(crate::aws::ecs::Fault::Away));
    let (first, second) = (&world.mesh.registries[0], &world.mesh.registries[1]);
    let mut nth = 0;
    first.gate.strike(Fault::throttled(), move |request| {
        nth += 1;
        request.operation() == "Query" && nth % 3 == 0
    });
    second.gate.strike(Fault::denied(), |request| request.operation() == "Scan");
    watch.fire(&wanted, began).await?;
    first.gate.spare();
    second.gate.spare();

    let wanted = [("SdsReplicaMute", "instance", two.as_str()), ("SdsReplicasDeaf", "instance", &one)];
    watch.silent(&wanted).await?;
    let began = Instant::now();
    second.gate.strike(Fault::broken(), |request| request.operation() == "UpdateItem");
    watch.fire(&wanted, began).await?;
    second.gate.spare();

    let wanted = [("SdsRegistryStale", "instance", one.as_str())];
    watch.silent(&wanted).await?;
    let began = Instant::now();
    first.gate.close();
    watch.fire(&wanted, began).await?;

    let wanted = [
        ("SdsReplicaDown", "instance", two.as_str()),
        ("SdsReplicaAlone", "severity", "warning"),
        ("SdsTasksUnseen", "job", "envoy"),
    ];
    watch.silent(&wanted).await?;
    let began = Instant::now();
    world.mesh.tasks[0].envoy.process.kill().await?;
    let second = &mut world.mesh.registries[1];
    second.api.process.kill().await?;
    watch.fire(&wanted, began).await?;

    let wanted = [("SdsReplicaNotReady", "instance", two.as_str())];
    watch.silent(&wanted).await?;
    let began = Instant::now();
    second.gate.close();
    second.start_again(stage).await?;
    watch.fire(&wanted, began).await?;

    let wanted = [("SdsRegistryDown", "job", "sds-api")];
    watch.silent(&wanted).await?;
    let began = Instant::now();
    world.mesh.registries[0].api.process.kill().await?;
    watch.fire(&wanted, began).await?;

    let fired: BTreeSet<_> = watch.outcome.fired.iter().map(|(name, _)| name.clone()).collect();
    let all: BTreeSet<_> = rules::shipped()?.alerts().map(|(name, _)| name.to_owned()).collect();
    ensure!(fired == all, "no fault is known for {:?}", all.difference(&fired));
    Ok(watch.outcome)
}

struct Watch {
    prometheus: Prometheus,
    outcome: Outcome,
}

impl Watch {
    /// Waits until all targets are up, at least so many.
    async fn all_up(&self, at_least: usize) -> anyhow::Result<()> {
        until("all targets to be up", 2 * SOON, async || {
            let targets = self.prometheus.targets().await?;
            let down: Vec<_> = targets.iter().filter(|target| target.health != "up").collect();
            ensure!(down.is_empty() && targets.len() >= at_least, "{} targets, down: {down:?}", targets.len());
            Ok(())
        })
        .await
    }

    async fn firing(&self) -> anyhow::Result<Vec<Alert>> {
        Ok(self.prometheus.alerts().await?.into_iter().filter(|alert| alert.firing).collect())
    }

    async fn calm(&self) -> anyhow::Result<()> {
        let quiet = async || {
            let firing = self.firing().await?;
            ensure!(firing.is_empty(), "{firing:#?}");
            Ok(())
        };
        // A Prometheus that has just begun knows of nobody.
        until("the first scrapes to be in", SOON, quiet).await?;
        throughout("no alert to fire while all is well", CALM, quiet).await
    }

    async fn silent(&self, wanted: &[Wanted<'_>]) -> anyhow::Result<()> {
        let firing = self.firing().await?;
        let early = wanted.iter().find(|wanted| firing.iter().any(|alert| is(alert, wanted)));
        ensure!(early.is_none(), "{early:?} fires before its fault: {firing:#?}");
        Ok(())
    }

    /// Waits until each has fired, and says what to do.
    async fn fire(&mut self, wanted: &[Wanted<'_>], began: Instant) -> anyhow::Result<()> {
        let mut left = wanted.to_vec();
        let result = until("each alert to fire by its fault", FIRES, async || {
            for alert in self.firing().await? {
                let Some(at) = left.iter().position(|wanted| is(&alert, wanted)) else { continue };
                left.remove(at);
                let unfilled =
                    alert.annotations.values().find(|text| text.contains("{{") || text.contains("<no value>"));
                ensure!(unfilled.is_none(), "{}: {unfilled:?}", alert.name);
                self.outcome.fired.push((alert.name, began.elapsed()));
            }
            ensure!(left.is_empty(), "{left:?} do not fire");
            Ok(())
        });
        result.await
    }

    /// Each panel's queries are answered with a series.
    async fn panels(&mut self) -> anyhow::Result<()> {
        let values =
            [("__rate_interval", "5s"), ("service", "web"), ("caller", ".*"), ("node", ".*"), ("replica", ".*")];
        let mut left: Vec<_> = dashboard::all()?.iter().flat_map(dashboard::Board::queries).collect();
        self.outcome.queries = left.len();
        let looked = until("each panel to have something to draw", SOON, async || {
            let mut empty = Vec::new();
            for query in std::mem::take(&mut left) {
                let expression = dashboard::filled(&query.expression, &values);
                if self.prometheus.query(&expression).await.with_context(|| query.place.clone())?.is_empty() {
                    empty.push(query);
                }
            }
            left = empty;
            ensure!(left.is_empty(), "nothing for {left:#?}");
            Ok(())
        });
        looked.await
    }
}

fn is(alert: &Alert, (name, label, value): &Wanted<'_>) -> bool {
    alert.name == *name && alert.labels.get(*label).is_some_and(|has| has == value)
}
