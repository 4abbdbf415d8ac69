//! What replicas tell each other: headers and pages, and the rows that a header announces. All reads are strongly
//! consistent, because a key is announced after its row was written; all rows are the registry's own bookkeeping, so they
//! are written whole and collected after an hour.

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::{
    primitives::Blob,
    types::{AttributeValue, KeysAndAttributes, ReturnConsumedCapacity},
};
use futures_util::future::try_join_all;
use tokio::time::{Instant, sleep};

use super::{
    Store, StoreError,
    expression::Update,
    item::{self, Item, Read, n, s},
};
use crate::{
    clock::Timestamp,
    instance::{Key, Row},
    replica::{Head, PageKey, ReplicaId, SLOTS},
};

const HEADS: &str = "#replica";
const PAGES: &str = "#vouch/";
const KEEP: Duration = Duration::from_secs(3600);
/// DynamoDB's limit of one BatchGetItem.
const BATCH: usize = 100;

impl Store {
    /// The headers of all replicas, this one's too.
    pub async fn heads(&self) -> Result<Vec<Head>, StoreError> {
        let deadline = Instant::now() + self.in_request;
        let mut heads = Vec::new();
        let mut from: Option<Item> = None;
        loop {
            let call = self.client.query().table_name(&self.table).consistent_read(true);
            let call = call.key_condition_expression("#service = :service").set_exclusive_start_key(from);
            let call = call.expression_attribute_names("#service", "service");
            let call = call.expression_attribute_values(":service", s(HEADS));
            let call = call.return_consumed_capacity(ReturnConsumedCapacity::Total);
            let page = self.timed("Query", deadline, call.send()).await?;
            self.cost_read(page.consumed_capacity.iter());
            heads.extend(page.items.unwrap_or_default().iter().filter_map(head));
            from = page.last_evaluated_key.filter(|key| !key.is_empty());
            if from.is_none() {
                return Ok(heads);
            }
        }
    }

    /// The rows of these keys that are there and can be read.
    pub async fn rows(&self, keys: &[Key]) -> Result<Vec<Row>, StoreError> {
        let items = self.batches(keys.iter().map(|key| item::key(key).into())).await?;
        let rows = items.iter().filter_map(|item| match item::read(item) {
            Read::Row(row) => Some(row),
            Read::Own(_) => None,
            Read::Bad(bad) => {
                tracing::warn!(row = bad.key, reason = bad.reason, "row left out of the answers");
                None
            }
        });
        Ok(rows.collect())
    }

    /// The pages of these places that are there.
    pub async fn pages(&self, keys: &[PageKey]) -> Result<Vec<(PageKey, Vec<u8>)>, StoreError> {
        let items = self.batches(keys.iter().map(|key| Item::from(place(key)))).await?;
        let mut bodies: HashMap<(String, String), Vec<u8>> = items
            .into_iter()
            .filter_map(|mut item| {
                let body = item.remove("body")?.as_b().ok()?.clone().into_inner();
                let text = |name| item.get(name).and_then(|value| value.as_s().ok()).cloned();
                Some(((text("service")?, text("ip_port")?), body))
            })
            .collect();
        let page = |key: &PageKey| Some((key.clone(), bodies.remove(&names(key))?));
        Ok(keys.iter().filter_map(page).collect())
    }

    /// Writes a page; nobody looks for it before a header tells of it.
    pub async fn write_page(&self, key: &PageKey, body: Vec<u8>) -> Result<(), StoreError> {
        let call = self.client.put_item().table_name(&self.table).set_item(Some(place(key).into()));
        let call = call.item("body", AttributeValue::B(Blob::new(body))).item("fmt", n(item::FMT));
        let call = call.item("expire_time", n(Timestamp::now().plus(KEEP).seconds()));
        let call = call.return_consumed_capacity(ReturnConsumedCapacity::Total);
        let answer = self.timed("PutItem", Instant::now() + self.in_request, call.send()).await?;
        self.cost_write(answer.consumed_capacity.iter());
        Ok(())
    }

