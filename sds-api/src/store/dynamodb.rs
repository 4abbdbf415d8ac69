//! Writes and single reads of instances' rows. Conditions are the whole of the registry's concurrency control; each is
//! written next to the write that it guards.

use std::time::Duration;

use aws_sdk_dynamodb::{Client, types::ReturnConsumedCapacity};
use sds_types::Sequence;
use tokio::time::Instant;

use super::{
    StoreError, Write,
    calls::Time,
    connect::Connected,
    connections::Connections,
    expression::Update,
    item::{self, Item, Read, n, s},
    update::Updated,
};
use crate::{
    clock::Timestamp,
    instance::{Gone, Key, Override, Registration, Row, Status},
    metrics::StoreCalls,
};

/// A row stays for DynamoDB's garbage collection this long after its last write or refresh.
pub const KEEP: Duration = Duration::from_secs(24 * 3600);

/// Nobody's place: nothing stands there, or its incarnation is none that anybody's can be compared to.
const VACANT: &str = "attribute_not_exists(#incarnation) OR NOT attribute_type(#incarnation, :number) \
                      OR #incarnation > :greatest";

/// The table.
#[derive(Clone)]
pub struct Store {
    pub(super) client: Client,
    pub(super) connections: Connections,
    pub(super) table: String,
    pub(super) limit: Duration,
    pub(super) calls: StoreCalls,
}

impl Store {
    /// The table `table`; `limit` bounds each call.
    pub fn new(connected: Connected, table: String, limit: Duration, calls: StoreCalls) -> Self {
        let Connected { client, connections } = connected;
        Self { client, connections, table, limit, calls }
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
            .remove("gone")
            .remove("lost");
        let mut same = "#incarnation = :incarnation AND #seq < :seq AND attribute_not_exists(#gone)".to_owned();
        let update = if new.status == Status::Draining {
            update
        } else {
            same.push_str(" AND #status <> :draining");
            update.value("draining", item::status(Status::Draining))
        };
        let condition = format!("{VACANT} OR #incarnation < :incarnation OR ({same})");
        match self.write(key, vacant(update), condition, self.until(deadline)).await? {
            // What an earlier try of ours wrote, whose answer was lost; or another replica, for the same request.
            Write::Refused { row: Some(row), .. } if row.at == at && says(&row, new) => Ok(Write::Done(row)),
            write => Ok(write),
        }
    }

    /// Leaves a tombstone, also where nothing stands: a deregistration may overtake its own registration.
    pub async fn deregister(&self, key: &Key, at: Sequence, why: Gone, deadline: Instant) -> Result<Write, StoreError> {
        let condition = format!("{VACANT} OR #incarnation <= :incarnation");
        self.write(key, vacant(tombstone(at, why)), condition, self.until(deadline)).await
    }

    /// Leaves a tombstone if the row is still the one that was read. A foreign row moves with each of its heartbeats; of that
    /// one it is asked only that it is foreign still, and its tombstone takes the first place in the order.
    pub async fn deregister_if(&self, read: &Row, why: Gone, deadline: Instant) -> Result<Write, StoreError> {
        let (update, condition) = if read.is_foreign() {
            let first = Sequence { incarnation: 1, seq: 1 };
            (tombstone(first, why), "attribute_not_exists(#incarnation)")
        } else {
            let update = tombstone(read.at, why).value("seen", n(read.rev));
            (update, "#incarnation = :incarnation AND #rev = :seen")
        };
        self.write(&read.key, update, condition.into(), self.until(deadline)).await
    }

    /// Lets a row drain, at its registrant's place in the order, if it is still the one that was read.
    pub async fn drain_if(&self, read: &Row, deadline: Instant) -> Result<Write, StoreError> {
        let update = Update::moving(Timestamp::now().millis())
            .set("status", item::status(Status::Draining))
            .name("incarnation")
            .name("gone")
            .value("incarnation", n(read.at.incarnation))
            .value("seen", n(read.rev));
        let condition = "#incarnation = :incarnation AND #rev = :seen AND attribute_not_exists(#gone)".into();
        self.write(&read.key, update, condition, self.until(deadline)).await
    }

