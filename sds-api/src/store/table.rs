//! The table itself: its shape, its creation, and the mark that says "this table was in use".
//!
//! The shape is cookpad/sds's, so that its users can point us at the table that they have. The mark tells a table
//! that was just made (empty means empty) from one that somebody wiped (empty means wait for the sidecars).

use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableStatus,
    TimeToLiveSpecification, TimeToLiveStatus,
};
use tokio::time::{Instant, sleep};

use super::{
    Store, StoreError,
    expression::Update,
    item::{self, n, s},
    update::Updated,
};

pub(super) const META: &str = "#meta";

impl Store {
    /// Creates the table with its TTL and its mark, if there is none of that name. Whether it was created.
    pub async fn create_table(&self) -> Result<bool, StoreError> {
        let call = self.client.create_table().table_name(&self.table).billing_mode(BillingMode::PayPerRequest);
        let call = call
            .attribute_definitions(attribute("service")?)
            .attribute_definitions(attribute("ip_port")?)
            .key_schema(key("service", KeyType::Hash)?)
            .key_schema(key("ip_port", KeyType::Range)?);
        let send = || async {
            match call.clone().send().await {
                Ok(_) => Ok(true),
                Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_in_use_exception()) => Ok(false),
                Err(error) => Err(error),
            }
        };
        let created = self.plain("CreateTable", self.for_a_page(), send).await?;
        self.wait_active().await?;
        // Also for a table that was there: an earlier start may have failed between the two.
        self.enable_ttl().await?;
        if created {
            self.write_meta().await?;
        }
        Ok(created)
    }

    async fn enable_ttl(&self) -> Result<(), StoreError> {
        let call = self.client.describe_time_to_live().table_name(&self.table);
        let known = self.plain("DescribeTimeToLive", self.for_a_page(), || call.clone().send()).await?;
        let status = known.time_to_live_description.and_then(|ttl| ttl.time_to_live_status);
        if matches!(status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)) {
            return Ok(());
        }
        let ttl = TimeToLiveSpecification::builder().attribute_name("expire_time").enabled(true).build();
        let ttl = ttl.map_err(|e| built("UpdateTimeToLive", &e))?;
        let call = self.client.update_time_to_live().table_name(&self.table).time_to_live_specification(ttl);
        self.plain("UpdateTimeToLive", self.for_a_page(), || call.clone().send()).await.map(drop)
    }

    /// Leaves the mark, unless it is there.
    pub async fn write_meta(&self) -> Result<(), StoreError> {
        let key = [("service".into(), s(META)), ("ip_port".into(), s(META))].into();
        let update = Update::default().set("fmt", n(item::FMT));
        match self.update(key, update, "attribute_not_exists(#fmt)".into(), self.in_loop()).await? {
            Updated::Done(_) | Updated::Refused(_) => Ok(()),
            Updated::Invalid(error) => Err(error),
        }
    }

    async fn wait_active(&self) -> Result<(), StoreError> {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let call = self.client.describe_table().table_name(&self.table);
            let answer = self.plain("DescribeTable", self.for_a_page(), || call.clone().send()).await?;
            let status = answer.table.and_then(|table| table.table_status);
            if status == Some(TableStatus::Active) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(StoreError::away("DescribeTable", format!("the new table is still {status:?}")));
            }
            sleep(Duration::from_millis(200)).await;
        }
    }
}

fn attribute(name: &str) -> Result<AttributeDefinition, StoreError> {
    let builder = AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
    builder.build().map_err(|e| built("CreateTable", &e))
}

fn key(name: &str, kind: KeyType) -> Result<KeySchemaElement, StoreError> {
    KeySchemaElement::builder().attribute_name(name).key_type(kind).build().map_err(|e| built("CreateTable", &e))
}

fn built(call: &'static str, error: &impl std::fmt::Display) -> StoreError {
    StoreError::away(call, error.to_string())
}
