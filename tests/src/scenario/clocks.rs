//! Wrong clocks, and replicas that are stopped or cut off. Of three replicas one is 5 minutes ahead and one 5 minutes behind;
//! the third one is right and meets one trouble after the other. Some registrants are ahead and behind too.
//!
//! Before each trouble a group registers with the third replica, small enough that the loss guard does not hold it: it must
//! be heard elsewhere in time. No live host may be missing in any answer, also not in those of the troubled replica, and
//! whoever dies meanwhile must be gone from the healthy ones when its lease is over.

use std::{collections::BTreeSet, fmt, net::SocketAddr, time::Duration};

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use tokio::time::{Instant, sleep_until};

use crate::{
    api::Api,
    clock,
    dynamo::Dynamo,
    faketime,
    fleet::{Registrant, Spec},
    gate::{Fault, Flow},
    replicas::{Replica, addrs},
    stage::Stage,
    wait::{SOON, throughout, until},
};

const WRONG: i64 = 300;
const SERVICES: u32 = 5;
const BASE: u32 = 30;
const GROUP: u32 = 10;
/// After its registration, before a trouble.
const HEARTBEATS: u64 = 2;
/// Beyond the lease, for a death.
const GRACE: Duration = Duration::from_secs(2);

/// What the third replica meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// SIGSTOP.
    Frozen,
    /// It reads; each of its writes fails.
    WritesFail,
    /// It reads; each of its writes is throttled.
    WritesThrottled,
    /// Nothing of the store's arrives, and nothing at the store.
    Cut,
    /// What it says arrives at the store, and no answer comes back.
    Mute,
    /// What it says does not arrive.
    Deaf,
}

impl Trouble {
    /// All.
    pub const ALL: [Self; 6] =
        [Self::Frozen, Self::WritesFail, Self::WritesThrottled, Self::Cut, Self::Mute, Self::Deaf];

    fn begin(self, replica: &Replica) -> anyhow::Result<()> {
        let writes_meet = |fault| replica.gate.strike(fault, |request| request.operation() == "UpdateItem");
        match self {
            Self::Frozen => return replica.freeze(),
            Self::WritesFail => writes_meet(Fault::broken()),
            Self::WritesThrottled => writes_meet(Fault::throttled()),
            Self::Cut => replica.gate.still(),
            Self::Mute => replica.gate.flow(Flow::Mute),
            Self::Deaf => replica.gate.flow(Flow::Deaf),
        }
        Ok(())
    }

    /// The replica then cannot know whether the store is there for others: it accepts heartbeats.
    fn is_of_the_way(self) -> bool {
        matches!(self, Self::Cut | Self::Mute | Self::Deaf)
    }

    fn end(self, replica: &Replica) -> anyhow::Result<()> {
        match self {
            Self::Frozen => return replica.thaw(),
            Self::WritesFail | Self::WritesThrottled => replica.gate.spare(),
            Self::Cut | Self::Mute | Self::Deaf => replica.gate.open(),
        }
        Ok(())
    }
}

/// What is played.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// Without a heartbeat; at least 4.5 s, because a registrant waits 2 s for an answer, whatever the lease.
    pub lease: Duration,
    /// Which ones, and how long each lasts.
    pub troubles: &'a [(Trouble, Duration)],
}

/// What was seen of one trouble.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Which one.
    pub trouble: Trouble,
    /// From its begin until all of the group were heard elsewhere, if they could know that they should be.
    pub moved: Option<Duration>,
    /// From a death elsewhere until it was gone from the answers of the healthy replicas.
    pub death: Duration,
    /// The same for one that had been heard by the troubled replica alone.
    pub own_death: Duration,
    /// From the end until the troubled replica answered as the others do.
    pub back: Duration,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trouble, moved, death, own_death, back } = self;
        write!(f, "{trouble:?}: ")?;
        if let Some(moved) = moved {
            write!(f, "all heard elsewhere after {moved:.1?}, ")?;
        }
        write!(f, "a death gone after {death:.1?}, ")?;
        write!(f, "one of its own after {own_death:.1?}, well again {back:.1?} after the end")
    }
}

