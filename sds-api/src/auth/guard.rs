//! What handlers ask before they write: who is this, and may they? Facts are fetched here, `decide` judges them.

use std::sync::Arc;

use arc_swap::ArcSwap;
use sds_types::{Endpoint, ServiceName};
use tokio::time::Instant;

use super::{
    credential::{Credential, Shown},
    decide::{Deed, Denied, is_local, token_may},
    load::{self, Source, Terms},
    policy::{Guarded, Mode, Policy},
    quiet::Quiet,
};
use crate::{http::Peer, metrics::Metrics, registry::By};

/// The guard.
#[derive(Debug)]
pub struct Auth {
    policy: Arc<ArcSwap<Policy>>,
    is_without_policy: bool,
    metrics: Metrics,
    quiet: Quiet,
}

/// An instance's place as it is claimed.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The service.
    pub service: &'a ServiceName,
    /// The address; its port is unknown in one of the old dialects.
    pub ip: std::net::IpAddr,
    /// The whole of it.
    pub endpoint: Option<Endpoint>,
}

impl Auth {
    /// A guard by the policy of `source`, or by none; it looks after the file for as long as it lives.
    pub fn start(source: Option<Source>, terms: Terms, metrics: Metrics) -> Result<Self, String> {
        let policy = source.as_ref().map_or_else(|| Ok(Policy::open()), |source| load::load(source, terms))?;
        let policy = Arc::new(ArcSwap::from_pointee(policy));
        let is_without_policy = source.is_none();
        if let Some(source) = source {
            tokio::spawn(load::watch(source, terms, policy.clone(), metrics.policy.clone()));
        }
        Ok(Self { policy, is_without_policy, metrics, quiet: Quiet::default() })
    }

    /// Whether somebody may register, renew, drain or deregister an instance.
    pub async fn register(&self, shown: &Shown, claim: Claim<'_>) -> Result<By, Denied> {
        let policy = self.policy.load_full();
        let guarded = policy.guards(claim.service.as_str());
        let peer = Peer::asking();
        if guarded.mode == Mode::Off {
            return Ok(By::anybody(address(peer)));
        }
        let judged = self.judge_register(&policy, shown, claim, peer);
        self.enforce(guarded, judged, &format!("{}/{}", claim.service, claim.ip), peer)
    }

    fn judge_register(
        &self,
        policy: &Policy,
        shown: &Shown,
        claim: Claim<'_>,
        peer: Option<Peer>,
    ) -> Result<By, Denied> {
        let deed = Deed::Register { service: claim.service.as_str(), ip: claim.ip };
        match shown.credential() {
            Credential::Bearer(token) => self.by_token(policy, token, deed, peer),
            Credential::Proof(_) => Err(Denied::Unproven("this registry asks no task for its role")),
            Credential::None => Err(Denied::Missing("a token that may register this service")),
            Credential::Unreadable => Err(Denied::Unproven("it is neither Bearer nor SDS-AWS")),
        }
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
        self.enforce(guarded, self.operate(shown, service), service.as_str(), peer)
    }

    /// Whether somebody may fetch all that is known: anybody, unless a policy asks who.
    pub fn snapshot(&self, shown: &Shown) -> Result<(), Denied> {
        if self.is_without_policy {
            return Ok(());
        }
        self.by_hand(shown, Deed::Snapshot).map(drop)
    }

    /// Whether somebody may do what is no registration: who is on this machine, and tokens.
    pub fn by_hand(&self, shown: &Shown, deed: Deed<'_>) -> Result<By, Denied> {
        let peer = Peer::asking();
        match shown.credential() {
            Credential::Bearer(token) => self.by_token(&self.policy.load(), token, deed, peer),
            Credential::None if is_local(peer) => Ok(By::named("somebody on this machine", address(peer))),
            Credential::None => {
                Err(Denied::Missing("only requests from this machine itself (127.0.0.1, ::1) need none"))
            }
            _ => Err(Denied::Unproven("only a token may do this")),
        }
    }

    fn by_token(&self, policy: &Policy, token: &str, deed: Deed<'_>, peer: Option<Peer>) -> Result<By, Denied> {
        let grant = policy.token(token).ok_or(Denied::Unproven("no token of the policy has this value"))?;
        token_may(policy, &grant, deed, peer)?;
        Ok(By::named(&format!("token {}", grant.name), address(peer)))
    }

    /// A refusal, unless it is only observed.
    fn enforce(
        &self,
        guarded: Guarded,
        judged: Result<By, Denied>,
        what: &str,
        peer: Option<Peer>,
    ) -> Result<By, Denied> {
        let Err(denied) = judged else { return judged };
        self.metrics.denied(denied.word(), !guarded.observe);
        let from = address(peer);
        if self.quiet.is_news((what, &denied.to_string(), from, guarded.observe), Instant::now()) {
            let enforced = !guarded.observe;
            tracing::warn!(what, from = from.map(tracing::field::display), enforced, reason = %denied, "a write that the policy refuses");
        }
        if guarded.observe { Ok(By::anybody(from)) } else { Err(denied) }
    }
}

fn address(peer: Option<Peer>) -> Option<std::net::IpAddr> {
    peer.map(|peer| peer.addr.ip().to_canonical())
}
