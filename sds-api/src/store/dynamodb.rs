//! The calls, spelled for DynamoDB. Conditions are the whole of the registry's concurrency control; each is written
//! next to the write that it guards.

use std::time::Duration;

use aws_sdk_dynamodb::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::update_item::UpdateItemError,
    types::{ReturnValue, ReturnValuesOnConditionCheckFailure as OnFailure},
};
use tokio::time::timeout;

use super::{
    FullRead, IN_REQUEST, StoreError, Write,
    expression::Update,
    item::{self, Item, Read, n, s},
};
use crate::{
    clock::Timestamp,
    instance::{Gone, Key, Registration, Row},
    metrics::StoreCalls,
};

/// A row stays for DynamoDB's garbage collection this long after its last write or refresh.
pub const KEEP: Duration = Duration::from_secs(24 * 3600);

/// Nobody's place, or that of a row whose incarnation cannot be compared to any.
const VACANT: &str = "attribute_not_exists(#incarnation) OR attribute_type(#incarnation, :text)";

/// The table.
#[derive(Clone)]
pub struct Store {
    pub(super) client: Client,
    pub(super) table: String,
    in_request: Duration,
    calls: StoreCalls,
}

impl Store {
    /// The table `table`; `limit` bounds a call made for a request, as far as it is below [`IN_REQUEST`].
    pub fn new(client: Client, table: String, limit: Duration, calls: StoreCalls) -> Self {
        Self { client, table, in_request: limit.min(IN_REQUEST), calls }
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Writes a registration, or a change of one, unless something newer stands there: a higher incarnation, the
    /// same one further on or gone, or one that drains (only a draining write follows a draining one).
    pub async fn register(&self, key: &Key, at: sds_types::Sequence, new: &Registration) -> Result<Write, StoreError> {
        let draining = new.status == crate::instance::Status::Draining;
        let now = Timestamp::now();
        let update = Update::moving(now.millis())
            .set("incarnation", n(at.incarnation))
            .set("seq", n(at.seq))
            .set("status", item::status(new.status))
            .set("revision", s(new.content.revision.as_str()))
            .set("last_check_in", s(now.to_string()))
            .set("tags", item::tags(&new.content))
            .set("origin", s(new.origin.as_str()))
            .set("fmt", n(item::FMT))
            .set("expire_time", n(now.plus(KEEP).seconds()))
            .set_text("task", new.content.task_arn.as_str())
            .set_text("service_repo_name", new.content.service_repo_name.as_str())
            .value("text", s("S"))
            .remove("gone")
            .remove("lost");
        let mut same = "#incarnation = :incarnation AND #seq < :seq AND attribute_not_exists(#gone)".to_owned();
        let update = if draining {
            update
        } else {
            same.push_str(" AND #status <> :draining");
            update.value("draining", item::status(crate::instance::Status::Draining))
        };
        let condition = format!("{VACANT} OR #incarnation < :incarnation OR ({same})");
        self.write(key, update, condition).await
    }

    /// Leaves a tombstone, also where nothing stands: a deregistration may overtake its own registration.
    pub async fn deregister(&self, key: &Key, at: sds_types::Sequence, why: Gone) -> Result<Write, StoreError> {
        let condition = format!("{VACANT} OR #incarnation <= :incarnation");
        self.write(key, tombstone(at, why).value("text", s("S")), condition).await
    }

    /// Leaves a tombstone if the row is still the one that was read.
    pub async fn deregister_if(&self, read: &Row, why: Gone) -> Result<Write, StoreError> {
        let update = tombstone(read.at, why).value("seen", n(read.rev));
        self.write(&read.key, update, "#incarnation = :incarnation AND #rev = :seen".into()).await
    }

    /// Leaves the hint that a row was silent for a lease, if nobody has written since.
    pub async fn mark_lost(&self, row: &Row) -> Result<Write, StoreError> {
        let now = Timestamp::now();
        let update = Update::moving(now.millis()).set("lost", n(now.seconds())).name("gone").value("seen", n(row.rev));
        self.write(&row.key, update, "#rev = :seen AND attribute_not_exists(#gone)".into()).await
    }

    /// Keeps a living row from DynamoDB's garbage collection; the one write that does not move `rev`.
    pub async fn refresh_expiry(&self, row: &Row) -> Result<Write, StoreError> {
        let update = Update::default()
            .set("expire_time", n(Timestamp::now().plus(KEEP).seconds()))
            .name("incarnation")
            .name("gone")
            .value("incarnation", n(row.at.incarnation));
        self.write(&row.key, update, "#incarnation = :incarnation AND attribute_not_exists(#gone)".into()).await
    }

    /// One row, as it stands now.
    pub async fn read(&self, key: &Key) -> Result<Option<Row>, StoreError> {
        let call = self.client.get_item().table_name(&self.table).set_key(Some(item::key(key).into()));
        let answer = timeout(self.in_request, call.consistent_read(true).send()).await;
        let answer = match answer {
            Err(_) => Err(late("GetItem")),
            Ok(answer) => answer.map_err(|e| failed("GetItem", &e)),
        };
        self.calls.ended("GetItem", if answer.is_ok() { "ok" } else { "failed" });
        let answer = answer?;
        Ok(answer.item.as_ref().and_then(row))
    }

    /// Every row, strongly consistent; one page that fails fails the whole.
    pub async fn full_read(&self) -> Result<FullRead, StoreError> {
        let mut read = FullRead::default();
        let mut from: Option<Item> = None;
        loop {
            let page = self.client.scan().table_name(&self.table).consistent_read(true).set_exclusive_start_key(from);
            let page = page.send().await.map_err(|e| failed("Scan", &e));
            self.calls.ended("Scan", if page.is_ok() { "ok" } else { "failed" });
            let page = page?;
            for item in page.items.unwrap_or_default() {
                match item::read(&item) {
                    Read::Row(row) => read.rows.push(row),
                    Read::Foreign => read.foreign += 1,
                    Read::Own(name) => read.meta |= name == "#meta",
                    Read::Bad(bad) => read.bad.push(bad),
                }
            }
            from = page.last_evaluated_key.filter(|key| !key.is_empty());
            if from.is_none() {
                return Ok(read);
            }
        }
    }

    async fn write(&self, key: &Key, update: Update, condition: String) -> Result<Write, StoreError> {
        let call = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(item::key(key).into()))
            .update_expression(update.text())
            .condition_expression(condition)
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(OnFailure::AllOld)
            .send();
        let outcome = match timeout(self.in_request, call).await {
            Err(_) => Err(late("UpdateItem")),
            Ok(Ok(answer)) => written(&answer.attributes.unwrap_or_default()),
            Ok(Err(SdkError::ServiceError(error))) => match error.into_err() {
                UpdateItemError::ConditionalCheckFailedException(failed) => {
                    let item = failed.item();
                    Ok(Write::Refused { row: item.and_then(row), at: item.and_then(item::sequence) })
                }
                other => Err(StoreError { call: "UpdateItem", cause: words(&other) }),
            },
            Ok(Err(error)) => Err(failed("UpdateItem", &error)),
        };
        let word = match &outcome {
            Ok(Write::Done(_)) => "ok",
            Ok(Write::Refused { .. }) => "refused",
            Err(_) => "failed",
        };
        self.calls.ended("UpdateItem", word);
        outcome
    }
}

