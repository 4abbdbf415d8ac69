//! How often one peer may ask: a token bucket each for the writes and the reads of an address, an IPv6 one counted by
//! its /64, for that is what one host can have.
//!
//! A bucket is kept as the one moment at which it will be full again, and a full one need not be kept at all. So the
//! table stays small by itself; when more peers than it holds are active at once, those go first who are nearest to full,
//! who lose the least by being forgotten.
//!
//! A peer that hides others has no bucket: it would be shared by all clients of a load balancer, and one of them could
//! take it all.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use http::Method;
use tokio::time::Instant;

use super::Peer;
use crate::route::Route;

/// What a peer saves up: the requests of so much time.
const BURST: Duration = Duration::from_secs(2);
/// The most peers of one kind that are remembered.
const PEERS: usize = 10_000;

/// What is counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What may end in the store: all but GET and HEAD of the native API and of the older dialects.
    Write,
    /// Polls, and lists for people.
    Read,
}

impl Kind {
    /// Of a request; health, metrics and the usage page are never refused.
    pub fn of(route: Route, method: &Method) -> Option<Self> {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        match route {
            Route::EdsV2 | Route::EdsV3 => Some(Self::Read),
            // A stream is bounded by its connection.
            Route::Xds => None,
            Route::Other if reads => None,
            _ if reads => Some(Self::Read),
            _ => Some(Self::Write),
        }
    }

    /// For counting.
    pub fn name(self) -> &'static str {
        match self {
            Self::Write => "writes",
            Self::Read => "reads",
        }
    }
}

/// The rates of all peers.
#[derive(Debug)]
pub struct Rates {
    writes: Option<Mutex<Buckets>>,
    reads: Option<Mutex<Buckets>>,
}

impl Rates {
    /// So many a second of each kind for each peer; 0 for any number.
    pub fn new(writes: u32, reads: u32) -> Self {
        let buckets = |rate| (rate > 0).then(|| Mutex::new(Buckets::new(rate)));
        Self { writes: buckets(writes), reads: buckets(reads) }
    }

    /// Takes a token, if there is one; the next comes within a second.
    pub fn take(&self, kind: Kind, peer: Peer) -> bool {
        let buckets = match kind {
            Kind::Write => &self.writes,
            Kind::Read => &self.reads,
        };
        match buckets {
            Some(buckets) if !peer.hidden => take(buckets, Whose::Host(host(peer.addr.ip()))),
            _ => true,
        }
    }

    /// The same for somebody who is known by name, told as a hash of it.
    pub fn take_named(&self, kind: Kind, name: u64) -> bool {
        let buckets = match kind {
            Kind::Write => &self.writes,
            Kind::Read => &self.reads,
        };
        buckets.as_ref().is_none_or(|buckets| take(buckets, Whose::Name(name)))
    }
}

fn take(buckets: &Mutex<Buckets>, whose: Whose) -> bool {
    buckets.lock().unwrap_or_else(PoisonError::into_inner).take(whose, Instant::now())
}

/// Whose a bucket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Whose {
    Host(IpAddr),
    Name(u64),
}

#[derive(Debug)]
struct Buckets {
    /// Between two tokens.
    pause: Duration,
    full_at: HashMap<Whose, Instant>,
}

impl Buckets {
    fn new(rate: u32) -> Self {
        Self { pause: Duration::from_secs(1) / rate, full_at: HashMap::new() }
    }

    fn take(&mut self, whose: Whose, now: Instant) -> bool {
        if self.full_at.len() >= PEERS {
            self.forget(now);
        }
        let full_at = self.full_at.entry(whose).or_insert(now);
        let after = (*full_at).max(now) + self.pause;
        let there_is_one = after <= now + BURST;
        if there_is_one {
            *full_at = after;
        }
        there_is_one
    }

