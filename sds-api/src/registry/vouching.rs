//! Passing on whom this replica heard: one flush at a time, nothing lost when it fails, and whether it does fail.

use std::{collections::HashMap, time::Duration};

use super::fold::Fold;
use crate::replica::InstanceHash;

/// The flush that is on its way, and how the last one went. Times are of the monotonic clock.
#[derive(Debug, Default)]
pub struct Vouching {
    told: HashMap<InstanceHash, Duration>,
    begun: Option<Duration>,
    failed: bool,
    /// Since when every flush has failed.
    mute: Option<Duration>,
}

impl Vouching {
    /// A flush begins: whom it tells, and how long ago each was heard.
    pub fn begin(&mut self, fold: &mut Fold, now: Duration) -> Vec<(InstanceHash, Duration)> {
        let news = fold.take_vouches();
        let heard = news.iter().map(|(hash, at)| (*hash, now.saturating_sub(*at))).collect();
        (self.told, self.begun) = (news, Some(now));
        heard
    }

    /// It ended, well or not.
    pub fn ended(&mut self, fold: &mut Fold, done: bool) {
        let told = std::mem::take(&mut self.told);
        if !done {
            fold.give_back(told);
        }
        if done {
            self.mute = None;
        } else {
            self.mute = self.mute.or(self.begun);
        }
        (self.begun, self.failed) = (None, !done);
    }

    /// Whether clients had better speak to another replica. When this one only hears and cannot tell, always; when it is cut
    /// off from the store altogether for a lease, in which they have had the time to find one that is not: after that it is
    /// more likely that the store is away for all.
    pub fn sends_away(&self, hears: bool, flush: Duration, lease: Duration, now: Duration) -> bool {
        let since = self.mute.or(self.begun).unwrap_or(now);
        self.is_failing(flush, now) && (hears || now.saturating_sub(since) < lease)
    }

    /// Whether the others do not learn of the heartbeats that come here.
    pub fn is_failing(&self, flush: Duration, now: Duration) -> bool {
        let overdue = |begun| now.saturating_sub(begun) > flush.max(Duration::from_secs(1));
        self.failed || self.begun.is_some_and(overdue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{instance::Key, registry::lease::Leases};

    #[test]
    fn what_a_failed_flush_should_have_told_the_next_one_tells() {
        let second = Duration::from_secs(1);
        let leases = Leases { native: 30 * second, legacy: 120 * second, hold: 3600 * second };
        let (mut fold, mut vouching) = (Fold::new(leases), Vouching::default());
        let key = Key { service: "web".parse().unwrap(), endpoint: "10.0.0.1:80".parse().unwrap() };
        fold.give_back(HashMap::from([(InstanceHash::of(&key, 1), second)]));
        let mut told = |now: u32, done| {
            let heard = vouching.begin(&mut fold, now * second);
            vouching.ended(&mut fold, done);
            heard.iter().map(|(_, age)| age.as_secs()).collect::<Vec<_>>()
        };
        assert_eq!([told(3, false), told(5, true), told(7, true)], [vec![2], vec![4], vec![]]);
    }

    #[test]
    fn a_replica_that_is_cut_off_sends_its_clients_away_for_a_lease() {
        let second = Duration::from_secs(1);
        let leases = Leases { native: 30 * second, legacy: 120 * second, hold: 3600 * second };
        let (mut fold, mut vouching) = (Fold::new(leases), Vouching::default());
        let away = |vouching: &Vouching, hears, now| vouching.sends_away(hears, 2 * second, 30 * second, now * second);
        for flush in 0..20 {
            vouching.begin(&mut fold, flush * 2 * second);
            vouching.ended(&mut fold, false);
        }
        assert_eq!([1, 29, 30, 39].map(|now| away(&vouching, false, now)), [true, true, false, false]);
        assert!(away(&vouching, true, 39), "it hears and cannot tell");
        vouching.begin(&mut fold, 40 * second);
        vouching.ended(&mut fold, true);
        assert!(!away(&vouching, true, 41));
    }
}
