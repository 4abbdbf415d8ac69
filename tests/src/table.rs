//! The registry's table seen from the side of DynamoDB: to put rows in that no API would take, and to see that a
//! refused request changed nothing.

use std::collections::{BTreeMap, HashMap};

use anyhow::Context;
use aws_sdk_dynamodb::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
    types::AttributeValue,
};

/// Attributes by name.
pub type Item = HashMap<String, AttributeValue>;

/// A table of an emulator.
#[derive(Debug, Clone)]
pub struct Table {
    client: Client,
    name: String,
}

impl Table {
    /// The table `name` at `endpoint`.
    pub fn new(endpoint: &str, name: &str) -> Self {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "harness"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(endpoint)
            .build();
        Self { client: Client::from_conf(config), name: name.to_owned() }
    }

    /// Writes a whole row over what is there.
    pub async fn put(&self, item: Item) -> anyhow::Result<()> {
        let call = self.client.put_item().table_name(&self.name).set_item(Some(item));
        call.send().await.context("PutItem").map(drop)
    }

    /// Deletes every row, the registry's own too.
    pub async fn wipe(&self) -> anyhow::Result<()> {
        let mut pages = self.client.scan().table_name(&self.name).into_paginator().send();
        while let Some(page) = pages.next().await {
            for mut item in page.context("Scan")?.items.unwrap_or_default() {
                item.retain(|name, _| name == "service" || name == "ip_port");
                let call = self.client.delete_item().table_name(&self.name).set_key(Some(item));
                call.send().await.context("DeleteItem")?;
            }
        }
        Ok(())
    }

    /// One row.
    pub async fn row(&self, service: &str, ip_port: &str) -> anyhow::Result<Option<Item>> {
        let call = self.client.get_item().table_name(&self.name).consistent_read(true);
        let call = call.key("service", s(service)).key("ip_port", s(ip_port));
        Ok(call.send().await.context("GetItem")?.item)
    }

    /// Every row of instances by `service/ip_port`, without `expire_time`, which is moved in the background.
    pub async fn rows(&self) -> anyhow::Result<BTreeMap<String, Item>> {
        let mut rows = BTreeMap::new();
        let mut pages = self.client.scan().table_name(&self.name).consistent_read(true).into_paginator().send();
        while let Some(page) = pages.next().await {
            for mut item in page.context("Scan")?.items.unwrap_or_default() {
                let text = |name: &str| item.get(name).and_then(|v| v.as_s().ok()).cloned().unwrap_or_default();
                let (service, ip_port) = (text("service"), text("ip_port"));
                if !service.starts_with('#') {
                    item.remove("expire_time");
                    rows.insert(format!("{service}/{ip_port}"), item);
                }
            }
        }
        Ok(rows)
    }
}

/// A string attribute.
pub fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

/// A number attribute.
pub fn n(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// A row in service as the registry itself would write it, to be spoilt by the test.
pub fn good_row(service: &str, ip_port: &str) -> Item {
    let tags = [("az", s("")), ("region", s("")), ("instance_id", s("")), ("canary", AttributeValue::Bool(false))];
    let tags: Item = tags.map(|(name, value)| (name.to_owned(), value)).into();
    [
        ("service", s(service)),
        ("ip_port", s(ip_port)),
        ("incarnation", n(1)),
        ("seq", n(1)),
        ("rev", n(1)),
        ("status", s("HEALTHY")),
        ("revision", s("")),
        ("last_check_in", s("2026-01-01 00:00:00.000000+00:00")),
        ("service_repo_name", s("")),
        ("origin", s("native")),
        ("fmt", n(1)),
        ("expire_time", n(4_000_000_000_u64)),
        ("tags", AttributeValue::M(tags)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
