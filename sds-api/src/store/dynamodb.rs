//! The calls, spelled for DynamoDB. Conditions are the whole of the registry's concurrency control; each is written
//! next to the write that it guards.

use std::time::Duration;

use aws_sdk_dynamodb::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::update_item::UpdateItemError,
    types::{ConsumedCapacity, ReturnConsumedCapacity, ReturnValue, ReturnValuesOnConditionCheckFailure as OnFailure},
};
use tokio::time::{Instant, timeout};

use super::{
    FullRead, IN_REQUEST, StoreError, Trouble, Write,
    expression::Update,
    item::{self, Item, Read, n, s},
};
use crate::{
    clock::Timestamp,
    instance::{Gone, Key, Override, Registration, Row, Status},
    metrics::StoreCalls,
};
use sds_types::Sequence;

/// A row stays for DynamoDB's garbage collection this long after its last write or refresh.
pub const KEEP: Duration = Duration::from_secs(24 * 3600);

/// Nobody's place, or that of a row whose incarnation cannot be compared to any.
const VACANT: &str = "attribute_not_exists(#incarnation) OR attribute_type(#incarnation, :text)";

/// The table.
#[derive(Clone)]
pub struct Store {
    pub(super) client: Client,
    pub(super) table: String,
    pub(super) in_request: Duration,
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
    pub async fn register(
        &self,
        key: &Key,
        at: Sequence,
        new: &Registration,
        deadline: Instant,
    ) -> Result<Write, StoreError> {
        let draining = new.status == Status::Draining;
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
            update.value("draining", item::status(Status::Draining))
        };
        let condition = format!("{VACANT} OR #incarnation < :incarnation OR ({same})");
        self.write(key, update, condition, deadline).await
    }

    /// Leaves a tombstone, also where nothing stands: a deregistration may overtake its own registration.
    pub async fn deregister(&self, key: &Key, at: Sequence, why: Gone, deadline: Instant) -> Result<Write, StoreError> {
        let condition = format!("{VACANT} OR #incarnation <= :incarnation");
        self.write(key, tombstone(at, why).value("text", s("S")), condition, deadline).await
    }

    /// Leaves a tombstone if the row is still the one that was read.
    pub async fn deregister_if(&self, read: &Row, why: Gone, deadline: Instant) -> Result<Write, StoreError> {
        let update = tombstone(read.at, why).value("seen", n(read.rev));
        self.write(&read.key, update, "#incarnation = :incarnation AND #rev = :seen".into(), deadline).await
    }

    /// Leaves the hint that a row was silent for a lease, if nobody has written since.
    pub async fn mark_lost(&self, row: &Row) -> Result<Write, StoreError> {
        let now = Timestamp::now();
        let update = Update::moving(now.millis()).set("lost", n(now.seconds())).name("gone").value("seen", n(row.rev));
        self.write(&row.key, update, "#rev = :seen AND attribute_not_exists(#gone)".into(), self.soon()).await
    }

    /// Keeps a living row from DynamoDB's garbage collection; the one write that does not move `rev`.
    pub async fn refresh_expiry(&self, row: &Row) -> Result<Write, StoreError> {
        let update = Update::default()
            .set("expire_time", n(Timestamp::now().plus(KEEP).seconds()))
            .name("incarnation")
            .name("gone")
            .value("incarnation", n(row.at.incarnation));
        let condition = "#incarnation = :incarnation AND attribute_not_exists(#gone)".into();
        self.write(&row.key, update, condition, self.soon()).await
    }

    /// Lays an operator's word over whoever stands there, or takes it away; it goes with a tombstone.
    pub async fn set_override(
        &self,
        key: &Key,
        new: Option<&Override>,
        deadline: Instant,
    ) -> Result<Write, StoreError> {
        let update = item::set_override(Update::moving(Timestamp::now().millis()), new);
        let update = update.name("incarnation").name("gone");
        let condition = "attribute_exists(#incarnation) AND attribute_not_exists(#gone)".into();
        self.write(key, update, condition, deadline).await
    }

    /// For calls that no request waits for.
    fn soon(&self) -> Instant {
        Instant::now() + self.in_request
    }

    /// One row, as it stands now.
    pub async fn read(&self, key: &Key, deadline: Instant) -> Result<Option<Row>, StoreError> {
        let call = self.client.get_item().table_name(&self.table).set_key(Some(item::key(key).into()));
        let call = call.consistent_read(true).return_consumed_capacity(ReturnConsumedCapacity::Total);
        let answer = self.timed("GetItem", deadline, call.send()).await?;
        self.calls.read_units(answer.consumed_capacity.iter());
        Ok(answer.item.as_ref().and_then(row))
    }

    /// Every row, strongly consistent; one page that fails fails the whole.
    pub async fn full_read(&self) -> Result<FullRead, StoreError> {
        let mut read = FullRead::default();
        let mut from: Option<Item> = None;
        loop {
            let page = self.client.scan().table_name(&self.table).consistent_read(true).set_exclusive_start_key(from);
            let page = page.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await;
            let page = self.ended("Scan", page.map_err(|e| failed("Scan", &e)))?;
            self.calls.read_units(page.consumed_capacity.iter());
            for item in page.items.unwrap_or_default() {
                match item::read(&item) {
                    Read::Row(row) => {
                        read.foreign += usize::from(row.is_foreign());
                        read.rows.push(row);
                    }
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

    async fn write(
        &self,
        key: &Key,
        update: Update,
        condition: String,
        deadline: Instant,
    ) -> Result<Write, StoreError> {
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
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send();
        let outcome = match timeout(self.left("UpdateItem", deadline)?, call).await {
            Err(_) => Err(late("UpdateItem")),
            Ok(Ok(answer)) => {
                self.calls.write_units(answer.consumed_capacity.iter());
                written(&answer.attributes.unwrap_or_default())
            }
            Ok(Err(SdkError::ServiceError(error))) if error.err().is_conditional_check_failed_exception() => {
                match error.into_err() {
                    UpdateItemError::ConditionalCheckFailedException(failed) => {
                        let item = failed.item();
                        Ok(Write::Refused { row: item.and_then(row), at: item.and_then(item::sequence) })
                    }
                    other => Err(StoreError::away("UpdateItem", words(&other))),
                }
            }
            Ok(Err(error)) => Err(failed("UpdateItem", &error)),
        };
        if let Ok(Write::Refused { .. }) = &outcome {
            self.calls.ended("UpdateItem", "refused");
            return outcome;
        }
        self.ended("UpdateItem", outcome)
    }

    /// A call that ends at the deadline, and is not even sent after it: a process that was stopped and continued must not
    /// do what nobody waits for any more.
    pub(super) async fn timed<T, E>(
        &self,
        call: &'static str,
        deadline: Instant,
        sent: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, StoreError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let answer = match timeout(self.left(call, deadline)?, sent).await {
            Err(_) => Err(late(call)),
            Ok(answer) => answer.map_err(|e| failed(call, &e)),
        };
        self.ended(call, answer)
    }

    fn left(&self, call: &'static str, deadline: Instant) -> Result<Duration, StoreError> {
        match deadline.checked_duration_since(Instant::now()) {
            Some(left) if !left.is_zero() => Ok(left.min(self.in_request)),
            _ => Err(StoreError::away(call, "too late to be sent")),
        }
    }

    fn ended<T>(&self, call: &'static str, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        self.calls.ended(call, outcome.as_ref().map_or_else(|error| error.kind.as_str(), |_| "ok"));
        outcome
    }

    /// Counts what the store says that a read cost.
    pub(super) fn cost_read<'a>(&self, told: impl IntoIterator<Item = &'a ConsumedCapacity>) {
        self.calls.read_units(told);
    }

    /// The same of a write.
    pub(super) fn cost_write<'a>(&self, told: impl IntoIterator<Item = &'a ConsumedCapacity>) {
        self.calls.write_units(told);
    }
}

fn row(item: &Item) -> Option<Row> {
    match item::read(item) {
        Read::Row(row) => Some(row),
        _ => None,
    }
}

fn tombstone(at: Sequence, why: Gone) -> Update {
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
        Read::Bad(bad) => Err(StoreError {
            call: "UpdateItem",
            cause: format!("wrote an unreadable row: {}", bad.reason),
            kind: super::Trouble::Away,
        }),
        Read::Own(_) => Err(StoreError::away("UpdateItem", "the answer has no row")),
    }
}

fn late(call: &'static str) -> StoreError {
    StoreError::away(call, "no answer in time")
}

pub(super) fn failed<E>(call: &'static str, error: &SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let status = error.raw_response().map(|answer| answer.status().as_u16());
    StoreError { call, cause: words(error), kind: Trouble::of(error.code(), status) }
}

impl Trouble {
    /// By the error's code (DynamoDB's error handling page) and the answer's status.
    fn of(code: Option<&str>, status: Option<u16>) -> Self {
        const THROTTLED: [&str; 5] = [
            "ProvisionedThroughputExceededException",
            "RequestLimitExceeded",
            "ThrottlingException",
            "Throttling",
            "LimitExceededException",
        ];
        match (code, status) {
            (Some(code), _) if THROTTLED.contains(&code) => Self::Throttled,
            (_, Some(429)) => Self::Throttled,
            (Some(_), Some(400..=499)) => Self::Refused,
            _ => Self::Away,
        }
    }

    /// For counting.
    fn as_str(self) -> &'static str {
        match self {
            Self::Away => "failed",
            Self::Throttled => "throttled",
            Self::Refused => "denied",
        }
    }
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