    /// Leaves the hint that a row was silent for a lease, if nobody has written since.
    pub async fn mark_lost(&self, row: &Row) -> Result<Write, StoreError> {
        let now = Timestamp::now();
        let update = Update::moving(now.millis()).set("lost", n(now.seconds())).name("gone").value("seen", n(row.rev));
        let condition = "#rev = :seen AND attribute_not_exists(#gone)".into();
        self.write(&row.key, update, condition, self.in_loop()).await
    }

    /// Keeps a living row from DynamoDB's garbage collection; the one write that does not move `rev`.
    pub async fn refresh_expiry(&self, row: &Row) -> Result<Write, StoreError> {
        let update = Update::default()
            .set("expire_time", n(Timestamp::now().plus(KEEP).seconds()))
            .name("incarnation")
            .name("gone")
            .value("incarnation", n(row.at.incarnation));
        let condition = "#incarnation = :incarnation AND attribute_not_exists(#gone)".into();
        self.write(&row.key, update, condition, self.in_loop()).await
    }

    /// Lays an operator's word over whoever stands there, or takes it away. It goes with a tombstone, not with a restart.
    pub async fn set_override(
        &self,
        key: &Key,
        new: Option<&Override>,
        deadline: Instant,
    ) -> Result<Write, StoreError> {
        let update = item::set_override(Update::moving(Timestamp::now().millis()), new);
        let update = update.name("incarnation").name("gone");
        let condition = "attribute_exists(#incarnation) AND attribute_not_exists(#gone)".into();
        self.write(key, update, condition, self.until(deadline)).await
    }

    /// One row, as it stands now.
    pub async fn read(&self, key: &Key, deadline: Instant) -> Result<Option<Row>, StoreError> {
        let call = self.client.get_item().table_name(&self.table).set_key(Some(item::key(key)));
        let call = call.consistent_read(true).return_consumed_capacity(ReturnConsumedCapacity::Total);
        let answer = self.plain("GetItem", self.until(deadline), || call.clone().send()).await?;
        self.calls.read_units(answer.consumed_capacity.iter());
        Ok(answer.item.as_ref().and_then(row))
    }

    async fn write(&self, key: &Key, update: Update, condition: String, time: Time) -> Result<Write, StoreError> {
        let key = item::key(key);
        match self.update(key.clone(), update.clone(), condition.clone(), time).await? {
            Updated::Done(item) => written(&item),
            Updated::Refused(item) => {
                let item = item.as_ref();
                Ok(Write::Refused { row: item.and_then(row), at: item.and_then(item::sequence) })
            }
            Updated::Invalid(error) => {
                // Nothing can be added to a `rev` that is no number: it would keep the address's owner out for ever.
                let anew = "attribute_exists(#rev) AND NOT attribute_type(#rev, :number)";
                let update = update.starting_anew().name("rev").value("number", s("N"));
                match self.update(key, update, format!("({condition}) AND {anew}"), time).await? {
                    Updated::Done(item) => written(&item),
                    Updated::Refused(_) | Updated::Invalid(_) => Err(error),
                }
            }
        }
    }
}

fn vacant(update: Update) -> Update {
    update.value("number", s("N")).value("greatest", n(u64::MAX))
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

fn says(row: &Row, new: &Registration) -> bool {
    row.registration()
        .is_some_and(|said| (said.status, &said.content, said.origin) == (new.status, &new.content, new.origin))
}

fn row(item: &Item) -> Option<Row> {
    match item::read(item) {
        Read::Row(row) => Some(row),
        _ => None,
    }
}

/// The row that a write left. It was written all the same if it cannot be read: what became of it is unknown.
fn written(item: &Item) -> Result<Write, StoreError> {
    match item::read(item) {
        Read::Row(row) => Ok(Write::Done(row)),
        Read::Bad(bad) => Err(StoreError::away("UpdateItem", format!("wrote an unreadable row: {}", bad.reason))),
        Read::Own(_) => Err(StoreError::away("UpdateItem", "the answer has no row")),
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("table", &self.table).finish_non_exhaustive()
    }
}
