//! Which routes one listener serves. All listeners know all routes: what belongs to another one is refused with words that
//! say where it is, and is never taken for an unknown path, which would look like a host that is gone.
//!
//! That is settled when the routes are made, so no request that is served pays for it.

use std::sync::Arc;

use axum::{
    body::Body,
    middleware::{Next, from_fn},
    response::IntoResponse,
    routing::MethodRouter,
};
use http::Request;

use super::{App, Peer};
use crate::{error::ApiError, listener::Listener, metrics::Deeds};

/// One listener among those that are open.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// This one.
    pub here: Listener,
    /// All.
    pub open: &'a [Listener],
    /// Whether registrations need a client's certificate.
    pub certified_writes: bool,
    /// Counts those that come without.
    pub denied: &'a Deeds,
}

impl Site<'_> {
    /// Whether it serves what belongs to one of `homes`.
    pub fn serves(&self, homes: &[Listener]) -> bool {
        homes.iter().any(|home| home.served_at(self.open) == self.here)
    }

    /// These handlers where this listener serves what belongs to `homes`, else a refusal in their place.
    pub fn only(&self, homes: &[Listener], methods: MethodRouter<Arc<App>>) -> MethodRouter<Arc<App>> {
        if self.serves(homes) {
            return methods;
        }
        let there = self.there(homes);
        methods.route_layer(from_fn(move |_: Request<Body>, _: Next| {
            let refusal = ApiError::WrongListener(there.clone());
            async move { refusal }
        }))
    }

    /// These handlers, if registrations need a certificate, for those alone who came with one. That is the same for all
    /// dialects and comes before the body: who may not write is told nothing of what it said.
    pub fn certified(&self, methods: MethodRouter<Arc<App>>) -> MethodRouter<Arc<App>> {
        if !self.certified_writes {
            return methods;
        }
        let deeds = self.denied.clone();
        methods.route_layer(from_fn(move |request: Request<Body>, next: Next| {
            let deeds = deeds.clone();
            async move {
                if Peer::asking().is_some_and(|peer| peer.certified) {
                    return next.run(request).await;
                }
                deeds.denied("register", "", "certificate", true);
                ApiError::ClientCertificateRequired.into_response()
            }
        }))
    }

    /// Where it is, by the variables: an address that one is told may not be the one that it is reached at.
    fn there(&self, homes: &[Listener]) -> String {
        let mut homes: Vec<_> = homes.iter().map(|home| home.served_at(self.open).to_string()).collect();
        // One may stand in for several.
        homes.dedup();
        format!("this is served at {}, and not here at {}", homes.join(" and "), self.here)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_that_stands_in_for_two_is_named_once() {
        let open = [Listener::Main, Listener::Write];
        let site = Site { here: Listener::Write, open: &open, certified_writes: false, denied: &Deeds::default() };
        let told = site.there(&[Listener::Main, Listener::Admin]);
        assert_eq!(told.matches("SDS_LISTEN").count(), 1, "{told}");
    }
}
