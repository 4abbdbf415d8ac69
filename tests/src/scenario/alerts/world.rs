//! What runs beside the mesh, so that there is somebody for each fault: registrants, sidecars and Envoys of their own.

use std::{net::SocketAddr, time::Duration};

use anyhow::ensure;
use envoy_types::pb::envoy::service::discovery::v3::DiscoveryRequest;
use serde_json::json;
use tokio::{task::JoinSet, time::sleep};

use super::odd::Odd;
use crate::{
    app::App,
    envoy::{Envoy, Guards, HealthChecks, Mode, Setup, Shipped},
    fleet::{Fleet, Spec},
    foreign::{Foreign, Script},
    gate::{Flow, Gate},
    http,
    mesh::{Mesh, Trickle, text},
    replicas::{self, TABLE},
    sidecar::Sidecar,
    stage::Stage,
    table::{Table, good_row, s},
    wait::{SOON, until},
    xds::{self, Sotw},
};

/// Silent together they are more than a third of all.
const CROWD: u32 = 12;
/// Requests that are under way through the Envoy with breakers of one.
const AT_ONCE: usize = 24;

/// All of it.
pub struct World {
    pub mesh: Mesh,
    pub odd: Odd,
    /// Its stream goes through a gate.
    pub lost: Envoy,
    lost_gate: Gate,
    /// Its circuit breakers let one request through.
    narrow: Envoy,
    /// Of `sick`, with retries.
    sick: Envoy,
    /// Of `failing` and `empty`.
    failing: Envoy,
    /// Polls somebody who is no registry.
    polling: Envoy,
    told: Foreign,
    sick_host: Foreign,
    _failing_host: Foreign,
    fleet: Fleet,
    _well: Foreign,
    /// An app whose sidecar has a gate before the registry.
    cut: (App, Sidecar),
    cut_gate: Gate,
    flapping: (App, Sidecar),
    rival: (App, Sidecar),
    second_rival: Option<Sidecar>,
    nack: Option<Sotw>,
    _trickle: Trickle,
    failing_trickle: Option<Trickle>,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl World {
    /// Starts it beside a mesh; all is well.
    pub async fn start(stage: &Stage, mesh: Mesh) -> anyhow::Result<Self> {
        let registries = replicas::addrs(&mesh.registries);
        let hello = || Foreign::start(Script::answer("200 OK", "", "hello"));
        let (sick_host, well) = (hello().await?, hello().await?);
        // Never anything else: a class that no answer had is no series.
        let failing_host = Foreign::start(Script::answer("500 Oops", "", "")).await?;
        let told = Foreign::start(assignment(1)).await?;
        let hosts = [("sick", &sick_host), ("sick", &well), ("failing", &failing_host), ("empty", &well)];
        let specs = hosts.map(|(service, host)| Spec::at(service, host.addr));
        let specs = specs.into_iter().chain((0..CROWD).map(|nth| Spec::new("crowd", nth)));
        let fleet = Fleet::start(specs, &registries, Duration::from_secs(1));
        fleet.registered(SOON).await?;
        let setup = |replicas: &[SocketAddr], services: &[&str], retries| Setup {
            replicas: replicas.to_vec(),
            services: services.iter().map(|name| (*name).to_owned()).collect(),
            mode: Mode::Ads,
            checks: HealthChecks::Off,
            guards: Guards { outliers: false, retries },
        };
        let lost_gate = Gate::opened(registries[0]).await?;
        let lost = Envoy::set_up(stage, &setup(&[lost_gate.addr], &["failing"], false)).await?;
        let sick = Envoy::set_up(stage, &setup(&registries, &["sick"], true)).await?;
        let failing = Envoy::set_up(stage, &setup(&registries, &["failing", "empty"], false)).await?;
        let polling = Envoy::start(stage, told.addr, "odd", Duration::from_millis(500)).await?;
        let narrow = Envoy::of(stage, &narrow(&registries)?.statsd(mesh.statsd.addr)?).await?;
        let cut_gate = Gate::opened(registries[0]).await?;
        let quick = [("SDS_INTERVAL", "200ms"), ("SDS_TIMEOUT", "100ms")];
        let cut = task(stage, &mesh, "cut", &[("SDS_API_URL", &format!("http://{}", cut_gate.addr))]).await?;
        let flapping = task(stage, &mesh, "flaps", &quick).await?;
        let rival = task(stage, &mesh, "rival", &[]).await?;
        let trickle = Trickle::start(&[(format!("http://{}/", sick.listener), "sick")], 10);
        trickle.flows(10).await?;
        let odd = Odd::start(stage).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(odd.heartbeats()?);
        Ok(Self {
            mesh,
            odd,
            lost,
            lost_gate,
            narrow,
            sick,
            failing,
            polling,
            told,
            sick_host,
            _failing_host: failing_host,
            failing_trickle: None,
            fleet,
            _well: well,
            cut,
            cut_gate,
            flapping,
            rival,
            second_rival: None,
            nack: None,
            _trickle: trickle,
            tasks,
        })
    }

    /// The shipped configuration in a hurry, and all that is not of the mesh.
    pub fn config(&self) -> anyhow::Result<String> {
        let mut config = self.mesh.config()?;
        for (from, to) in [
            ("scrape_interval: 5s, scrape_timeout: 4s, evaluation_interval: 5s", PACE),
            ("refresh_interval: 5s", "refresh_interval: 1s"),
        ] {
            ensure!(config.contains(from), "docker/prometheus/prometheus.yaml has no '{from}'");
            config = config.replace(from, to);
        }
        let job = |name: &str, more: &str, targets: Vec<String>| {
            let targets: Vec<_> = targets.iter().map(|target| format!("'{target}'")).collect();
            let targets = targets.join(", ");
            format!("- {{job_name: {name}, {more}static_configs: [{{targets: [{targets}]}}]}}\n")
        };
        let tls = "scheme: https, tls_config: {ca_file: ../authority.pem, server_name: localhost}, ";
        config += &job("sds-api-odd", tls, vec![self.odd.api.addr.to_string()]);
        let envoys = self.envoys().map(|envoy| envoy.admin.to_string());
        config += &job("odd-envoys", "metrics_path: /stats/prometheus, ", envoys.to_vec());
        let sidecars = [&self.cut, &self.flapping, &self.rival].map(|(_, sidecar)| sidecar.admin.to_string());
        config += &job("odd-sidecars", "", sidecars.to_vec());
        Ok(config)
    }

    /// How many are scraped.
    pub fn targets(&self) -> usize {
        let of_mesh = self.mesh.registries.len() + self.mesh.envoys().count() + self.mesh.tasks.len();
        of_mesh + 1 + self.envoys().len() + 3
    }

    fn envoys(&self) -> [&Envoy; 5] {
        [&self.lost, &self.narrow, &self.sick, &self.failing, &self.polling]
    }

    /// All that happens at the same time without one disturbing the other.
    pub async fn odd_things_happen(&mut self, stage: &Stage) -> anyhow::Result<()> {
        self.told.turn(assignment(0));
        self.sick_host.turn(Script::Reset(String::new()));
        let failing = [(format!("http://{}/", self.failing.listener), "failing")];
        self.failing_trickle = Some(Trickle::start(&failing, 10));
        // An Envoy takes a stream that is swallowed for one that stands, until its keep-alive says otherwise.
        self.lost_gate.flow(Flow::Refused);
        self.cut_gate.close();
        self.fleet.of("empty").for_each(|one| one.change(json!({"health": "unhealthy"})));
        self.fleet.of("crowd").for_each(crate::fleet::Registrant::silence);
        let table = Table::new(&format!("http://{}", self.mesh.store.addr), TABLE);
        let mut row = good_row("bad", "127.0.0.1:99");
        row.insert("status".to_owned(), s("SPLENDID"));
        table.put(row).await?;
        self.second_rival =
            Some(Sidecar::start(stage, self.mesh.registries[0].api.addr, "rival", &self.rival.0, &[]).await?);
        self.nack = Some(nack(&self.mesh).await?);
        self.flap();
        self.press();
        self.odd.policy_is_spoilt()?;
        self.odd.certificate_nears_its_end()?;
        self.tasks.spawn(self.odd.is_tried()?);
        self.tasks.spawn(self.odd.is_pressed()?);
        self.odd.a_task_is_not_registered().await?;
        self.odd.is_crowded().await
    }

    /// Its app turns sick as soon as it is believed, and well as soon as it is not.
    fn flap(&mut self) {
        let (addr, registry) = (self.flapping.0.addr, self.mesh.registries[0].api.url("/v1/services/flaps"));
        self.tasks.spawn(async move {
            let client = http::client(SOON);
            loop {
                let seen = http::get_json(&client, &registry).await?;
                let mode = if seen["instances"][0]["status"] == "healthy" { "sick" } else { "ok" };
                client.put(format!("http://{addr}/mode/{mode}")).send().await?;
                sleep(Duration::from_millis(100)).await;
            }
        });
    }

    /// More requests at once than its breakers let through.
    fn press(&mut self) {
        for _ in 0..AT_ONCE {
            let url = format!("http://{}/slow?ms=50", self.narrow.listener);
            self.tasks.spawn(async move {
                let client = http::client(SOON);
                loop {
                    // Most are refused, which is the point.
                    drop(client.get(&url).send().await);
                    sleep(Duration::from_millis(20)).await;
                }
            });
        }
    }
}

const PACE: &str = "scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 500ms";

/// The front Envoy with circuit breakers that let one request through, under a name of its own.
fn narrow(registries: &[SocketAddr]) -> anyhow::Result<Shipped> {
    let mut changed = text("envoy/front.yaml")?;
    for (from, to) in [
        (
            "max_connections: 1024, max_pending_requests: 1024, max_requests: 1024",
            "max_connections: 1, max_pending_requests: 1, max_requests: 1",
        ),
        ("fixed_value: front}", "fixed_value: narrow}"),
        ("fixed_value: front-1", "fixed_value: narrow-1"),
    ] {
        ensure!(changed.contains(from), "docker/envoy/front.yaml has no '{from}'");
        changed = changed.replace(from, to);
    }
    Shipped::new(&changed, "web", registries)
}

/// What an Envoy that polls for `odd` is told: a host of this weight; it takes none of 0.
fn assignment(weight: u32) -> Script {
    let host = json!({"load_balancing_weight": weight, "endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 9}}}});
    let resource = json!({
        "@type": xds::EDS,
        "cluster_name": "odd",
        "endpoints": [{"lb_endpoints": [host]}],
    });
    let answer = json!({"version_info": weight.to_string(), "type_url": xds::EDS, "resources": [resource]});
    Script::answer("200 OK", "content-type: application/json\r\n", &answer.to_string())
}

/// An app and its sidecar, registered.
async fn task(stage: &Stage, mesh: &Mesh, service: &str, env: &[(&str, &str)]) -> anyhow::Result<(App, Sidecar)> {
    let (app, api) = (App::start(stage, service).await?, &mesh.registries[0].api);
    let sidecar = Sidecar::start(stage, api.addr, service, &app, env).await?;
    api.until_status(service, &app.endpoint(), "healthy", SOON).await?;
    Ok((app, sidecar))
}

/// A client that refuses what it is told, and stays.
async fn nack(mesh: &Mesh) -> anyhow::Result<Sotw> {
    let channel = xds::connect(mesh.registries[0].api.addr).await?;
    let mut stream = Sotw::endpoints(&channel).await?;
    stream.say(xds::sotw(&["web"], "")).await?;
    let response = stream.next(SOON).await?;
    let refused = xds::sotw(&["web"], &response.nonce);
    stream.say(DiscoveryRequest { error_detail: xds::refusal("it is not to my liking"), ..refused }).await?;
    until("the refusal to be counted", SOON, async || {
        let counted = mesh.registries[0].api.metric("sds_xds_nacks_total").await?;
        ensure!(counted == 1.0, "{counted}");
        Ok(())
    })
    .await?;
    Ok(stream)
}