/// What was seen.
#[derive(Debug)]
pub struct Outcome {
    /// Whether two replicas had wrong clocks; not so on a machine without libfaketime.
    pub skewed: bool,
    /// Of each trouble.
    pub seen: Vec<Seen>,
}

/// Plays it; an error names what was not kept.
pub async fn play(stage: &Stage, plan: Plan<'_>) -> anyhow::Result<Outcome> {
    let store = Dynamo::in_memory(stage).await?;
    let lease = format!("{}ms", plan.lease.as_millis());
    let library = faketime::library();
    let start = async |ahead: i64| {
        let wrong = library.as_ref().filter(|_| ahead != 0).map(|library| faketime::env(library, ahead));
        let wrong = wrong.iter().flatten().map(|(name, value)| (name.as_str(), value.as_str()));
        let env: Vec<_> = wrong.chain([("SDS_LEASE", lease.as_str())]).collect();
        let replica = Replica::start(stage, store.addr, &env).await?;
        replica.ready(SOON).await?;
        if library.is_some() {
            let told = replica.api.metric("sds_last_sync_timestamp_seconds").await? as i64;
            let is_ahead = told - i64::try_from(clock::epoch_seconds())?;
            ensure!((is_ahead - ahead).abs() < 30, "its clock is {is_ahead} s ahead, not {ahead}");
        }
        anyhow::Ok(replica)
    };
    let replicas = [start(WRONG).await?, start(-WRONG).await?, start(0).await?];
    let mut play = Play { plan, all: addrs(&replicas), replicas, live: Vec::new(), next: 0 };
    play.base().await.context("before all troubles")?;
    let mut seen = Vec::new();
    for (trouble, lasts) in plan.troubles {
        seen.push(play.suffer(*trouble, *lasts).await.with_context(|| format!("{trouble:?}"))?);
    }
    Ok(Outcome { skewed: library.is_some(), seen })
}

struct Play<'a> {
    plan: Plan<'a>,
    /// Ahead, behind, and the troubled one.
    replicas: [Replica; 3],
    all: Vec<SocketAddr>,
    live: Vec<Registrant>,
    next: u32,
}

