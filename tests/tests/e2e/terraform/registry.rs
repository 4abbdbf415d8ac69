//! The registry's own rendered container, started as the real program on an emulator of DynamoDB: it takes every variable, is
//! ready, and knows by PROXY protocol v2 who registers. Laid over what is rendered is what this machine lacks: the ports may
//! be any, the load balancer is at 127.0.0.1, the table where the harness makes it, and ECS fills in the secrets.

use std::{collections::BTreeMap, net::SocketAddr};

use anyhow::{Context, ensure};
use e2e::{
    api::{native_path, registration},
    ecs::definition::Definition,
    emulator::Emulator,
    http::Answer,
    pki::Authority,
    process::Process,
    raw,
    stage::Stage,
    table::{Table, good_row},
    tls::Connection,
    wait::{SOON, until},
};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use super::{path, policies};
use crate::play;

const FARGATE: &str = "terraform/examples/registry/rendered/sds.json";
const COOKPAD: &str = "terraform/examples/from-cookpad-sds/rendered/sds.json";
const WHOLE: &str = "terraform/modules/registry/rendered/whole/sds.json";

const MAIN: &str = r#""message":"listening","addr":"#;
const WRITES: &str = r#""message":"listening for registrations","addr":"#;
const OPERATORS: &str = r#""message":"listening for operators","addr":"#;
const STREAMS: &str = r#""message":"listening for discovery streams","addr":"#;
/// The health check of a load balancer that speaks PROXY protocol v2: of itself.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// The attributes of a row of cookpad/sds.
const COOKPADS: [&str; 7] =
    ["service", "ip_port", "revision", "service_repo_name", "last_check_in", "expire_time", "tags"];

/// Starts what is rendered there, on this emulator.
fn start(stage: &Stage, rendered: &str, store: &Emulator, secrets: &[(&str, &str)]) -> anyhow::Result<Process> {
    let definition = Definition::read(&path(rendered))?;
    let container = definition.container_definitions.into_iter().next().context("no container")?;
    let mut env: BTreeMap<_, _> = container.environment;
    for (name, value) in &mut env {
        match name.as_str() {
            "SDS_TRUSTED_PROXIES" => *value = "127.0.0.1/32".to_owned(),
            "AWS_REGION" => *value = "us-east-1".to_owned(),
            name if name.ends_with("LISTEN") => *value = "0.0.0.0:0".to_owned(),
            _ => {}
        }
    }
    let mut command = stage.programs.api();
    command.current_dir(stage.dir()).envs(env).envs(secrets.iter().copied());
    command.env("AWS_ENDPOINT_URL_DYNAMODB", &store.endpoint).env("AWS_ENDPOINT_URL_ECS", "http://127.0.0.1:9");
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    stage.spawn("sds-api", command)
}

async fn address(process: &mut Process, of: &str) -> anyhow::Result<SocketAddr> {
    Ok(SocketAddr::new([127, 0, 0, 1].into(), process.address(of).await?.port()))
}

/// What a load balancer says of a client, before the client's own bytes.
fn on_behalf_of(client: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend([client, [10, 0, 0, 10]].concat());
    header.extend([0x9c, 0x40, 0x1f, 0x90]);
    header
}

async fn ask(
    at: SocketAddr,
    proxy: &[u8],
    method: &str,
    path: &str,
    token: &str,
    body: &str,
) -> anyhow::Result<Answer> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: sds\r\nauthorization: Bearer {token}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    raw::exchange(at, &[proxy, head.as_bytes()].concat()).await
}

async fn ready(at: SocketAddr) -> anyhow::Result<()> {
    until("a health check to pass", SOON, async || {
        ask(at, LOCAL, "GET", "/readyz", "", "").await?.expect(200).map(drop)
    })
    .await
}

fn knows_all_variables(process: &Process) -> anyhow::Result<()> {
    let unknown = process.log().find("no option of this program");
    ensure!(unknown.is_none(), "a variable is not the registry's: {unknown:?}");
    Ok(())
}

