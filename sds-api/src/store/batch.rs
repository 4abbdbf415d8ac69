//! Many items by their keys, strongly consistent. DynamoDB takes 100 keys a call, refuses a call that names one twice, and
//! may leave some out, for their size or because it throttles: those are asked for again.

use std::{collections::HashSet, time::Duration};

use aws_sdk_dynamodb::types::{KeysAndAttributes, ReturnConsumedCapacity};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::time::{Instant, sleep};

use super::{
    Store, StoreError, Trouble,
    calls::Time,
    item::{self, Item, Read},
};
use crate::instance::{Key, Row};

const NAME: &str = "BatchGetItem";
/// Keys in one call.
const KEYS: usize = 100;
/// Calls at once.
const CALLS: usize = 4;
const PAUSE: Duration = Duration::from_millis(20);

impl Store {
    /// The rows of these keys that are there and can be read.
    pub async fn rows(&self, keys: &[Key]) -> Result<Vec<Row>, StoreError> {
        let keys: HashSet<&Key> = keys.iter().collect();
        let items = self.items(keys.into_iter().map(item::key).collect()).await?;
        let rows = items.iter().filter_map(|item| match item::read(item) {
            Read::Row(row) => Some(row),
            Read::Own(_) => None,
            Read::Bad(bad) => {
                self.calls.bad_row();
                tracing::warn!(row = bad.key, reason = bad.reason, "row left out of the answers");
                None
            }
        });
        Ok(rows.collect())
    }

    /// What stands at these keys, which differ.
    pub(super) async fn items(&self, keys: Vec<Item>) -> Result<Vec<Item>, StoreError> {
        let time = self.in_loop();
        let chunks: Vec<_> = keys.chunks(KEYS).map(<[Item]>::to_vec).collect();
        let read = stream::iter(chunks).map(|keys| self.chunk(keys, time)).buffer_unordered(CALLS);
        read.try_concat().await
    }

    async fn chunk(&self, mut keys: Vec<Item>, time: Time) -> Result<Vec<Item>, StoreError> {
        let mut items = Vec::with_capacity(keys.len());
        let mut pause = PAUSE;
        loop {
            let wanted = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build();
            let wanted = wanted.map_err(|error| StoreError::away(NAME, error.to_string()))?;
            let call = self.client.batch_get_item().request_items(&self.table, wanted);
            let call = call.return_consumed_capacity(ReturnConsumedCapacity::Total);
            let answer = self.plain(NAME, time, || call.clone().send()).await?;
            self.calls.read_units(answer.consumed_capacity.iter().flatten());
            items.extend(answer.responses.unwrap_or_default().into_values().flatten());
            keys = answer.unprocessed_keys.unwrap_or_default().into_values().flat_map(|left| left.keys).collect();
            if keys.is_empty() {
                return Ok(items);
            }
            let wait = pause.mul_f64(0.5 + fastrand::f64());
            if Instant::now() + wait >= time.end {
                let cause = format!("{} keys are left over", keys.len());
                return Err(StoreError { call: NAME, cause, kind: Trouble::Throttled });
            }
            sleep(wait).await;
            pause *= 2;
        }
    }
}
