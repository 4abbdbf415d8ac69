//! Bad input over HTTP: one table of requests with their right answers. After each of them nothing is lost: the table
//! and every answer to readers are what they were.
//!
//! A row is sent byte by byte as it stands, so that no client of ours mends it. What is refused says why in words of
//! ours, in its dialect; what is only odd is served.

mod bodies;
mod eds;
mod fields;
mod heads;
mod order;
mod paths;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context, ensure};
use e2e::{
    api::{Api, native_path},
    http::Answer,
    raw,
    table::{Item, Table},
};
use futures_util::future::try_join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::alone;

/// The service that is attacked, an instance of it, and an address where nobody is.
const SERVICE: &str = "web";
const AT: &str = "10.0.0.1:80";
const FREE: &str = "10.0.0.2:80";
/// What reads the past is not of this table: no lease ends while it is played.
const LEASE: (&str, &str) = ("SDS_LEASE", "1h");

/// What the answer is, beside its status.
#[derive(Debug, Clone)]
enum Says {
    /// The native API's error: its id and the field, "" for none.
    Native(&'static str, &'static str),
    /// An error of any dialect.
    Refused,
    /// cookpad/sds's error, which begins like this.
    Text(&'static str),
    /// 405 with these methods allowed.
    Allow(&'static str),
    /// What the request of this body is answered with.
    LikeEds(&'static str, String),
    /// The same headers as GET has, and no body.
    LikeGet(&'static str),
    /// Names of keys that were ignored.
    Ignored(&'static str),
    /// Nothing that matters; hyper answers what is no HTTP itself.
    Nothing,
}

/// One row.
#[derive(Debug, Clone)]
struct Attack {
    name: String,
    bytes: Vec<u8>,
    status: Vec<u16>,
    says: Says,
    within: Duration,
}

impl Attack {
    /// A request with a path as it is.
    fn new(method: &str, path: &str, body: impl AsRef<[u8]>, status: u16, says: Says) -> Self {
        let body = body.as_ref();
        let length = format!("content-length: {}\r\n", body.len());
        Self::with_headers(method, path, &length, body, status, says)
    }

    /// The same with these headers, each ended by CRLF, also for the length.
    fn with_headers(method: &str, path: &str, headers: &str, body: &[u8], status: u16, says: Says) -> Self {
        let head = format!("{method} {path} HTTP/1.1\r\nhost: sds\r\nconnection: close\r\n{headers}\r\n");
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let name = format!("{method} {:.60} {:.60}{shown}", path.escape_debug(), headers.escape_debug());
        Self {
            name,
            bytes: [head.as_bytes(), body].concat(),
            status: vec![status],
            says,
            within: Duration::from_millis(500),
        }
    }

    /// For what takes its time to be sent.
    fn within(self, within: Duration) -> Self {
        Self { within, ..self }
    }

    async fn play(&self, api: &Api) -> anyhow::Result<()> {
        let start = Instant::now();
        let answer = raw::exchange(api.addr, &self.bytes).await?;
        let took = start.elapsed();
        ensure!(
            self.status.contains(&answer.status),
            "expected {:?}, got {}: {}",
            self.status,
            answer.status,
            answer.text()
        );
        ensure!(took < self.within, "took {took:?}");
        self.says.check(api, &answer).await
    }
}

impl Says {
    async fn check(&self, api: &Api, answer: &Answer) -> anyhow::Result<()> {
        let text = answer.text();
        if !matches!(self, Self::Nothing) {
            ensure!(!answer.header("x-request-id").is_empty(), "no request id");
        }
        match self {
            Self::Nothing => {}
            Self::Native(id, field) => {
                let body = error(answer)?;
                ensure!(
                    body["id"] == *id && body["field"].as_str().unwrap_or("") == *field,
                    "not {id} '{field}': {text}"
                );
            }
            Self::Refused if answer.header("content-type").starts_with("text/plain") => ours(&text)?,
            Self::Refused => error(answer).map(drop)?,
            Self::Text(start) => {
                let plain = answer.header("content-type").starts_with("text/plain");
                ensure!(plain && text.starts_with(start) && !text.is_empty(), "not '{start}..': {text}");
                ours(&text)?;
            }
            Self::Allow(methods) => {
                error(answer)?;
                let allowed: BTreeSet<_> = answer.header("allow").split(',').map(str::trim).collect();
                ensure!(allowed == methods.split(',').collect(), "Allow: {}", answer.header("allow"));
            }
            Self::LikeEds(version, body) => {
                let path = format!("/{version}/discovery:endpoints");
                let plain = raw::request(api.addr, "POST", &path, body.as_bytes()).await?;
                ensure!(
                    plain.status == answer.status && plain.body == answer.body,
                    "{text:.200} is not {:.200}",
                    plain.text()
                );
            }
            Self::LikeGet(path) => {
                let get = api.get(path).await?;
                let kept = ["content-type", "etag", "x-sds-state"];
                ensure!(kept.iter().all(|name| get.header(name) == answer.header(name)), "HEAD has other headers");
                ensure!(answer.body.is_empty(), "a body: {text}");
            }
            Self::Ignored(names) => {
                ensure!(answer.header("x-sds-ignored") == *names, "{:?}", answer.header("x-sds-ignored"))
            }
        }
        Ok(())
    }
}

/// A native error: JSON of our own words.
fn error(answer: &Answer) -> anyhow::Result<Value> {
    ensure!(answer.header("content-type") == "application/json", "{}", answer.header("content-type"));
    let body = answer.json()?;
    let id = body["id"].as_str().context("no id")?;
    ensure!(id.starts_with(|c: char| c.is_ascii_uppercase()) && id.chars().all(char::is_alphanumeric), "id '{id}'");
    ours(body["reason"].as_str().context("no reason")?)?;
    Ok(body)
}

/// Words for people, in which no library speaks and no terminal is steered.
fn ours(reason: &str) -> anyhow::Result<()> {
    let library = ["expected", "line 1", "column", "missing field", "invalid type", "trailing", "serde", "Exception"];
    ensure!(!reason.is_empty() && !library.iter().any(|words| reason.contains(words)), "a library speaks: {reason}");
    ensure!(!reason.chars().any(char::is_control), "control characters: {reason:?}");
    Ok(())
}

/// All that must not move: the rows, and what readers are told.
#[derive(Debug, PartialEq)]
struct State {
    rows: BTreeMap<String, Item>,
    answers: BTreeMap<String, String>,
}

impl State {
    async fn of(api: &Api, table: &Table) -> anyhow::Result<Self> {
        let list = api.get("/v1/services").await?.expect(200)?;
        let services = list.json()?["services"].as_array().context("no services")?.clone();
        let mut answers = BTreeMap::from([("services".to_owned(), list.text())]);
        for service in services.iter().filter_map(|service| service["service"].as_str()) {
            // Judged, and without the last sign of life.
            answers.insert(format!("v1 {service}"), format!("{:?}", api.v1(service).await?));
            for version in ["v2", "v3"] {
                let answer = api.eds(version, &[service], "").await?.expect(200)?;
                answers.insert(format!("{version} {service}"), answer.text());
            }
            let mut instances = api.instances(service).await?;
            for instance in instances.values_mut().filter_map(Value::as_object_mut) {
                instance.remove("lease_age_ms");
            }
            answers.insert(format!("native {service}"), json!(instances).to_string());
        }
        Ok(Self { rows: table.rows().await?, answers })
    }
}

#[test]
fn bad_input_is_answered_and_changes_nothing() {
    alone("bad_input_is_answered_and_changes_nothing", async |stage| {
        let mut api = Api::start(stage, &[LEASE]).await?;
        let table = api.table().await?;
        order::prepare(&api).await?;
        let before = State::of(&api, &table).await?;
        ensure!(before.rows.len() > 7 && before.answers.len() > 8, "there is not much to lose: {before:?}");
        let rows = [bodies::rows(), eds::rows(), fields::rows(), heads::rows(), order::rows(), paths::rows()].concat();
        let mut failures = Vec::new();
        for row in &rows {
            if let Err(error) = row.play(&api).await {
                failures.push(format!("{}: {error:#}", row.name));
            }
            if State::of(&api, &table).await? != before {
                failures.push(format!("{}: something has changed; no more was tried", row.name));
                break;
            }
        }
        ensure!(failures.is_empty(), "{} of {} rows:\n{}", failures.len(), rows.len(), failures.join("\n"));
        let log = api.process.log().lines();
        let unclean =
            log.iter().find(|line| line.contains("panicked") || line.chars().any(|c| c.is_control() && c != '\t'));
        ensure!(unclean.is_none(), "the log has: {unclean:?}");
        ensure!(api.process.ended()?.is_none() && rows.len() > 250, "{} rows", rows.len());
        crowd(&api, &table, &before).await
    });
}

/// The same host, registered many times at once in two dialects, is one more item.
async fn crowd(api: &Api, table: &Table, before: &State) -> anyhow::Result<()> {
    let native = try_join_all((0..1000).map(|_| api.put("crowd", AT, (1, 1), json!({})))).await?;
    ensure!(native.iter().all(|answer| answer.status == 200), "{:?}", statuses(&native));
    let host = json!({"ip": "10.0.0.3", "port": 80, "revision": "r", "tags": {}});
    let legacy = (0..50).map(|_| api.json(Method::POST, "/v1/registration/crowd", &host));
    let legacy = try_join_all(legacy).await?;
    ensure!(legacy.iter().all(|answer| answer.status == 202), "{:?}", statuses(&legacy));
    let after = State::of(api, table).await?;
    let new: Vec<_> = after.rows.keys().filter(|key| !before.rows.contains_key(*key)).collect();
    ensure!(new == [&format!("crowd/{AT}"), "crowd/10.0.0.3:80"], "{new:?}");
    ensure!(api.v1("crowd").await?.len() == 2);
    Ok(())
}

fn statuses(answers: &[Answer]) -> BTreeSet<u16> {
    answers.iter().map(|answer| answer.status).collect()
}

/// The native path of one instance of the service.
fn instance(at: &str) -> String {
    native_path(SERVICE, at)
}