fn row(item: &Item) -> Option<Row> {
    match item::read(item) {
        Read::Row(row) => Some(row),
        _ => None,
    }
}

fn tombstone(at: sds_types::Sequence, why: Gone) -> Update {
    let now = Timestamp::now();
    Update::moving(now.millis())
        .set("incarnation", n(at.incarnation))
        .set("seq", n(at.seq))
        .set("fmt", n(item::FMT))
        .set("gone", item::gone(why))
        .set("expire_time", n(now.plus(KEEP).seconds()))
}

fn written(item: &Item) -> Result<Write, StoreError> {
    match item::read(item) {
        Read::Row(row) => Ok(Write::Done(row)),
        Read::Bad(bad) => {
            Err(StoreError { call: "UpdateItem", cause: format!("wrote an unreadable row: {}", bad.reason) })
        }
        _ => Err(StoreError { call: "UpdateItem", cause: "the answer has no row".into() }),
    }
}

fn late(call: &'static str) -> StoreError {
    StoreError { call, cause: "no answer in time".into() }
}

pub(super) fn failed<E, R>(call: &'static str, error: &SdkError<E, R>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug + 'static,
{
    StoreError { call, cause: words(error) }
}

/// An error and what caused it, each said once; the SDK's own display would add the whole response.
fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    let mut said: Vec<String> = chain.map(ToString::to_string).collect();
    said.dedup();
    said.join(": ")
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("table", &self.table).finish_non_exhaustive()
    }
}
