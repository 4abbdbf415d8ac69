//! The registry's table seen from the side of DynamoDB: to put rows in that no API would take, and to see that a
//! refused request changed nothing.

use std::collections::{BTreeMap, HashMap};

use anyhow::Context;
use aws_sdk_dynamodb::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
    types::{
        AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, KeysAndAttributes,
        ScalarAttributeType,
    },
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

    /// Creates it, as the registry would.
    pub async fn create(&self) -> anyhow::Result<()> {
        let call = self.client.create_table().table_name(&self.name).billing_mode(BillingMode::PayPerRequest);
        let attribute =
            |name| AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S).build();
        let key = |name, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
        let call = call.attribute_definitions(attribute("service")?).attribute_definitions(attribute("ip_port")?);
        let call = call.key_schema(key("service", KeyType::Hash)?).key_schema(key("ip_port", KeyType::Range)?);
        call.send().await.context("CreateTable").map(drop)
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

    /// Many rows at once, strongly consistent; at most 100, and all of them small.
    pub async fn batch_get(&self, keys: &[(String, String)]) -> anyhow::Result<Vec<Item>> {
        let keys = keys.iter().map(|(service, ip_port)| {
            Item::from([("service".to_owned(), s(service)), ("ip_port".to_owned(), s(ip_port))])
        });
        let wanted = KeysAndAttributes::builder().set_keys(Some(keys.collect())).consistent_read(true).build()?;
        let answer = self.client.batch_get_item().request_items(&self.name, wanted).send().await;
        let mut answer = answer.context("BatchGetItem")?;
        Ok(answer.responses.as_mut().and_then(|all| all.remove(&self.name)).unwrap_or_default())
    }

    /// The rows of one service, or of one of the registry's own partitions; at most 1 MB of them.
    pub async fn query(&self, service: &str) -> anyhow::Result<Vec<Item>> {
        let call = self.client.query().table_name(&self.name).consistent_read(true);
        let call = call.key_condition_expression("service = :s").expression_attribute_values(":s", s(service));
        Ok(call.send().await.context("Query")?.items.unwrap_or_default())
    }

    /// Moves `seq` of a row up to `seq`, as long as no other incarnation than 1 stands there.
    pub async fn update(&self, service: &str, ip_port: &str, seq: usize) -> anyhow::Result<()> {
        let call = self.client.update_item().table_name(&self.name);
        let call = call.key("service", s(service)).key("ip_port", s(ip_port));
        let call = call.update_expression("SET incarnation = :one, seq = :seq, rev = if_not_exists(rev, :zero) + :one");
        let call = call.condition_expression("attribute_not_exists(incarnation) OR incarnation = :one");
        let call = call.expression_attribute_values(":one", n(1)).expression_attribute_values(":zero", n(0));
        call.expression_attribute_values(":seq", n(seq)).send().await.context("UpdateItem").map(drop)
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
