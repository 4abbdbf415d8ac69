//! Sidecars that prove their task's role, through the whole of their lives and every kind of trouble with STS and ECS.
//!
//! The registry is the real one; STS and ECS are stand-ins that check signatures, and each task has a metadata and a credentials
//! endpoint of its own. Lease tokens last for one lease and a half, so that each sidecar lives through many of them.

use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::time::Instant;

use crate::{
    api::Api,
    app::App,
    aws::{
        credentials::Credentials,
        ecs::{self, Ecs, task::Task},
        metadata::Metadata,
        sts::{self, Sts},
    },
    sidecar::Sidecar,
    stage::Stage,
    wait::{SOON, throughout, until},
};

/// The registry's lease.
const LEASE: Duration = Duration::from_secs(2);
/// How long a token is good.
const TOKEN: Duration = Duration::from_secs(3);
/// First registrations succeed so soon after AWS's return.
const RETURN: Duration = Duration::from_secs(30);

/// Who may register, and how the registry is told.
pub const POLICY: &str = "[[services]]\nnames = ['*']\nmode = 'aws'\n\
    [[tasks]]\nrole = 'arn:aws:iam::123456789012:role/web-task'\ncluster = 'prod'\nregister = ['web']\n";
/// A key of the registry's own.
pub const KEYS: &str = "k1:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";

/// What was seen.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Calls of STS for the first registrations, with AWS well.
    pub calls: usize,
    /// The trouble, and how long after its end a first registration was there.
    pub returned: Vec<(&'static str, Duration)>,
    /// Lifetimes of a token that passed.
    pub lifetimes: f64,
}

struct Aws {
    sts: Sts,
    ecs: Ecs,
}

/// A task that runs.
struct Member {
    app: App,
    sidecar: Sidecar,
    _metadata: Metadata,
    _credentials: Credentials,
}

impl Aws {
    async fn task(&self, stage: &Stage, api: &Api, nth: u32) -> anyhow::Result<Member> {
        let address = Some("127.0.0.1".parse()?);
        let arn = self.ecs.run(Task { address, ..Task::new("prod", nth) });
        let id = arn.rsplit('/').next().unwrap_or_default();
        let credentials = Credentials::start(Some(self.sts.assume("web-task", id))).await?;
        let metadata = Metadata::start(&arn).await?;
        let app = App::start(stage, &format!("app-{nth}")).await?;
        let env = [
            ("SDS_API_AUDIENCE", "sds.test"),
            ("ECS_CONTAINER_METADATA_URI_V4", metadata.uri.as_str()),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", credentials.uri.as_str()),
            ("SDS_LOG", "trace"),
        ];
        let sidecar = Sidecar::start(stage, api.addr, "web", &app, &env).await?;
        Ok(Member { app, sidecar, _metadata: metadata, _credentials: credentials })
    }
}

/// Kinds of trouble with both.
fn troubles() -> [(&'static str, sts::Fault, ecs::Fault); 4] {
    [
        ("away", sts::Fault::Error(503, "ServiceUnavailable"), ecs::Fault::Away),
        ("throttled", sts::Fault::Error(400, "Throttling"), ecs::Fault::Throttled),
        ("slow", sts::Fault::Silence, ecs::Fault::Slow(Duration::from_secs(20))),
        ("garbage", sts::Fault::Garbage, ecs::Fault::Garbage),
    ]
}

/// Plays it with so many tasks, each trouble for so many leases.
pub async fn play(stage: &Stage, tasks: u32, leases: u32) -> anyhow::Result<Outcome> {
    let aws = Aws { sts: Sts::start().await?, ecs: Ecs::start().await? };
    let path = stage.file("policy.toml");
    std::fs::write(&path, POLICY)?;
    let (lease, token) = (format!("{}s", LEASE.as_secs()), format!("{}s", TOKEN.as_secs()));
    let ours = [
        ("SDS_POLICY", path.to_str().context("not UTF-8")?),
        ("SDS_AUDIENCE", "sds.test"),
        ("SDS_TOKEN_KEYS", KEYS),
        ("SDS_TOKEN_TTL", &token),
        ("SDS_LEASE", &lease),
        ("SDS_LOG", "trace"),
        ("AWS_ENDPOINT_URL_STS", &aws.sts.endpoint),
    ];
    let api = Api::start(stage, &[&ours[..], &aws.ecs.env("prod")].concat()).await?;
    let start = Instant::now();
    let mut outcome = Outcome::default();
    let mut members = Vec::new();
    for nth in 0..tasks {
        members.push(aws.task(stage, &api, nth).await?);
    }
    let registered = async |members: &[Member]| {
        for member in members {
            let status = api.status("web", &member.app.endpoint()).await?;
            ensure!(status == "healthy", "{} is {status}", member.app.endpoint());
        }
        let there = api.instances("web").await?.len();
        ensure!(there == members.len(), "{there} are there, {} run", members.len());
        anyhow::Ok(())
    };
    until("all to be registered by their roles", SOON, async || registered(&members).await).await?;
    outcome.calls = aws.sts.count();
    ensure!(outcome.calls == members.len(), "{} calls of STS for {tasks} tasks", outcome.calls);
    throughout("three lifetimes of a token", 3 * TOKEN, async || registered(&members).await).await?;
    ensure!(aws.sts.count() == outcome.calls, "heartbeats called STS");
    ensure!(refused(&api).await? == 0.0, "a call was refused");

    for (nth, (name, of_sts, of_ecs)) in (tasks..).zip(troubles()) {
        aws.sts.fails(Some(of_sts));
        aws.ecs.fails(Some(of_ecs));
        // One leaves and one would come, meanwhile.
        let mut leaves = members.remove(0);
        let at = leaves.app.endpoint();
        let ended = leaves.sidecar.stop_task(&mut leaves.app).await?;
        ensure!(ended.success(), "{name}: a sidecar that left ended with {ended}");
        api.until_status("web", &at, "absent", SOON).await.with_context(|| format!("{name}: it cannot leave"))?;
        let comes = aws.task(stage, &api, nth).await?;
        throughout(name, LEASE * leases, async || registered(&members).await).await?;
        ensure!(refused(&api).await? == 0.0, "{name}: a call was refused");
        aws.sts.fails(None);
        aws.ecs.fails(None);
        let back = Instant::now();
        members.push(comes);
        until("the first registration", RETURN, async || registered(&members).await).await.context(name)?;
        outcome.returned.push((name, back.elapsed()));
    }
    // Nothing of AWS is there at all.
    drop(aws);
    throughout("without AWS", LEASE * leases, async || registered(&members).await).await?;
    outcome.lifetimes = start.elapsed().as_secs_f64() / TOKEN.as_secs_f64();
    for member in &mut members {
        let ended = member.sidecar.stop_task(&mut member.app).await?;
        ensure!(ended.success(), "a sidecar that left ended with {ended}");
    }
    ensure!(api.instances("web").await?.is_empty(), "somebody is left");
    ensure!(refused(&api).await? == 0.0, "a call was refused");
    Ok(outcome)
}

/// Writes that the policy refused, whatever it was; that AWS could not be asked is none.
async fn refused(api: &Api) -> anyhow::Result<f64> {
    let text = api.get("/metrics").await?.expect(200)?.text();
    let counted =
        text.lines().filter(|line| line.starts_with("sds_writes_denied_total{") && !line.contains("\"away\""));
    Ok(counted.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}
