//! A large fleet: a registry that starts on a table of many services and one that is very large. What it answers, how soon
//! it is ready, and how much memory it needs for that.
//!
//! The rows are written straight into the file of the store, which is a process of its own: what is measured is a replica
//! as it stands before DynamoDB.

use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use dynoxide::{AttributeValue, Database, Item};
use serde_json::{Value, json};
use tokio::{task::spawn_blocking, time::Instant};

use crate::{
    api::Api,
    clock,
    dynamo::Dynamo,
    replicas::{Replica, TABLE},
    stage::Stage,
    wait::until,
};

const BIG: &str = "big";
const REGION: &str = "eu-central-1";
const ZONES: [&str; 3] = ["eu-central-1a", "eu-central-1b", "eu-central-1c"];

/// What is played.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many small services.
    pub services: u32,
    /// Instances of each.
    pub each: u32,
    /// Instances of the large one.
    pub big: u32,
    /// Ready within.
    pub ready: Duration,
    /// Resident bytes at most, if that is measured.
    pub memory: Option<u64>,
}

/// What was seen.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// From the start of the process.
    pub ready: Duration,
    /// Resident bytes once all was answered, and at most so far.
    pub resident: [u64; 2],
    /// An EDS answer of the large service.
    pub eds: Duration,
}

/// Plays it; an error names what was not kept.
pub async fn play(stage: &Stage, plan: Plan) -> anyhow::Result<Outcome> {
    let data = Dynamo::file(stage);
    spawn_blocking(move || write(&data, plan)).await?.context("writing the fleet")?;
    let store = Dynamo::on_file(stage).await?;
    let start = Instant::now();
    // Nobody of them speaks: the lease must outlast the play.
    let Replica { api, .. } = &Replica::start(stage, store.addr, &[("SDS_LEASE", "10m")]).await?;
    until("it to be ready", plan.ready, async || api.get("/readyz").await?.expect(200)).await?;
    let ready = start.elapsed();

    for (name, wanted) in [("sds_services", plan.services + 1), ("sds_instances", plan.services * plan.each + plan.big)]
    {
        let counted = api.metric(name).await?;
        ensure!(counted == f64::from(wanted), "{name} {counted}, not {wanted}");
    }
    ensure!(api.metric("sds_bad_rows").await? == 0.0, "bad rows");
    for service in [0, plan.services / 2, plan.services - 1] {
        answers(api, &name(service), plan.each).await?;
    }
    let eds = answers(api, BIG, plan.big).await?;
    let resident = api.process.resident()?;
    if let Some(most) = plan.memory {
        ensure!(
            resident[0] <= most,
            "{} MiB are resident, at most {} MiB so far",
            resident[0] >> 20,
            resident[1] >> 20
        );
    }
    Ok(Outcome { ready, resident, eds })
}

/// Both answers have all of a service; how long EDS took.
async fn answers(api: &Api, service: &str, wanted: u32) -> anyhow::Result<Duration> {
    let listed = api.v1(service).await?;
    ensure!(listed.len() == wanted as usize, "v1 has {} of {wanted} of {service}", listed.len());
    let start = Instant::now();
    let answer = api.eds("v3", &[service], "").await?.expect(200)?;
    let took = start.elapsed();
    let answer = answer.json()?;
    let localities = answer["resources"][0]["endpoints"].as_array().context("no endpoints")?;
    let mut zones: Vec<_> = localities.iter().map(|locality| locality["locality"]["zone"].clone()).collect();
    zones.sort_by_key(Value::to_string);
    ensure!(zones == ZONES.map(|zone| json!(zone)), "zones {zones:?}");
    let hosts: usize = localities.iter().filter_map(|locality| locality["lb_endpoints"].as_array()).map(Vec::len).sum();
    ensure!(hosts == wanted as usize, "EDS has {hosts} of {wanted} of {service}");
    Ok(took)
}

fn name(service: u32) -> String {
    format!("team-{}-service-{service}", service % 50)
}

/// As many rows as an import takes at once.
const BATCH: usize = 5000;

fn write(file: &str, plan: Plan) -> anyhow::Result<()> {
    let database = Database::new(file)?;
    let attribute = |name| json!({"AttributeName": name, "AttributeType": "S"});
    let table = json!({
        "TableName": TABLE,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [attribute("service"), attribute("ip_port")],
        "KeySchema": [
            {"AttributeName": "service", "KeyType": "HASH"},
            {"AttributeName": "ip_port", "KeyType": "RANGE"},
        ],
    });
    database.create_table(serde_json::from_value(table)?).map_err(|error| anyhow!("CreateTable: {error}"))?;
    let small = (0..plan.services).flat_map(|service| std::iter::repeat_n(name(service), plan.each as usize));
    let all = small.chain(std::iter::repeat_n(BIG.to_owned(), plan.big as usize));
    let expires = clock::epoch_seconds() + 24 * 3600;
    let rows: Vec<Item> = (0..).zip(all).map(|(nth, service)| row(&service, nth, expires)).collect();
    for batch in rows.chunks(BATCH) {
        let imported = database.import_items(TABLE, batch.to_vec(), dynoxide::ImportOptions::default());
        imported.map_err(|error| anyhow!("importing: {error}"))?;
    }
    Ok(())
}

/// As a sidecar on Fargate would register.
fn row(service: &str, nth: u32, expires: u64) -> Item {
    let s = |text: String| AttributeValue::S(text);
    let n = |number: u64| AttributeValue::N(number.to_string());
    let ip = std::net::Ipv4Addr::from_bits(0x0a00_0001 + nth);
    let task = format!("{nth:032x}");
    let tags = [
        ("az", s(ZONES[nth as usize % ZONES.len()].to_owned())),
        ("region", s(REGION.to_owned())),
        ("instance_id", s(String::new())),
        ("canary", AttributeValue::BOOL(false)),
    ];
    let tags = tags.map(|(name, value)| (name.to_owned(), value)).into();
    let row = [
        ("service", s(service.to_owned())),
        ("ip_port", s(format!("{ip}:8080"))),
        ("incarnation", n(1_790_000_000_000 + u64::from(nth))),
        ("seq", n(1)),
        ("rev", n(1_790_000_000_000 + u64::from(nth))),
        ("status", s("HEALTHY".to_owned())),
        ("revision", s(format!("{:040x}", nth % 7))),
        ("last_check_in", s("2026-01-01 00:00:00.000000+00:00".to_owned())),
        ("task", s(format!("arn:aws:ecs:{REGION}:123456789012:task/production/{task}"))),
        ("origin", s("native".to_owned())),
        ("fmt", n(1)),
        ("expire_time", n(expires)),
        ("tags", AttributeValue::M(tags)),
    ];
    row.map(|(name, value)| (name.to_owned(), value)).into()
}
