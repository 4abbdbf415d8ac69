//! Passing on whom this replica heard: one flush at a time, nothing lost when it fails, and whether it does fail.

use std::{collections::HashMap, time::Duration};

use super::{fold::Fold, pages::VouchHash};

/// The flush that is on its way, and how the last one went. Times are of the monotonic clock.
#[derive(Debug, Default)]
pub struct Vouching {
    told: HashMap<VouchHash, Duration>,
    begun: Option<Duration>,
    failed: bool,
}

impl Vouching {
    /// A flush begins: whom it tells, and how long ago each was heard.
    pub fn begin(&mut self, fold: &mut Fold, now: Duration) -> Vec<(VouchHash, Duration)> {
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
        (self.begun, self.failed) = (None, !done);
    }

    /// Whether the others do not learn of the heartbeats that come here.
    pub fn is_failing(&self, flush: Duration, now: Duration) -> bool {
        let overdue = |begun| now.saturating_sub(begun) > flush.max(Duration::from_secs(1));
        self.failed || self.begun.is_some_and(overdue)
    }
}
