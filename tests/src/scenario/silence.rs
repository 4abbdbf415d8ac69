//! Many fall silent together: a part and all of a service, one zone of several services, and at last everybody. Two
//! replicas hold and say so, until the silent speak again or the cap ends it.
//!
//! Meanwhile one that dies alone is gone when its lease is over, and whoever leaves with a word leaves at once. The rest of
//! the registry is so large that three of the silent groups are each a loss of a service, but no loss of the registry.

use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::future::{join_all, try_join_all};
use tokio::time::{Instant, sleep_until};

use crate::{
    api::Api,
    dynamo::Dynamo,
    fleet::{Fleet, Registrant, Spec},
    replicas::{self, Replica, addrs},
    stage::Stage,
    wait::{SOON, throughout, until},
};

const ZONES: [&str; 3] = ["a", "b", "c"];
const ZONED: [&str; 3] = ["zoned-0", "zoned-1", "zoned-2"];
/// A service of ten: one of it dies alone.
const VICTIM: &str = "other-0";
/// Beyond the lease, for a death; also for the end of a hold.
const GRACE: Duration = Duration::from_secs(2);
/// A change is in all answers within.
const PROMPT: Duration = Duration::from_secs(1);

/// What is played.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Without a heartbeat.
    pub lease: Duration,
    /// The longest hold; at least two leases.
    pub cap: Duration,
    /// How many are well; at least a hundred.
    pub others: u32,
}

/// What was seen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outcome {
    /// How many were held at most.
    pub held: usize,
    /// From a death elsewhere until both replicas' answers were without it.
    pub death: Duration,
    /// From a scale-in until both replicas' answers told it.
    pub scale_in: Duration,
    /// From the word of some that were held until they no longer were.
    pub back: Duration,
    /// From the silence of those that were held until the last of them was gone.
    pub ended: Duration,
}

/// Plays it; an error names what was not kept.
pub async fn play(stage: &Stage, plan: Plan) -> anyhow::Result<Outcome> {
    let store = Dynamo::in_memory(stage).await?;
    let span = |span: Duration| format!("{}ms", span.as_millis());
    let (lease, cap) = (span(plan.lease), span(plan.cap));
    let env = [("SDS_LEASE", lease.as_str()), ("SDS_HOLD_MAX", cap.as_str())];
    let replicas = replicas::start(stage, store.addr, 2, &env).await?;
    let fleet = Fleet::start(specs(plan.others), &addrs(&replicas), plan.lease / 3);
    fleet.registered(2 * SOON).await?;
    let play = Play { plan, replicas: &replicas, fleet: &fleet };
    for service in play.services() {
        replicas::agree(&replicas, &service, fleet.of(&service).count(), SOON).await?;
    }
    let mut outcome = play.groups().await.context("groups")?;
    play.everybody(&mut outcome).await.context("everybody")?;
    Ok(outcome)
}

fn specs(others: u32) -> impl Iterator<Item = Spec> {
    let twenty = ["part", "whole"].into_iter().flat_map(|service| [service; 20]);
    let zoned = ZONED.into_iter().flat_map(|service| [service; 9]);
    let named = twenty.chain(zoned).map(str::to_owned).chain((0..others).map(|nth| format!("other-{}", nth / 10)));
    (0..).zip(named).map(|(nth, service)| Spec::new(&service, nth).zone(ZONES[nth as usize % ZONES.len()]))
}

struct Play<'a> {
    plan: Plan,
    replicas: &'a [Replica],
    fleet: &'a Fleet,
}