    /// Writes this replica's header, unless a later one stands there; whether it was written.
    pub async fn write_head(&self, head: &Head) -> Result<bool, StoreError> {
        let ring = head.ring.iter().map(|(number, key)| {
            let mut entry = Item::from(item::key(key));
            entry.insert("n".into(), n(*number));
            AttributeValue::M(entry)
        });
        let update = Update::default()
            .set("hseq", n(head.hseq))
            .set("beat", n(head.beat))
            .set("ring_n", n(head.ring_n))
            .set("ring", AttributeValue::L(ring.collect()))
            .set("bye", AttributeValue::Bool(head.bye))
            .set("fmt", n(item::FMT))
            .set("expire_time", n(Timestamp::now().plus(KEEP).seconds()));
        let call = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("service", s(HEADS))
            .key("ip_port", s(head.id.as_str()))
            .update_expression(update.text())
            .condition_expression("attribute_not_exists(#hseq) OR #hseq < :hseq")
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let deadline = Instant::now() + self.in_request;
        let sent = async {
            match call.send().await {
                Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => {
                    Ok(None)
                }
                other => other.map(Some),
            }
        };
        let answer = self.timed("UpdateItem", deadline, sent).await?;
        self.cost_write(answer.iter().flat_map(|answer| &answer.consumed_capacity));
        Ok(answer.is_some())
    }

    async fn batches(&self, keys: impl Iterator<Item = Item>) -> Result<Vec<Item>, StoreError> {
        let keys: Vec<Item> = keys.collect();
        let deadline = Instant::now() + self.in_request;
        let read = try_join_all(keys.chunks(BATCH).map(|keys| self.batch(keys.to_vec(), deadline))).await?;
        Ok(read.into_iter().flatten().collect())
    }

    /// One batch; what DynamoDB left over is asked for again until the deadline.
    async fn batch(&self, mut keys: Vec<Item>, deadline: Instant) -> Result<Vec<Item>, StoreError> {
        let mut items = Vec::new();
        let mut pause = Duration::from_millis(20);
        loop {
            let wanted = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build();
            let wanted = wanted.map_err(|e| StoreError::away("BatchGetItem", e.to_string()))?;
            let call = self.client.batch_get_item().request_items(&self.table, wanted);
            let call = call.return_consumed_capacity(ReturnConsumedCapacity::Total);
            let answer = self.timed("BatchGetItem", deadline, call.send()).await?;
            self.cost_read(answer.consumed_capacity.iter().flatten());
            items.extend(answer.responses.unwrap_or_default().into_values().flatten());
            keys = answer.unprocessed_keys.unwrap_or_default().into_values().flat_map(|left| left.keys).collect();
            if keys.is_empty() {
                return Ok(items);
            }
            sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
            pause *= 2;
        }
    }
}

/// A header row; one that cannot be read is as good as none.
pub(super) fn head(item: &Item) -> Option<Head> {
    let number = |name| item.get(name)?.as_n().ok()?.parse().ok();
    let id = ReplicaId::parse(item.get("ip_port")?.as_s().ok()?)?;
    let entry = |entry: &AttributeValue| {
        let entry = entry.as_m().ok()?;
        Some((entry.get("n")?.as_n().ok()?.parse().ok()?, item::read_key(entry)?))
    };
    let ring = item.get("ring").and_then(|ring| ring.as_l().ok()).into_iter().flatten().filter_map(entry).collect();
    let bye = item.get("bye").and_then(|bye| bye.as_bool().ok()).copied().unwrap_or(false);
    Some(Head { id, hseq: number("hseq")?, beat: number("beat")?, ring_n: number("ring_n")?, ring, bye })
}

fn names(key: &PageKey) -> (String, String) {
    (format!("{PAGES}{}", key.replica), format!("{}#{}", key.beat % SLOTS, key.chunk))
}

fn place(key: &PageKey) -> [(String, AttributeValue); 2] {
    let (service, ip_port) = names(key);
    [("service".into(), s(service)), ("ip_port".into(), s(ip_port))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = AttributeValue> {
        let leaf = prop_oneof![
            ".{0,20}".prop_map(AttributeValue::S),
            ".{0,20}".prop_map(AttributeValue::N),
            any::<u64>().prop_map(n),
            any::<bool>().prop_map(AttributeValue::Bool),
            Just(AttributeValue::Null(true)),
        ];
        leaf.prop_recursive(2, 8, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(AttributeValue::L),
                prop::collection::hash_map("n|service|ip_port|x", inner, 0..4).prop_map(AttributeValue::M),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_header_row_panics(item in prop::collection::hash_map("ip_port|hseq|beat|ring_n|ring|bye", value(), 0..6)) {
            let _ = head(&item);
        }
    }
}