#[test]
fn the_rendered_registry_takes_what_it_is_told() {
    play("the_rendered_registry_takes_what_it_is_told", async |stage| {
        let store = Emulator::start(stage).await?;
        Table::new(&store.endpoint, "sds").create().await?;
        let mut process = start(stage, FARGATE, &store, &[("SDS_PEERS_TOKEN", "sds_token_replicas")])?;
        let (main, writes) = (address(&mut process, MAIN).await?, address(&mut process, WRITES).await?);
        for at in [main, writes] {
            ready(at).await?;
            ask(at, b"", "GET", "/readyz", "", "").await?.expect(200).context("a health check without a header")?;
        }
        knows_all_variables(&process)?;

        let (task, other) = (on_behalf_of([10, 0, 1, 5]), on_behalf_of([10, 0, 1, 6]));
        let (web, body) = (native_path("web", "10.0.1.5:8080"), registration((1, 1), json!({})).to_string());
        let put = async |proxy, token| ask(writes, proxy, "PUT", &web, token, &body).await;
        put(&task, "sds_token_web").await?.expect(200).context("a registration")?;
        put(&task, "sds_token_nobody").await?.expect(401).context("an unknown token")?;
        put(&other, "sds_token_web").await?.expect(403).context("another task's address")?;
        put(b"", "sds_token_web").await?.expect(403).context("the load balancer's own")?;
        ask(main, &task, "PUT", &web, "sds_token_web", &body).await?.expect(421).context("at the main listener")?;

        let hosts = ask(main, &other, "GET", "/v1/registration/web", "", "").await?.expect(200)?.json()?;
        ensure!(hosts["hosts"][0]["ip_address"] == "10.0.1.5", "{hosts}");
        let over = json!({"status": "unhealthy", "reason": "a test", "for": "1m"}).to_string();
        let override_at = format!("{web}/override");
        ask(main, &other, "PUT", &override_at, "sds_token_web", &over).await?.expect(403)?;
        ask(main, &other, "PUT", &override_at, "sds_token_on_call", &over).await?.expect(200).context("an override")?;
        ask(writes, &other, "GET", "/v1/snapshot", "sds_token_web", "").await?.expect(403)?;
        // A sibling comes past the load balancer, from one of its networks.
        ask(writes, b"", "GET", "/v1/snapshot", "sds_token_replicas", "")
            .await?
            .expect(200)
            .context("a snapshot")
            .map(drop)
    });
}

#[test]
fn a_registry_takes_every_input_at_once() {
    play("a_registry_takes_every_input_at_once", async |stage| {
        let store = Emulator::start(stage).await?;
        Table::new(&store.endpoint, "sds").create().await?;
        let authority = Authority::new()?;
        let (ca, pair) = (authority.pem(), authority.local()?);
        let secrets = [
            ("SDS_TOKEN_KEYS", "k1:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"),
            ("SDS_PEERS_TOKEN", "sds_token_replicas"),
            ("SDS_TLS_CERT", &pair.cert),
            ("SDS_TLS_KEY", &pair.key),
            ("SDS_PEERS_CA", &ca),
        ];
        let mut process = start(stage, WHOLE, &store, &secrets)?;
        for listener in [MAIN, WRITES, OPERATORS, STREAMS] {
            let at = address(&mut process, listener).await?;
            until("a health check over TLS to pass", SOON, async || {
                let mut stream = TcpStream::connect(at).await?;
                stream.write_all(LOCAL).await?;
                let mut connection = Connection::over(stream, &ca, None, "http/1.1").await?;
                connection.ask("GET", "/readyz", "").await?.expect(200).map(drop)
            })
            .await?;
        }
        knows_all_variables(&process)
    });
}

#[test]
fn the_migrations_registry_serves_cookpads_table() {
    play("the_migrations_registry_serves_cookpads_table", async |stage| {
        let store = Emulator::start(stage).await?;
        let table = Table::new(&store.endpoint, "sds-hosts");
        table.create().await?;
        let mut row = good_row("web", "10.0.1.9:80");
        row.retain(|name, _| COOKPADS.contains(&name.as_str()));
        table.put(row).await?;
        let mut process = start(stage, COOKPAD, &store, &[])?;
        let main = address(&mut process, MAIN).await?;
        ready(main).await?;
        let task = on_behalf_of([10, 0, 1, 5]);
        let body = json!({"ip": "10.0.1.5", "port": 80, "revision": "r", "tags": {}}).to_string();
        ask(main, &task, "POST", "/v1/registration/web", "", &body).await?.expect(202)?;
        let hosts = ask(main, &task, "GET", "/v1/registration/web", "", "").await?.expect(200)?.json()?;
        let ips: Vec<_> =
            hosts["hosts"].as_array().into_iter().flatten().map(|host| host["ip_address"].clone()).collect();
        ensure!(ips == ["10.0.1.5", "10.0.1.9"], "{hosts}");
        Ok(())
    });
}

/// The alarms on the log count lines by their message: a line of the real log has it where the filter looks.
#[test]
fn an_alarm_on_the_log_counts_a_real_line() {
    play("an_alarm_on_the_log_counts_a_real_line", async |stage| {
        let policies = policies()?;
        let filter = "module.registry.aws_cloudwatch_log_metric_filter.this[\"full-read-failed\"]";
        let pattern = policies[filter].as_str().context("no such filter")?;
        let starts = pattern.strip_prefix("{ $.fields.message = \"").and_then(|rest| rest.strip_suffix("*\" }"));
        let starts = starts.with_context(|| format!("another pattern than this test reads: {pattern}"))?;
        let store = Emulator::start(stage).await?;
        // There is no table.
        let mut process = start(stage, FARGATE, &store, &[("SDS_PEERS_TOKEN", "sds_token_replicas")])?;
        let line: Value = serde_json::from_str(&process.says(starts).await?)?;
        let message = line["fields"]["message"].as_str().context("no message")?;
        ensure!(message.starts_with(starts), "{line}");
        Ok(())
    });
}
