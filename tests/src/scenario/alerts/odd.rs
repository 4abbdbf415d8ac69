//! A registry apart from the mesh, with all that the mesh does without: TLS, a policy, ECS, few connections.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::sleep};

use crate::{
    api::{Api, native_path, registration},
    aws::ecs::{Ecs, task::Task},
    clock, http,
    pki::Authority,
    stage::Stage,
    wait::{SOON, until},
};

/// Services that anybody may register; who registers others needs a token.
const POLICY: &str =
    "[[services]]\nnames = ['known']\nmode = 'off'\n[[services]]\nnames = ['closed']\nmode = 'token'\n";
const CLUSTER: &str = "prod";
/// Of those who write; twenty-five times as often is more than is let through.
const PAUSE: Duration = Duration::from_millis(500);
/// So many connections.
const CAP: usize = 20;

/// It.
pub struct Odd {
    /// Asked over TLS.
    pub api: Api,
    /// What it asks about tasks.
    pub ecs: Ecs,
    /// The task of the instance that is well, so that there is something to ask ECS about.
    known: String,
    authority: Authority,
    cert: PathBuf,
    key: PathBuf,
    policy: PathBuf,
    /// Who holds its connections.
    crowd: Vec<TcpStream>,
}

impl Odd {
    /// Starts it; all is well with it.
    pub async fn start(stage: &Stage) -> anyhow::Result<Self> {
        let authority = Authority::new()?;
        let [cert, key, policy] = ["cert.pem", "key.pem", "policy.toml"].map(|name| stage.file(name));
        authority.local()?.write(&cert, &key)?;
        fs::write(stage.file("authority.pem"), authority.pem())?;
        fs::write(&policy, POLICY)?;
        let ecs = Ecs::start().await?;
        let [c, k, p] = [&cert, &key, &policy].map(|path| path.to_string_lossy().into_owned());
        let cap = CAP.to_string();
        let mut env = ecs.env(CLUSTER);
        env.extend([("SDS_TLS_CERT", c.as_str()), ("SDS_TLS_KEY", &k), ("SDS_POLICY", &p), ("SDS_CONNECTIONS", &cap)]);
        env.extend([("SDS_ECS_INTERVAL", "1s"), ("SDS_RATE_WRITES", "10"), ("SDS_FULL_READ", "2s")]);
        let api = Api::secure(stage, &env, http::secure_client(SOON, &authority.pem(), None)?).await?;
        // The first flush may come before the table is there.
        until("it to vouch", SOON, async || {
            let vouching = api.metric("sds_vouching").await?;
            ensure!(vouching == 1.0, "{vouching}");
            Ok(())
        })
        .await?;
        let known = ecs.run(Task::new(CLUSTER, 0));
        Ok(Self { api, ecs, known, authority, cert, key, policy, crowd: Vec::new() })
    }

    /// Heartbeats of the instance that is well, for ever.
    pub fn heartbeats(&self) -> anyhow::Result<impl Future<Output = anyhow::Result<()>> + use<>> {
        self.again_and_again("known", 81, json!({"task_arn": self.known}), "", PAUSE)
    }

    /// Somebody has a wrong token, and comes back again and again.
    pub fn is_tried(&self) -> anyhow::Result<impl Future<Output = anyhow::Result<()>> + use<>> {
        self.again_and_again("closed", 82, json!({}), "Bearer sds_token_of_yesterday", PAUSE)
    }

    /// Somebody writes without a pause.
    pub fn is_pressed(&self) -> anyhow::Result<impl Future<Output = anyhow::Result<()>> + use<>> {
        self.again_and_again("known", 83, json!({}), "", PAUSE / 25)
    }

    fn again_and_again(
        &self,
        service: &str,
        port: u16,
        more: Value,
        shown: &'static str,
        pause: Duration,
    ) -> anyhow::Result<impl Future<Output = anyhow::Result<()>> + use<>> {
        let client = http::secure_client(SOON, &self.authority.pem(), None)?;
        let url = self.api.url(&native_path(service, &format!("127.0.0.1:{port}")));
        Ok(async move {
            for seq in 1.. {
                let body = registration((1, seq), more.clone()).to_string();
                let headers = [("authorization", shown)];
                let headers = if shown.is_empty() { &[][..] } else { &headers[..] };
                // Once the crowd is there, not every try finds a place.
                drop(http::send(&client, Method::PUT, &url, headers, body).await);
                sleep(pause).await;
            }
            Ok(())
        })
    }

    /// Somebody mistypes the policy.
    pub fn policy_is_spoilt(&self) -> anyhow::Result<()> {
        Ok(fs::write(&self.policy, "[[services]]\nname = 'known'\n")?)
    }

    /// The certificate is the one that ends tomorrow.
    pub fn certificate_nears_its_end(&self) -> anyhow::Result<()> {
        self.authority.local_until(clock::epoch_seconds() + 86_400)?.write(&self.cert, &self.key)
    }

    /// A certificate of another key is put in its place.
    pub fn files_are_spoilt(&self) -> anyhow::Result<()> {
        Ok(fs::write(&self.cert, self.authority.local()?.cert)?)
    }

    /// A task runs and nobody registers it.
    pub async fn a_task_is_not_registered(&self) -> anyhow::Result<()> {
        self.ecs.run(Task::new(CLUSTER, 1));
        // Who asks for the list has the registry look now, and not within a minute.
        until("the registry to have looked", 2 * SOON, async || {
            self.api.get("/v1/services?unregistered").await?.expect(200)?;
            let counted = self.api.metric("sds_ecs_unregistered").await?;
            ensure!(counted == 1.0, "{counted} are counted");
            Ok(())
        })
        .await
    }

    /// More come than find a place.
    pub async fn is_crowded(&mut self) -> anyhow::Result<()> {
        for _ in 0..2 * CAP {
            self.crowd.push(TcpStream::connect(self.api.addr).await.context("connecting")?);
        }
        Ok(())
    }
}
