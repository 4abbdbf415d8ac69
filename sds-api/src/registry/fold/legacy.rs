//! Clients of the ancestors' dialects: their requests are judged by what is known, and heard if their host lives.

use sds_types::{Endpoint, Invalid};

use super::{Fold, Known};
use crate::{
    clock::Now,
    instance::{Content, Key, Order, Origin, Row},
    registry::judge::{self, Said, Verdict},
};

/// What became of a legacy client's registration.
#[derive(Debug)]
pub struct Judged {
    /// What is to be done.
    pub verdict: Verdict,
    /// What is to be written, if it is.
    pub content: Content,
    /// Where the same host was registered before, in the dialect whose hosts have one port: to be deregistered after.
    pub former: Vec<Endpoint>,
}

/// How much is known of a host that is said to have gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It is in service.
    Served,
    /// It is not, as of this place in the fold's order.
    Unserved(Order),
    /// Never heard of.
    Never,
}

impl Seen {
    /// Whether a row that the store has just shown is of a host in service: also if another replica registered it
    /// a moment ago.
    pub fn is_in_service(self, row: &Row) -> bool {
        match self {
            Self::Served => true,
            Self::Unserved(order) => row.registration().is_some() && row.order() > order,
            Self::Never => row.registration().is_some_and(|standing| !standing.lost) && !row.is_foreign(),
        }
    }
}

impl Fold {
    /// What is known of a host that is said to have gone.
    pub fn look(&self, key: &Key) -> Seen {
        match self.known(key) {
            None => Seen::Never,
            Some(known) if known.served => Seen::Served,
            Some(known) => Seen::Unserved(known.row.order()),
        }
    }

    /// Judges a legacy client's request, and hears it; an error says that what it adds is too much.
    pub fn legacy(&mut self, key: &Key, said: &Said, now: Now) -> Result<Judged, Invalid> {
        let known = self.known(key);
        let former: Vec<&Known> = if said.origin == Origin::Lyft { self.on_other_ports(key) } else { Vec::new() };
        let (verdict, content) = judge::legacy(known, former.first().and_then(|former| content_of(former)), said)?;
        let lives = known.is_some_and(|known| known.served && !known.row.is_foreign());
        let former = former.iter().map(|known| known.row.key.endpoint).collect();
        // A sign of life also when the store must be told something, which may fail.
        if lives && verdict != Verdict::Ignored {
            self.hear(key, None, now);
        }
        Ok(Judged { verdict, content, former })
    }

    /// Hosts in service that a lyft client registered for the same ip.
    fn on_other_ports(&self, key: &Key) -> Vec<&Known> {
        let port = |port| Endpoint::new(key.endpoint.ip(), port);
        let (Some(rows), Ok(from), Ok(to)) = (self.services.get(&key.service), port(1), port(u16::MAX)) else {
            return Vec::new();
        };
        let lyft = |known: &&Known| {
            known.served && known.row.registration().is_some_and(|standing| standing.origin == Origin::Lyft)
        };
        rows.range(from..=to)
            .filter(|(at, _)| **at != key.endpoint)
            .map(|(_, known)| known.as_ref())
            .filter(lyft)
            .collect()
    }
}

fn content_of(known: &Known) -> Option<&Content> {
    known.row.registration().map(|standing| &*standing.content)
}
