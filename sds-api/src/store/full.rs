//! The whole table at once: the registry's first knowledge, and the repair of what announcements missed.

use aws_sdk_dynamodb::types::ReturnConsumedCapacity;

use super::{
    FullRead, Store, StoreError,
    item::{self, Item, Read},
    table::META,
};

impl Store {
    /// Every row, strongly consistent; one page that fails fails the whole.
    pub async fn full_read(&self) -> Result<FullRead, StoreError> {
        let mut read = FullRead::default();
        let mut from: Option<Item> = None;
        loop {
            let call = self.client.scan().table_name(&self.table).consistent_read(true).set_exclusive_start_key(from);
            let call = call.return_consumed_capacity(ReturnConsumedCapacity::Total);
            let page = self.plain("Scan", self.for_a_page(), || call.clone().send()).await?;
            self.calls.read_units(page.consumed_capacity.iter());
            page.items.unwrap_or_default().iter().for_each(|item| read.take(item));
            from = page.last_evaluated_key.filter(|key| !key.is_empty());
            if from.is_none() {
                return Ok(read);
            }
        }
    }
}

impl FullRead {
    fn take(&mut self, item: &Item) {
        match item::read(item) {
            Read::Row(row) => {
                self.foreign += usize::from(row.is_foreign());
                self.rows.push(row);
            }
            Read::Own(name) => self.meta |= name == META,
            Read::Bad(bad) => self.bad.push(bad),
        }
    }
}