    /// The full ones; if that is not a quarter of all, those that are nearest to it.
    fn forget(&mut self, now: Instant) {
        let mut moments: Vec<_> = self.full_at.values().copied().collect();
        moments.sort_unstable();
        let until = moments.get(moments.len() / 4).map_or(now, |quarter| now.max(*quarter));
        self.full_at.retain(|_, full_at| *full_at > until);
    }
}

/// Whom an address stands for.
fn host(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u32) -> Whose {
        Whose::Host(IpAddr::V4(n.into()))
    }

    #[test]
    fn a_burst_then_the_rate() {
        let (mut buckets, start) = (Buckets::new(10), Instant::now());
        let mut taken = |n: u32, millis| {
            let at = start + Duration::from_millis(millis);
            (0..100).take_while(|_| buckets.take(ip(n), at)).count()
        };
        assert_eq!([taken(1, 0), taken(1, 0), taken(2, 0)], [20, 0, 20], "each has its own");
        assert_eq!([taken(1, 99), taken(1, 100), taken(1, 350)], [0, 1, 2]);
        assert_eq!(taken(1, 60_000), 20, "not more than the burst is saved");
    }

    #[test]
    fn a_host_is_one_ipv4_address_or_a_64() {
        let same = |one: &str, other: &str| host(one.parse().unwrap()) == host(other.parse().unwrap());
        assert!(!same("10.0.0.1", "10.0.0.2"));
        assert!(same("2001:db8:0:1::1", "2001:db8:0:1:ffff::9"));
        assert!(!same("2001:db8:0:1::1", "2001:db8:0:2::1"));
    }

    #[test]
    fn the_table_is_bounded_and_remembers_the_worst() {
        let (mut buckets, mut now) = (Buckets::new(10), Instant::now());
        while buckets.take(ip(0), now) {}
        for n in 1..50_000 {
            now += Duration::from_nanos(1);
            assert!(buckets.take(ip(n), now));
            assert!(buckets.full_at.len() <= PEERS);
        }
        assert!(!buckets.take(ip(0), now), "it was forgotten, and may begin anew");
        buckets.forget(now + Duration::from_secs(3));
        assert_eq!(buckets.full_at.len(), 0, "all are full again");
    }

    #[test]
    fn who_hides_others_has_no_rate() {
        let rates = Rates::new(1, 0);
        let peer = |hidden| Peer { addr: "10.0.0.1:80".parse().unwrap(), hidden, certified: false };
        let ok = |kind, hidden| (0..100).all(|_| rates.take(kind, peer(hidden)));
        assert!(ok(Kind::Write, true));
        assert!(ok(Kind::Read, false), "0 is any number");
        assert!(!ok(Kind::Write, false));
        let named = |name| (0..100).all(|_| rates.take_named(Kind::Write, name));
        assert!(!named(1) && rates.take_named(Kind::Write, 2), "each name has its own");
    }

    #[test]
    fn kinds() {
        let kind = |method, path| Kind::of(Route::of(&method, path), &method);
        for (method, path, expected) in [
            (Method::GET, "/v1/registration/web", Some(Kind::Read)),
            (Method::HEAD, "/v1/registration/web", Some(Kind::Read)),
            (Method::POST, "/v3/discovery:endpoints", Some(Kind::Read)),
            (Method::POST, "/v2/discovery:endpoints", Some(Kind::Read)),
            (Method::GET, "/v1/services/web", Some(Kind::Read)),
            (Method::POST, "/v1/registration/web", Some(Kind::Write)),
            (Method::DELETE, "/v1/registration/web/10.0.0.1:80", Some(Kind::Write)),
            (Method::PUT, "/v1/services/web/instances/10.0.0.1:80", Some(Kind::Write)),
            (Method::POST, "/v1/loadbalancing/web", Some(Kind::Write)),
            (Method::GET, "/v1/prometheus", Some(Kind::Read)),
            (Method::GET, "/metrics", None),
            (Method::GET, "/readyz", None),
        ] {
            assert_eq!(kind(method.clone(), path), expected, "{method} {path}");
        }
    }
}
