//! Who comes in to write: asked of the guard, then held to a rate. Who speaks through a proxy that hides its clients has no
//! rate as a peer, so it gets one by its name, for each address that it speaks of.

use std::hash::{BuildHasher as _, RandomState};

use sds_types::{ServiceName, TaskArn};

use super::{App, rate::Kind};
use crate::{
    auth::{Admitted, Claim, Claimed, Denied, Lease, Shown},
    error::ApiError,
    http::Peer,
    instance::Key,
    registry::Registry,
};

/// Names that have a rate of their own.
#[derive(Debug, Default)]
pub struct Names(RandomState);

impl App {
    /// The registry in the name of somebody who may write `key`, without saying more of it.
    pub async fn registrant(&self, shown: &Shown, key: &Key) -> Result<Registry, ApiError> {
        let claim = Claim { service: &key.service, ip: key.endpoint.ip(), whole: None };
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
        self.admit(shown, Claim { service, ip: endpoint.ip(), whole }).await
    }

    /// The registry in the name of who claims to be this.
    pub async fn admit(&self, shown: &Shown, claim: Claim<'_>) -> Result<(Registry, Option<Lease>), ApiError> {
        let Admitted { by, lease } = self.auth.register(shown, claim).await?;
        let hidden = Peer::asking().is_some_and(|peer| peer.hidden);
        if hidden && by.is_known() {
            let name = self.names.0.hash_one((&by.who, claim.ip));
            if !self.rates.take_named(Kind::Write, name) {
                self.metrics.rate_limited(Kind::Write.name());
                return Err(ApiError::TooManyRequests);
            }
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
