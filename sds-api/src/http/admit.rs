//! Who comes in to write: asked of the guard, then held to a rate. Who speaks through a proxy that hides its clients has no
//! rate as a peer, so it gets one by its name, for each address that it speaks of. Proofs have a rate besides, because each may
//! make a call of AWS, of which few run at once.

use std::hash::{BuildHasher as _, RandomState};

use sds_types::{ServiceName, TaskArn};

use super::{
    App,
    rate::{Kind, Rates},
};
use crate::{
    auth::{Admitted, Claim, Claimed, Denied, Lease, Shown},
    error::ApiError,
    http::Peer,
    instance::Key,
    registry::Registry,
};

/// Proofs a second that one peer may show, twice as many at once: a machine that starts a hundred tasks is let in, and whoever
/// makes them up leaves room for others.
const PROOFS: u32 = 50;

/// The rates that are not those of peers.
#[derive(Debug)]
pub struct Admission {
    names: RandomState,
    proofs: Rates,
}

impl Default for Admission {
    fn default() -> Self {
        Self { names: RandomState::new(), proofs: Rates::new(PROOFS, 0) }
    }
}

impl App {
    /// The registry in the name of somebody who may write `key`, without saying more of it.
    pub async fn registrant(&self, shown: &Shown, key: &Key) -> Result<Registry, ApiError> {
        let (ip, port) = (key.endpoint.ip(), Some(key.endpoint.port()));
        let claim = Claim { service: &key.service, ip, port, whole: None };
        Ok(self.admit(shown, claim).await?.0)
    }

    /// The registry in the name of a sidecar, and the lease for which it is to get a new token.
    pub async fn sidecar(
        &self,
        shown: &Shown,
        key: &Key,
        incarnation: u64,
        task: Option<&TaskArn>,
    ) -> Result<(Registry, Option<Lease>), ApiError> {
        let Key { service, endpoint } = key;
        let whole = Some(Claimed { service, endpoint: *endpoint, incarnation, task });
        self.admit(shown, Claim { service, ip: endpoint.ip(), port: Some(endpoint.port()), whole }).await
    }

    /// The registry in the name of who claims to be this.
    pub async fn admit(&self, shown: &Shown, claim: Claim<'_>) -> Result<(Registry, Option<Lease>), ApiError> {
        let (peer, kind) = (Peer::asking(), Kind::Write);
        let limited = || {
            self.metrics.rate_limited(kind.name());
            Err(ApiError::TooManyRequests)
        };
        if shown.is_proof() && peer.is_some_and(|peer| !self.admission.proofs.take(kind, peer)) {
            return limited();
        }
        let Admitted { by, lease } = self.auth.register(shown, claim).await?;
        let hidden = peer.is_some_and(|peer| peer.hidden);
        let name = || self.admission.names.hash_one((&by.who, claim.ip));
        if hidden && by.is_known() && !self.rates.take_named(kind, name()) {
            return limited();
        }
        Ok((self.registry.by(by), lease))
    }

    /// The registry in the name of an operator of `service`.
    pub fn operator(&self, shown: &Shown, service: &ServiceName) -> Result<Registry, ApiError> {
        match self.auth.operate(shown, service) {
            Ok(by) => Ok(self.registry.by(by)),
            Err(Denied::Missing(_)) => Err(ApiError::OperatorOnly(Peer::words(Peer::asking()))),
            Err(denied) => Err(denied.into()),
        }
    }
}
