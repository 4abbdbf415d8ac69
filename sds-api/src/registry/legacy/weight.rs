//! lyft/discovery's weight of a host: an operator's word for a week, whoever registered the host.
//!
//! If an operator's own word stands there, the weight joins it and ends with it: an "unhealthy for an hour" must neither
//! be lost by a weight nor last for a week.

use std::{net::IpAddr, sync::Arc, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use sds_types::{Label, ServiceName, Weight};
use tokio::time::Instant;

use super::{AT_ONCE, Registry, WriteError, detached};
use crate::{
    clock::Timestamp,
    instance::{Key, Override, Row},
    store::IN_REQUEST,
};

/// How long a weight lasts: the longest that an operator's word may.
const LASTS: Duration = Duration::from_secs(7 * 24 * 3600);
/// Whoever says it again within this time says nothing new.
const SAME: Duration = Duration::from_secs(3600);

impl Registry {
    /// Weighs the hosts in service on an ip, or all of the service. If one fails, others may have been weighed.
    pub async fn set_weight(&self, service: ServiceName, ip: Option<IpAddr>, weight: Weight) -> Result<(), WriteError> {
        let lives = self.lives(&service).await?;
        let there = lives.into_keys().filter(|endpoint| ip.is_none_or(|ip| endpoint.ip() == ip));
        let there: Vec<_> = there.map(|endpoint| Key { service: service.clone(), endpoint }).collect();
        if there.is_empty() && ip.is_some() {
            return Err(WriteError::Unknown);
        }
        let deadline = Instant::now() + IN_REQUEST;
        let registry = self.clone();
        detached(async move {
            let each = async |key| match registry.weigh(key, weight, deadline).await {
                // It has left meanwhile.
                Err(WriteError::Unknown) => Ok(()),
                other => other,
            };
            stream::iter(there).map(each).buffer_unordered(AT_ONCE).try_for_each(async |()| Ok(())).await
        })
        .await
    }

    async fn weigh(&self, key: Key, weight: Weight, deadline: Instant) -> Result<(), WriteError> {
        let row = self.store.read(&key, deadline).await?.ok_or(WriteError::Unknown)?;
        match weighed(&row, weight, Timestamp::now()) {
            None => Ok(()),
            Some(word) => self.set_override(key, Some(word)).await.map(drop),
        }
    }
}

/// The operator's word on a row with this weight, unless that is what it says already.
fn weighed(row: &Row, weight: Weight, now: Timestamp) -> Option<Override> {
    let until = now.plus(LASTS).seconds();
    let standing = row.active_override(now.seconds()).map(Arc::as_ref);
    let own = standing.filter(|word| word.status.is_some() || word.canary.is_some());
    let lasts = |word: &Override| own.is_some() || word.until.saturating_add(SAME.as_secs()) > until;
    if standing.is_some_and(|word| word.weight == Some(weight) && lasts(word)) {
        return None;
    }
    Some(match own {
        Some(word) => Override { weight: Some(weight), ..word.clone() },
        None => Override {
            status: None,
            weight: Some(weight),
            canary: None,
            reason: Label::parse("reason", "POST /v1/loadbalancing").unwrap_or_default(),
            who: Label::parse("who", "lyft client").unwrap_or_default(),
            until,
            tenant: row.tenant(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::{Origin, Registration, Standing, Status};

    fn row(operator: Option<Override>) -> Row {
        let registration = Registration {
            status: Status::Healthy,
            content: Arc::default(),
            origin: Origin::Lyft,
            lost: false,
            expire_time: 0,
        };
        Row {
            key: Key { service: "web".parse().unwrap(), endpoint: "10.0.0.1:80".parse().unwrap() },
            at: sds_types::Sequence { incarnation: 3, seq: 1 },
            rev: 1,
            standing: Standing::In(registration),
            operator: operator.map(Arc::new),
        }
    }

    fn weight(n: i64) -> Weight {
        n.try_into().unwrap()
    }

    fn now() -> Timestamp {
        Timestamp::of_seconds(1_000_000)
    }

    #[test]
    fn it_lasts_a_week_for_whom_it_was_meant() {
        let word = weighed(&row(None), weight(5), now()).unwrap();
        assert_eq!((word.weight, word.status, word.canary), (Some(weight(5)), None, None));
        assert_eq!((word.until, word.tenant.as_str()), (1_000_000 + 7 * 86_400, "3"));
    }

    #[test]
    fn said_again_it_is_written_again_only_after_a_while() {
        let word = weighed(&row(None), weight(5), now()).unwrap();
        assert_eq!(weighed(&row(Some(word.clone())), weight(5), now().plus(SAME / 2)), None);
        assert!(weighed(&row(Some(word.clone())), weight(5), now().plus(SAME * 2)).is_some());
        assert!(weighed(&row(Some(word)), weight(6), now()).is_some());
    }

    #[test]
    fn it_joins_an_operators_word_and_ends_with_it() {
        let mine = weighed(&row(None), weight(5), now()).unwrap();
        let theirs = Override { status: Some(Status::Unhealthy), weight: None, until: 1_003_600, ..mine };
        let word = weighed(&row(Some(theirs.clone())), weight(7), now()).unwrap();
        assert_eq!(word, Override { weight: Some(weight(7)), ..theirs.clone() });
        assert_eq!(weighed(&row(Some(word)), weight(7), now()), None);
        let late = weighed(&row(Some(theirs)), weight(7), now().plus(SAME * 2)).unwrap();
        assert_eq!(late.status, None, "that word had ended");
    }
}
