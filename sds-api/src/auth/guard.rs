//! What handlers ask before they write: who is this, and may they? Facts are fetched here, `decide` judges them.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use sds_types::{Secret, ServiceName};
use tokio::time::{Instant, timeout};

use super::{
    attest::{Attester, Claimed},
    credential::{Credential, Shown},
    decide::{Deed, Denied, is_local, task_may, token_may},
    lease_token::{self, Lease},
    load::{self, Source, Terms},
    policy::{Guarded, Mode, Policy},
    quiet::Quiet,
};
use crate::{clock::Timestamp, http::Peer, metrics::Metrics, registry::By};

/// The guard.
pub struct Auth {
    policy: Arc<ArcSwap<Policy>>,
    attester: Option<Attester>,
    metrics: Metrics,
    quiet: Quiet,
}

/// For finding out who somebody is who is let in anyway.
const OBSERVING: Duration = Duration::from_millis(250);

/// An instance as its registrant claims it.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The service.
    pub service: &'a ServiceName,
    /// The address.
    pub ip: IpAddr,
    /// Unknown in one of the old dialects.
    pub port: Option<u16>,
    /// All of it, as only sidecars say it.
    pub whole: Option<Claimed<'a>>,
}

impl std::fmt::Display for Claim<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}/{}", self.service, SocketAddr::new(self.ip, port)),
            None => write!(f, "{}/{}", self.service, self.ip),
        }
    }
}

/// Who was let in.
#[derive(Debug)]
pub struct Admitted {
    /// By name.
    pub by: By,
    /// The lease for which a new token is to be given.
    pub lease: Option<Lease>,
}

impl From<By> for Admitted {
    fn from(by: By) -> Self {
        Self { by, lease: None }
    }
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").finish_non_exhaustive()
    }
}

impl Auth {
    /// A guard by the policy of `source`, or by none; it looks after the file for as long as it lives.
    pub fn start(
        source: Option<Source>,
        open: bool,
        attester: Option<Attester>,
        metrics: Metrics,
    ) -> Result<Self, String> {
        let terms = Terms { open, aws: attester.is_some() };
        let policy = source.as_ref().map_or_else(|| Ok(Policy::open()), |source| load::load(source, terms))?;
        if source.is_some() {
            tracing::info!(policy = policy.summary(), "who may write");
        }
        let policy = Arc::new(ArcSwap::from_pointee(policy));
        if let Some(source) = source {
            tokio::spawn(load::watch(source, terms, policy.clone(), metrics.policy.clone()));
        }
        Ok(Self { policy, attester, metrics, quiet: Quiet::default() })
    }

    /// Whether somebody may register, renew, drain or deregister an instance.
    pub async fn register(&self, shown: &Shown, claim: Claim<'_>) -> Result<Admitted, Denied> {
        let policy = self.policy.load_full();
        let guarded = policy.guards(claim.service.as_str());
        let peer = Peer::asking();
        if guarded.mode == Mode::Off {
            return Ok(By::anybody(address(peer)).into());
        }
        let judged = self.judge(&policy, shown, claim, peer);
        // What is only observed must not cost a heartbeat more than it can spare.
        let judged = match guarded.observe {
            true => timeout(OBSERVING, judged).await.unwrap_or(Err(Denied::Away("AWS is slow"))),
            false => judged.await,
        };
        self.enforce(guarded, "register", judged, &claim, peer)
    }

    async fn judge(
        &self,
        policy: &Policy,
        shown: &Shown,
        claim: Claim<'_>,
        peer: Option<Peer>,
    ) -> Result<Admitted, Denied> {
        let deed = Deed::Register { service: claim.service.as_str(), ip: claim.ip };
        let attester = || self.attester.as_ref().ok_or(Denied::Unproven("this registry asks no task for its role"));
        let task = match shown.credential() {
            Credential::Bearer(token) if token.starts_with(lease_token::PREFIX) => {
                attester()?.by_lease(token, claim.whole, Timestamp::now())?
            }
            Credential::Bearer(token) => return self.by_token(policy, token, deed, peer).map(Admitted::from),
            Credential::Proof(header) => attester()?.by_proof(policy, header, claim.whole, peer).await?,
            Credential::None if policy.guards(claim.service.as_str()).mode == Mode::Aws => {
                return Err(Denied::Missing(
                    "the proof of an ECS task's role, as a sidecar with SDS_API_AUDIENCE shows it",
                ));
            }
            Credential::None => return Err(Denied::Missing("a token, as Bearer; a sidecar's is SDS_API_TOKEN")),
            Credential::Unreadable => return Err(Denied::Unproven("it is neither Bearer nor SDS-AWS")),
        };
        task.facts(|facts| task_may(policy, facts, deed))?;
        let by = By::named(task.name(), address(peer));
        Ok(Admitted { by, lease: task.renews.then_some(task.lease) })
    }

