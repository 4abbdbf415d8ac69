//! A task's way in: its proof, AWS's word on it, and the lease token that it gets for them.
//!
//! STS says whose role signed, the policy whether such a role may register anything here, ECS where the task runs; only a
//! first registration needs them. Whoever is registered already lives by its lease token, which a heartbeat in the second
//! half of its life renews, so that AWS may be away for as long as it likes. A token that ran out is good for a day more while
//! this registry itself cannot ask AWS.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use sds_types::{
    Endpoint, Secret, ServiceName, TaskArn, TaskName,
    proof::{Claims, Proof},
};
use tokio::time::Instant;

use super::{
    decide::Denied,
    keys::Keys,
    lease_token::{self, Attested, Lease, Opened},
    policy::{Policy, TaskFacts},
    proof,
    sts::{Caller, Sts, Unproven},
    task::{self, Doubt},
};
use crate::{
    clock::Timestamp,
    ecs::{self, Ecs},
    http::Peer,
};

/// For STS and ECS together; an answer may take a second.
const PATIENCE: Duration = Duration::from_millis(800);
/// How long a token that ran out is good while AWS cannot be asked.
const GRACE: Duration = Duration::from_secs(24 * 3600);

/// What is needed to let tasks in.
pub struct Attester {
    sts: Sts,
    ecs: Ecs,
    keys: Keys,
    ttl: Duration,
}

/// The instance that a task claims to be.
#[derive(Debug, Clone, Copy)]
pub struct Claimed<'a> {
    /// The service.
    pub service: &'a ServiceName,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// The sidecar's start.
    pub incarnation: u64,
    /// The task, where the request names it.
    pub task: Option<&'a TaskArn>,
}

/// A task that was let in.
#[derive(Debug)]
pub struct Task {
    /// What is known of it.
    pub lease: Lease,
    /// Whether it is to get a new token.
    pub renews: bool,
}

impl Task {
    /// What the policy is asked about.
    pub fn facts<T>(&self, judge: impl FnOnce(TaskFacts<'_>) -> T) -> T {
        let Lease { task, attested, .. } = &self.lease;
        let role = role(task, &attested.role);
        let Attested { cluster, family, group, has_address, .. } = attested;
        judge(TaskFacts { role: &role, cluster, family, group, has_address: *has_address })
    }

    /// Its name for people.
    pub fn name(&self) -> String {
        format!("task {} as {}", self.lease.task.id(), self.lease.attested.role)
    }
}

/// The role as policies name it.
fn role(task: &TaskName, name: &str) -> String {
    format!("arn:{}:iam::{}:role/{name}", task.region().partition(), task.account())
}

impl Attester {
    /// Lets tasks in whom `sts` and `ecs` know, with tokens of these keys that are good for `ttl`.
    pub fn new(sts: Sts, ecs: Ecs, keys: Keys, ttl: Duration) -> Self {
        Self { sts, ecs, keys, ttl }
    }

    /// By a lease token.
    pub fn by_lease(&self, token: &str, claimed: Option<Claimed<'_>>, now: Timestamp) -> Result<Task, Denied> {
        let (lease, is_over) = match lease_token::open(&self.keys, token, now) {
            Opened::Good(lease) => (lease, false),
            Opened::Expired(lease, ago) if ago <= GRACE && self.is_alone() => (lease, true),
            Opened::Expired(..) => return Err(Denied::Unproven("the lease token ran out")),
            Opened::Bad => return Err(Denied::Unproven("that is no lease token of this registry")),
        };
        let fits = |claimed: Claimed<'_>| {
            let task = claimed.task.is_none_or(|task| task.as_str() == lease.task.to_string());
            task && lease.is_for(claimed.service, claimed.endpoint, claimed.incarnation)
        };
        if !claimed.is_some_and(fits) {
            let who = format!("task {}", lease.task.id());
            return Err(Denied::Forbidden { who, why: "its lease token is for another instance".into() });
        }
        let renews = is_over || now.since(lease.issued) * 2 >= self.ttl;
        Ok(Task { lease, renews })
    }