impl Play<'_> {
    /// Starts one that speaks to the nth replica first, with a clock that is right, ahead and behind in turn.
    fn start(&mut self, service: &str, first: usize) -> Registrant {
        let mut spec = Spec::new(service, self.next);
        let ahead = [0, WRONG, -WRONG][self.next as usize % 3] * 1000;
        spec.incarnation = spec.incarnation.saturating_add_signed(ahead);
        let mut known = self.all.clone();
        known.rotate_left(first);
        if self.next.is_multiple_of(2) {
            known[1..].reverse();
        }
        // As their heartbeats go on.
        let after = self.plan.lease / 3 / GROUP * (self.next % GROUP);
        self.next += 1;
        Registrant::start(spec, known, after)
    }

    async fn base(&mut self) -> anyhow::Result<()> {
        for nth in 0..BASE {
            let one = self.start(&format!("web-{}", nth % SERVICES), nth as usize % 2);
            self.live.push(one);
        }
        self.equal().await?;
        // The next tenant of an address whose last one was ahead: it learns so, and is there all the same.
        let former = self.live.iter().position(|one| one.spec.incarnation > clock::epoch_seconds() * 1000 + 60_000);
        let former = self.live.remove(former.context("nobody is ahead")?);
        former.kill();
        let spec = Spec { incarnation: clock::epoch_seconds() * 1000, ..former.spec.clone() };
        let wanted = former.spec.incarnation + 1;
        let next = Registrant::start(spec, self.all.clone(), Duration::ZERO);
        until("the next tenant to be registered", SOON, async || {
            let seen = next.seen();
            ensure!(seen.held > 0 && seen.incarnation == wanted, "{seen:?}");
            Ok(())
        })
        .await?;
        self.live.push(next);
        self.equal().await
    }

    async fn suffer(&mut self, trouble: Trouble, lasts: Duration) -> anyhow::Result<Seen> {
        let mut group: Vec<_> = (0..GROUP).map(|nth| self.start(&format!("web-{}", nth % SERVICES), 2)).collect();
        let elsewhere = self.start(&format!("alone-{trouble:?}"), 0);
        self.live.append(&mut group);
        self.live.push(elsewhere);
        self.equal().await.context("before")?;
        // What the healthy replicas know of them is by now what the third one told of their heartbeats.
        until("heartbeats to be told", SOON, async || {
            ensure!(self.live.iter().all(|one| one.seen().held > HEARTBEATS));
            Ok(())
        })
        .await?;
        let elsewhere = self.live.pop().context("nobody is elsewhere")?;
        let own = self.live.pop().context("nobody is here")?;

        let Self { plan, replicas, live, .. } = &*self;
        let [.., troubled] = replicas;
        let healthy = &replicas[..2];
        let answering = if trouble == Trouble::Frozen { healthy } else { &replicas[..] };
        let start = Instant::now();
        trouble.begin(troubled)?;
        elsewhere.kill();
        own.kill();
        let gone = async |one: &Registrant, within: Duration| {
            until("one that died to be gone", within, async || {
                for replica in healthy {
                    let listed = replica.api.v1_endpoints(&one.spec.service).await?;
                    ensure!(!listed.contains(&one.spec.at), "{} is still there", one.spec.at);
                }
                Ok(start.elapsed())
            })
            .await
        };
        let moved = async {
            if trouble.is_of_the_way() {
                return Ok(None);
            }
            let moved = &live[live.len() + 1 - GROUP as usize..];
            until("the group to be heard elsewhere", plan.lease + GRACE, async || {
                ensure!(moved.iter().all(|one| one.seen().failed + one.seen().unvouched > 0), "not all have moved");
                ensure!(moved.iter().all(|one| one.seen().last > Some(start)), "not all were heard");
                Ok(Some(start.elapsed()))
            })
            .await
        };
        let back = async {
            sleep_until(start + lasts).await;
            trouble.end(troubled)?;
            self.equal().await.context("after its end")?;
            Ok((start + lasts).elapsed())
        };
        let nobody_lost = async {
            throughout("no live host is missing", lasts, async || complete(answering, live).await).await?;
            throughout("no live host is missing after its end", plan.lease, async || complete(replicas, live).await)
                .await
        };
        let own_bound = plan.lease + plan.lease / 2 + GRACE;
        let (moved, death, own_death, back, ()) =
            tokio::try_join!(moved, gone(&elsewhere, plan.lease + GRACE), gone(&own, own_bound), back, nobody_lost)?;
        ensure!(back <= own_bound, "well again only after {back:?}");
        Ok(Seen { trouble, moved, death, own_death, back })
    }

    /// Waits until all replicas answer with exactly those that live.
    async fn equal(&self) -> anyhow::Result<()> {
        until("all replicas to list exactly those that live", SOON, async || {
            complete(&self.replicas, &self.live).await?;
            for replica in &self.replicas {
                let instances = replica.api.metric("sds_instances").await?;
                ensure!(instances == self.live.len() as f64, "{instances} instances");
            }
            Ok(())
        })
        .await
    }
}

/// Each that lives is in each answer.
async fn complete(replicas: &[Replica], live: &[Registrant]) -> anyhow::Result<()> {
    let services: BTreeSet<&str> = live.iter().map(|one| one.spec.service.as_str()).collect();
    let check = async |(nth, api): (usize, &Api), service: &str| {
        let listed: BTreeSet<String> = api.v1_endpoints(service).await?.into_iter().collect();
        let missing = live.iter().find(|one| one.spec.service == service && !listed.contains(&one.spec.at));
        match missing {
            None => Ok(()),
            Some(one) => Err(anyhow::anyhow!("replica {nth} has no {service}/{}: {:?}", one.spec.at, one.seen())),
        }
    };
    let apis = replicas.iter().map(|replica| &replica.api).enumerate();
    let all = apis.flat_map(|api| services.iter().map(move |service| (api, *service)));
    try_join_all(all.map(|(api, service)| check(api, service))).await.map(drop)
}
