//! A registry in a process of its own, and its HTTP API as the tests use it.
//!
//! Every v1 body that comes back is judged by [`crate::v1`], whatever the test asked it for.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use anyhow::{Context, ensure};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::{
    http::{self, Answer},
    process::Process,
    programs::Programs,
    stage::Stage,
    table::Table,
    v1, wait,
};

/// A running registry.
#[derive(Debug)]
pub struct Api {
    /// Its process.
    pub process: Process,
    /// Where it listens.
    pub addr: SocketAddr,
    scheme: &'static str,
    client: Client,
}

impl Api {
    /// Starts one with the embedded store in memory, unless `env` says otherwise, and waits until it is ready.
    pub async fn start(stage: &Stage, env: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start_unready(stage, env).await?.ready().await
    }

    /// The same, asked over TLS by `client`.
    pub async fn secure(stage: &Stage, env: &[(&str, &str)], client: Client) -> anyhow::Result<Self> {
        Self { scheme: "https", client, ..Self::start_unready(stage, env).await? }.ready().await
    }

    async fn ready(self) -> anyhow::Result<Self> {
        wait::until("the registry to be ready", wait::SOON, async || self.get("/readyz").await?.expect(200)).await?;
        Ok(self)
    }

    /// Starts one and waits only until it listens.
    pub async fn start_unready(stage: &Stage, env: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start_of(stage, &stage.programs, env).await
    }

    /// The same, of a release that is not the stage's.
    pub async fn start_of(stage: &Stage, programs: &Programs, env: &[(&str, &str)]) -> anyhow::Result<Self> {
        let mut command = programs.api();
        command.current_dir(stage.dir()).env("SDS_LISTEN", "127.0.0.1:0");
        command.env("SDS_STORE", "embedded").env("SDS_DATA", ":memory:").env("SDS_ENV", "test");
        command.envs(env.iter().copied());
        let mut process = stage.spawn("sds-api", command)?;
        let addr = process.address("listening addr=").await?;
        Ok(Self { process, addr, scheme: "http", client: http::client(Duration::from_secs(10)) })
    }

    /// The URL of `path`.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.addr)
    }

    /// One request; a v1 body is judged on its way.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> anyhow::Result<Answer> {
        let answer = http::send(&self.client, method.clone(), &self.url(path), headers, body).await?;
        if method == Method::GET && answer.status == 200 && path.starts_with("/v1/registration/") {
            let by_service = if path.starts_with("/v1/registration/repo/") { v1::of_repo } else { v1::check };
            by_service(&answer.body).with_context(|| format!("an old Envoy refuses {path}: {}", answer.text()))?;
        }
        Ok(answer)
    }

    /// GET.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(Method::GET, path, &[], "").await
    }

    /// A request with a JSON body.
    pub async fn json(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.send(method, path, &[("content-type", "application/json")], body.to_string()).await
    }

    /// What an old Envoy polls, with its headers; anything but a 200 is a failure to it.
    pub async fn v1(&self, service: &str) -> anyhow::Result<Vec<v1::Host>> {
        let headers = [("x-envoy-internal", "true"), ("x-forwarded-for", "127.0.0.1")];
        let answer = self.send(Method::GET, &format!("/v1/registration/{service}"), &headers, "").await?.expect(200)?;
        ensure!(answer.header("content-type") == "application/json", "v1 is {}", answer.header("content-type"));
        v1::check(&answer.body)
    }

    /// The endpoints of [`Self::v1`] as text.
    pub async fn v1_endpoints(&self, service: &str) -> anyhow::Result<Vec<String>> {
        Ok(self.v1(service).await?.iter().map(|host| host.endpoint.to_string()).collect())
    }

    /// `ip:port` to status of all instances of a service, as the native API tells; empty if it is unknown.
    pub async fn instances(&self, service: &str) -> anyhow::Result<BTreeMap<String, Value>> {
        let answer = self.get(&format!("/v1/services/{service}")).await?;
        if answer.status == 404 {
            return Ok(BTreeMap::new());
        }
        let body = answer.expect(200)?.json()?;
        let instances = body["instances"].as_array().context("no list of instances")?;
        Ok(instances.iter().map(|i| (i["endpoint"].as_str().unwrap_or_default().to_owned(), i.clone())).collect())
    }

    /// The status of one instance, "absent" if there is none.
    pub async fn status(&self, service: &str, endpoint: &str) -> anyhow::Result<String> {
        let instances = self.instances(service).await?;
        Ok(instances.get(endpoint).and_then(|i| i["status"].as_str()).unwrap_or("absent").to_owned())
    }

    /// Waits until one instance has this status; "absent" is one.
    pub async fn until_status(&self, service: &str, at: &str, want: &str, within: Duration) -> anyhow::Result<()> {
        wait::until(&format!("{service}/{at} to be {want}"), within, async || {
            let status = self.status(service, at).await?;
            ensure!(status == want, "it is {status}");
            Ok(())
        })
        .await
    }

    /// Native PUT; `more` is laid over a healthy registration.
    pub async fn put(&self, service: &str, at: &str, order: (u64, u64), more: Value) -> anyhow::Result<Answer> {
        self.json(Method::PUT, &native_path(service, at), &registration(order, more)).await
    }

    /// Native drain.
    pub async fn drain(&self, service: &str, at: &str, order: (u64, u64)) -> anyhow::Result<Answer> {
        let path = format!("{}/drain", native_path(service, at));
        self.json(Method::POST, &path, &registration(order, json!({}))).await
    }

    /// Native DELETE.
    pub async fn delete(&self, service: &str, at: &str, order: (u64, u64)) -> anyhow::Result<Answer> {
        let path = format!("{}?incarnation={}&seq={}", native_path(service, at), order.0, order.1);
        self.send(Method::DELETE, &path, &[], "").await
    }

    /// A REST EDS poll of `version` ("v2" or "v3") that holds `held`.
    pub async fn eds(&self, version: &str, names: &[&str], held: &str) -> anyhow::Result<Answer> {
        let body = json!({"node": {"id": "test", "cluster": "test"}, "resource_names": names, "version_info": held});
        self.json(Method::POST, &format!("/{version}/discovery:endpoints"), &body).await
    }

    /// One metric, by its name with its labels.
    pub async fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let text = self.get("/metrics").await?.expect(200)?.text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.with_context(|| format!("no metric {name}"))?.trim().parse()?)
    }

    /// The sum of a metric's series that have these labels, 0 without any.
    pub async fn total(&self, name: &str, labels: &[(&str, &str)]) -> anyhow::Result<f64> {
        let text = self.get("/metrics").await?.expect(200)?.text();
        let series = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{')?.split_once("} "));
        let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let counted = series.filter(|(has, _)| labels.iter().all(|label| has.split(',').any(|one| one == label)));
        counted.map(|(_, value)| Ok(value.trim().parse::<f64>()?)).sum()
    }

    /// The table behind it; for the embedded store only, whose address it logs.
    pub async fn table(&mut self) -> anyhow::Result<Table> {
        Ok(Table::new(&self.store().await?, "sds"))
    }

    /// The endpoint of the embedded store.
    pub async fn store(&mut self) -> anyhow::Result<String> {
        Ok(format!("http://{}", self.process.address("embedded store addr=").await?))
    }
}

/// The path of one instance.
pub fn native_path(service: &str, at: &str) -> String {
    format!("/v1/services/{service}/instances/{at}")
}

/// A healthy registration with `more` laid over it.
pub fn registration((incarnation, seq): (u64, u64), more: Value) -> Value {
    let mut body = json!({"incarnation": incarnation, "seq": seq, "health": "healthy"});
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body
}