    /// By a proof, of which STS and ECS are asked.
    pub async fn by_proof(
        &self,
        policy: &Policy,
        header: &[u8],
        claimed: Option<Claimed<'_>>,
        peer: Option<Peer>,
    ) -> Result<Task, Denied> {
        let deadline = Instant::now() + PATIENCE;
        let now = Timestamp::now();
        let proof = proof::read(header).map_err(Denied::Unproven)?;
        proof::is_of_now(&proof, now).map_err(Denied::Unproven)?;
        let claims = claims(claimed)?;
        if claims.task.region().name() != self.ecs.region() {
            return Err(Denied::Unproven("the task is of another region than this registry"));
        }
        let (cluster, service) = (claims.task.cluster(), claims.service.as_str());
        if !policy.knows_place(cluster, service, claims.endpoint.ip()) {
            let (who, at) = (format!("a task of {cluster}"), claims.endpoint);
            return Err(Denied::Forbidden { who, why: format!("the policy lets none register {service} at {at}") });
        }
        let caller = self.caller(&proof, &claims, deadline).await?;
        task::is_its_role(&caller, &claims).map_err(doubted(&caller))?;
        if !policy.knows_role(&role(&claims.task, &caller.role)) {
            let why = "the policy names no such role".to_owned();
            return Err(Denied::Forbidden { who: who(&caller), why });
        }
        let task = self.described(&claims, deadline).await?;
        let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let from = peer.filter(|peer| !peer.hidden).map_or(unknown, |peer| peer.addr.ip());
        task::check(&caller, &claims, &task, from).map_err(doubted(&caller))?;
        let attested = Attested {
            account: caller.account,
            role: caller.role,
            cluster: task.cluster_arn.clone(),
            family: task.family().to_owned(),
            group: task.group.clone(),
            has_address: !task.addresses.is_empty(),
        };
        let Claims { service, endpoint, task, incarnation } = claims;
        let lease = Lease { service, endpoint, task, incarnation, issued: now, expires: now, attested };
        Ok(Task { lease, renews: true })
    }

    /// A token for a lease, from now on.
    pub fn token(&self, lease: &Lease, now: Timestamp) -> Option<(Secret, Duration)> {
        let lease = Lease { issued: now, expires: now.plus(self.ttl), ..lease.clone() };
        Some((lease_token::seal(&self.keys, &lease)?, self.ttl))
    }

    /// Whether AWS cannot be asked.
    fn is_alone(&self) -> bool {
        self.sts.failing_since().is_some() || self.ecs.failing_since().is_some()
    }

    async fn caller(&self, proof: &Proof, claims: &Claims, deadline: Instant) -> Result<Caller, Denied> {
        let caller = self.sts.caller(proof, claims, deadline).await;
        caller.map_err(|unproven| match unproven {
            Unproven::Refused(reason) => Denied::Unproven(reason),
            Unproven::Away => Denied::Away("STS does not answer"),
        })
    }

    async fn described(&self, claims: &Claims, deadline: Instant) -> Result<Arc<ecs::Task>, Denied> {
        let arn = claims.task.to_string();
        match self.ecs.task(claims.task.cluster(), &arn, deadline).await {
            Ok(Some(task)) => Ok(task),
            // Of a task that has just begun ECS may not know for some seconds.
            Ok(None) => Err(Denied::Away("ECS knows no such task, or not yet")),
            Err(error) if error.passes() => Err(Denied::Away("ECS does not answer")),
            Err(_) => Err(Denied::Away("ECS refuses the registry's own calls, its log says why")),
        }
    }
}

fn claims(claimed: Option<Claimed<'_>>) -> Result<Claims, Denied> {
    let missing = Denied::Unproven("a proof comes with a registration that names its task_arn");
    let Some(Claimed { service, endpoint, incarnation, task: Some(task) }) = claimed else { return Err(missing) };
    if task.as_str().is_empty() {
        return Err(missing);
    }
    let task = task.as_str().parse().map_err(|_| Denied::Unproven("the task_arn is not that of an ECS task"))?;
    Ok(Claims { service: service.clone(), endpoint, task, incarnation })
}

fn who(caller: &Caller) -> String {
    format!("{} of {}", caller.role, caller.account)
}

fn doubted(caller: &Caller) -> impl FnOnce(Doubt) -> Denied {
    let who = who(caller);
    move |doubt| match doubt {
        Doubt::No(why) => Denied::Forbidden { who, why: why.into() },
        Doubt::NotYet(why) => Denied::Away(why),
    }
}