impl Play<'_> {
    fn services(&self) -> Vec<String> {
        let mut services: Vec<_> = self.fleet.all.iter().map(|one| one.spec.service.clone()).collect();
        services.dedup();
        services
    }

    /// 40 % of a service, all of another one, and a zone of several.
    async fn groups(&self) -> anyhow::Result<Outcome> {
        let Self { plan, replicas, fleet } = *self;
        let zone = ZONED.iter().flat_map(|service| fleet.of(service)).filter(|one| is_in_zone(one, ZONES[0]));
        let silent: Vec<_> = fleet.of("part").take(8).chain(fleet.of("whole")).chain(zone).collect();
        let wanted: Vec<_> = ["part", "whole"].into_iter().chain(ZONED).zip([8, 20, 3, 3, 3]).collect();
        let start = Instant::now();
        silent.iter().for_each(|one| one.silence());
        // Their last words may be a heartbeat old.
        let held = try_join_all(wanted.iter().map(|(service, held)| self.says(service, *held)));
        let (death, scale_in, held) = tokio::join!(self.death(), self.scale_in("other-1", 6), held);
        let (death, scale_in) = (death?, scale_in?);
        held?;
        let keep = (start + plan.cap).saturating_duration_since(Instant::now() + plan.lease / 3 + GRACE / 2);
        throughout("they are held", keep, async || {
            try_join_all(wanted.iter().map(|(service, held)| self.holds(service, *held))).await.map(drop)
        })
        .await?;
        self.counts(silent.len()).await?;

        let (speak, stay) = silent.split_at(4);
        let spoken = Instant::now();
        speak.iter().for_each(|one| one.serve());
        until("those that speak again to be held no more", self.heard(), async || self.holds("part", 4).await).await?;
        let back = spoken.elapsed();
        ensure!(start.elapsed() < plan.cap, "the machine was too slow for this cap");
        for (service, left) in [("part", 16), ("whole", 0), (ZONED[0], 6), (ZONED[1], 6), (ZONED[2], 6)] {
            let bound = (start + plan.cap + GRACE).saturating_duration_since(Instant::now());
            replicas::agree(replicas, service, left, bound).await.context("the cap")?;
        }
        let ended = start.elapsed();
        self.counts(0).await?;
        stay.iter().for_each(|one| one.serve());
        for service in self.services() {
            replicas::agree(replicas, &service, self.listed(&service), SOON).await.context("they speak again")?;
        }
        Ok(Outcome { held: silent.len(), death, scale_in, back, ended })
    }

    /// Everything stops but the replicas; who leaves with a word leaves all the same.
    async fn everybody(&self, outcome: &mut Outcome) -> anyhow::Result<()> {
        let Self { plan, replicas, fleet } = *self;
        let all = self.services().iter().map(|service| self.listed(service)).sum();
        let start = Instant::now();
        fleet.all.iter().for_each(Registrant::silence);
        self.counts(all).await?;
        sleep_until(start + plan.lease + GRACE).await;
        self.counts(all).await?;
        outcome.held = all;
        for service in self.services() {
            self.holds(&service, self.listed(&service)).await?;
        }
        let leaver = fleet.of("other-2").next().context("nobody in other-2")?;
        leaver.leave();
        replicas::agree(replicas, "other-2", 9, PROMPT).await.context("a goodbye while all are held")?;
        let speaker = &fleet.all[0];
        speaker.serve();
        until("the only speaker to be held no more", self.heard(), async || self.counts_now(all - 2).await).await?;
        sleep_until(start + plan.cap.saturating_sub(plan.lease / 3 + GRACE / 2)).await;
        self.counts_now(all - 2).await.context("shortly before the cap")?;
        for service in self.services() {
            let left = usize::from(service == speaker.spec.service);
            let bound = (start + plan.cap + GRACE).saturating_duration_since(Instant::now());
            replicas::agree(replicas, &service, left, bound).await.context("the cap")?;
        }
        self.counts(0).await
    }

    async fn death(&self) -> anyhow::Result<Duration> {
        let start = Instant::now();
        self.fleet.of(VICTIM).take(1).for_each(Registrant::kill);
        let bound = self.plan.lease + GRACE;
        replicas::agree(self.replicas, VICTIM, 9, bound).await.context("a death elsewhere")?;
        Ok(start.elapsed())
    }

    /// A replica tells the others of a heartbeat with its next flush.
    fn heard(&self) -> Duration {
        PROMPT + self.plan.lease / 15
    }

    async fn scale_in(&self, service: &str, to: usize) -> anyhow::Result<Duration> {
        let start = Instant::now();
        self.fleet.of(service).skip(to).for_each(Registrant::leave);
        replicas::agree(self.replicas, service, to, PROMPT).await.context("a scale-in")?;
        Ok(start.elapsed())
    }

    /// Waits until both replicas hold so many of a service.
    async fn says(&self, service: &str, held: usize) -> anyhow::Result<()> {
        until("the silent to be held", self.plan.lease + GRACE, async || self.holds(service, held).await).await
    }

    /// Both replicas list all of a service, and say of so many that they hold them.
    async fn holds(&self, service: &str, held: usize) -> anyhow::Result<()> {
        let listed = self.listed(service);
        for told in join_all(self.replicas.iter().map(|replica| told(&replica.api, service))).await {
            let told = told?;
            ensure!(
                told == (Told { listed, header: held, flagged: held }),
                "{held} of {listed} in {service}: {told:?}"
            );
        }
        Ok(())
    }

    /// How many of a service there are that have neither died alone nor said goodbye.
    fn listed(&self, service: &str) -> usize {
        let here = self.fleet.of(service).filter(|one| !one.seen().gone).count();
        here - usize::from(service == VICTIM)
    }

    /// Waits until both replicas count so many as held.
    async fn counts(&self, held: usize) -> anyhow::Result<()> {
        until("the held to be counted", self.plan.lease + GRACE, async || self.counts_now(held).await).await
    }

    async fn counts_now(&self, held: usize) -> anyhow::Result<()> {
        for replica in self.replicas {
            let counted = replica.api.metric("sds_instances_held").await?;
            ensure!(counted == held as f64, "{counted} are counted as held, not {held}");
        }
        Ok(())
    }
}

fn is_in_zone(one: &Registrant, zone: &str) -> bool {
    one.spec.more["locality"]["zone"] == zone
}

/// What one replica says of a service.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    listed: usize,
    /// By `x-sds-state`.
    header: usize,
    /// By the native API.
    flagged: usize,
}

async fn told(api: &Api, service: &str) -> anyhow::Result<Told> {
    let answer = api.eds("v3", &[service], "").await?.expect(200)?;
    let state = answer.header("x-sds-state").to_owned();
    let header = state.split(", ").find_map(|word| word.strip_prefix("held;n=")).map_or(Ok(0), str::parse);
    let header = header.with_context(|| format!("x-sds-state: {state}"))?;
    ensure!(header > 0 || state == "fresh", "x-sds-state: {state}");
    let localities = answer.json()?["resources"][0]["endpoints"].as_array().cloned().unwrap_or_default();
    let listed = localities.iter().filter_map(|locality| locality["lb_endpoints"].as_array()).map(Vec::len).sum();
    let flagged = api.instances(service).await?.values().filter(|instance| instance["held"] == true).count();
    Ok(Told { listed, header, flagged })
}