    /// A token for somebody who was let in, and how long it is good.
    pub fn token(&self, lease: &Lease) -> Option<(Secret, Duration)> {
        self.attester.as_ref()?.token(lease, Timestamp::now())
    }

    /// Whether somebody may set weights or overrides of a service: who is on this machine, and tokens.
    pub fn operate(&self, shown: &Shown, service: &ServiceName) -> Result<By, Denied> {
        self.by_hand(shown, Deed::Operate { service: service.as_str() })
    }

    /// The same for what anybody might do who reaches the registry, as long as the service is open.
    pub fn weigh(&self, shown: &Shown, service: &ServiceName) -> Result<By, Denied> {
        let (policy, peer) = (self.policy.load_full(), Peer::asking());
        let guarded = policy.guards(service.as_str());
        if guarded.mode == Mode::Off {
            return Ok(By::anybody(address(peer)));
        }
        let deed = Deed::Operate { service: service.as_str() };
        self.enforce(guarded, deed.word(), self.asked(shown, deed), service, peer)
    }

    /// Whether somebody may fetch all that is known: anybody, unless a policy asks who.
    pub fn snapshot(&self, shown: &Shown) -> Result<(), Denied> {
        if self.policy.load().asks_nobody() {
            return Ok(());
        }
        self.by_hand(shown, Deed::Snapshot).map(drop)
    }

    /// Whether somebody may deliver what ECS says.
    pub fn events(&self, shown: &Shown) -> Result<By, Denied> {
        self.by_hand(shown, Deed::Events)
    }

    /// Whether somebody may do what is no registration.
    fn by_hand(&self, shown: &Shown, deed: Deed<'_>) -> Result<By, Denied> {
        let judged = self.asked(shown, deed);
        judged.inspect_err(|denied| self.metrics.denied.denied(deed.word(), "", denied.word(), true))
    }

    /// Who is on this machine may, and tokens.
    fn asked(&self, shown: &Shown, deed: Deed<'_>) -> Result<By, Denied> {
        let peer = Peer::asking();
        match shown.credential() {
            Credential::Bearer(token) => self.by_token(&self.policy.load(), token, deed, peer),
            Credential::None if is_local(peer) => Ok(By::somebody_here(address(peer))),
            Credential::None => {
                Err(Denied::Missing("only requests from this machine itself (127.0.0.1, ::1) need none"))
            }
            _ => Err(Denied::Unproven("only a token may do this")),
        }
    }

    fn by_token(&self, policy: &Policy, token: &str, deed: Deed<'_>, peer: Option<Peer>) -> Result<By, Denied> {
        let grant = policy.token(token).ok_or(Denied::Unproven("no token of the policy has this value"))?;
        token_may(policy, &grant, deed, peer)?;
        Ok(By::named(format!("token {}", grant.name), address(peer)))
    }

    /// A refusal, unless it is only observed.
    fn enforce<T: From<By>>(
        &self,
        guarded: &Guarded,
        deed: &'static str,
        judged: Result<T, Denied>,
        what: &dyn std::fmt::Display,
        peer: Option<Peer>,
    ) -> Result<T, Denied> {
        let Err(denied) = judged else { return judged };
        self.metrics.denied.denied(deed, &guarded.rule, denied.word(), !guarded.observe);
        let (from, what) = (address(peer), what.to_string());
        if self.quiet.is_news((&what, &denied.to_string(), from, guarded.observe), Instant::now()) {
            let enforced = !guarded.observe;
            tracing::warn!(what, from = from.map(tracing::field::display), enforced, reason = %denied, "a write that the policy refuses");
        }
        if guarded.observe { Ok(By::observed(from).into()) } else { Err(denied) }
    }
}

fn address(peer: Option<Peer>) -> Option<IpAddr> {
    peer.map(|peer| peer.addr.ip().to_canonical())
}
