//! What a sidecar shows of its task's role, held to AWS's own rules; and that the list of regions is AWS's.

use std::sync::{Arc, Mutex};

use anyhow::{Context, ensure};
use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::put,
};
use e2e::{
    app::App,
    aws::{
        credentials::Credentials,
        metadata::Metadata,
        proof::{self, Claims, Signed},
        sts::{self, Sts},
    },
    python::BOTOCORE,
    sidecar::Sidecar,
    wait::{SOON, until},
};
use sds_types::proof::Region;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::play;

const TASK: &str = "arn:aws:ecs:us-east-1:123456789012:task/prod/0123456789abcdef0123456789abcdef";

/// What came: the header `Authorization`, the path's endpoint and the body of each register.
type Heard = Arc<Mutex<Vec<(String, String, Value)>>>;

/// A registry that asks for a proof unless it sees this token, and takes anything for one.
async fn registry(heard: Heard, token: &'static str) -> anyhow::Result<std::net::SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let register = async move |State(heard): State<Heard>,
                               Path((_, at)): Path<(String, String)>,
                               headers: HeaderMap,
                               Json(body): Json<Value>|
                -> Response {
        let shown = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        heard.lock().expect("a lock").push((shown.clone(), at, body));
        if !shown.starts_with("SDS-AWS ") && shown != format!("Bearer {token}") {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        let told = json!({
            "lease_ms": 1500, "heartbeat_ms": 500, "version": "v", "vouched": true, "token": token, "token_ttl_ms": 3_600_000,
        });
        Json(told).into_response()
    };
    let routes = Router::new().route("/v1/services/{service}/instances/{at}", put(register)).with_state(heard);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(addr)
}

#[test]
fn a_sidecar_signs_as_aws_wants_it() {
    play("a_sidecar_signs_as_aws_wants_it", async |stage| {
        let sts = Sts::start().await?;
        let id = TASK.rsplit('/').next().unwrap_or_default();
        let mut ending = sts.assume("web-task", id);
        // Less than the five minutes in which a new key is looked for.
        ending.expires -= 6 * 3600 - 240;
        let credentials = Credentials::start(Some(ending.clone())).await?;
        let heard = Heard::default();
        let api = registry(heard.clone(), "lease-one").await?;
        let (app, metadata) = (App::start(stage, "app").await?, Metadata::start(TASK).await?);
        let env = [
            ("SDS_API_AUDIENCE", "sds.test"),
            ("ECS_CONTAINER_METADATA_URI_V4", metadata.uri.as_str()),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", credentials.uri.as_str()),
            ("SDS_LOG", "trace"),
        ];
        let mut sidecar = Sidecar::start(stage, api, "web", &app, &env).await?;
        let came = until("a proof and heartbeats with the token", SOON, async || {
            let heard = heard.lock().expect("a lock").clone();
            ensure!(heard.len() >= 3, "{} calls", heard.len());
            Ok(heard)
        })
        .await?;
        let claims = |(_, endpoint, body): &(String, String, Value)| {
            let incarnation = body["incarnation"].as_u64().context("no incarnation")?;
            let (service, task) = ("web".to_owned(), TASK.to_owned());
            anyhow::Ok(Claims { service, endpoint: endpoint.clone(), task, incarnation })
        };
        proof::check(&came[0].0, &claims(&came[0])?, "sds.test", &ending)?;
        // The judge itself: another claim, another audience, another key.
        let other = Claims { incarnation: 1, ..claims(&came[0])? };
        ensure!(proof::check(&came[0].0, &other, "sds.test", &ending).is_err());
        ensure!(proof::check(&came[0].0, &claims(&came[0])?, "sds.prod", &ending).is_err());
        ensure!(proof::check(&came[0].0, &claims(&came[0])?, "sds.test", &sts.assume("web-task", id)).is_err());
        ensure!(came[1..].iter().all(|(shown, ..)| shown == "Bearer lease-one"), "{came:?}");
        ensure!(credentials.count() == 1, "{} looks for credentials", credentials.count());
        sidecar.process.stop(SOON).await?;
        let proof = came[0].0.trim_start_matches("SDS-AWS ");
        for secret in ["lease-one", proof, &ending.secret, &ending.token] {
            ensure!(
                stage.log_book().find(secret).is_none(),
                "the log has a secret: {:?}",
                stage.log_book().find(secret)
            );
        }
        Ok(())
    });
}

#[test]
fn a_sidecar_without_credentials_waits_for_them() {
    play("a_sidecar_without_credentials_waits_for_them", async |stage| {
        let sts = Sts::start().await?;
        let credentials = Credentials::start(None).await?;
        let heard = Heard::default();
        let api = registry(heard.clone(), "lease-one").await?;
        let (app, metadata) = (App::start(stage, "app").await?, Metadata::start(TASK).await?);
        let env = [
            ("SDS_API_AUDIENCE", "sds.test"),
            ("ECS_CONTAINER_METADATA_URI_V4", metadata.uri.as_str()),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", credentials.uri.as_str()),
        ];
        let sidecar = Sidecar::start(stage, api, "web", &app, &env).await?;
        until("two looks for credentials", SOON, async || {
            ensure!(credentials.count() >= 2, "{}", credentials.count());
            Ok(())
        })
        .await?;
        ensure!(heard.lock().expect("a lock").is_empty(), "somebody was called without a proof");
        ensure!(sidecar.page("/livez").await? == 200);
        ensure!(stage.log_book().find("no credentials of the task's role").is_some(), "nothing in the log");
        let session = sts.assume("web-task", "0123456789abcdef0123456789abcdef");
        credentials.gives(Some(session));
        until("a proof", SOON, async || {
            ensure!(!heard.lock().expect("a lock").is_empty());
            Ok(())
        })
        .await
    });
}

/// What botocore, AWS's own SDK, signs for the same request, and what it reads of our stand-in's answer.
const BOTOCORE_SAYS: &str = r#"
import json, sys
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser

for line in sys.stdin:
    asked = json.loads(line)
    auth = SigV4Auth(Credentials(asked["id"], asked["secret"], asked["token"]), "sts", asked["region"])
    headers = {k: v for k, v in asked["headers"] if k not in ("host", "x-amz-date", "x-amz-security-token")}
    url = "https://" + dict(asked["headers"])["host"] + "/"
    request = AWSRequest(method="POST", url=url, data=asked["body"], headers=headers)
    request.context["timestamp"] = dict(asked["headers"])["x-amz-date"]
    auth._modify_request_before_signing(request)
    text = auth.string_to_sign(request, auth.canonical_request(request))
    model = ServiceModel(Loader().load_service_model("sts", "service-2"), "sts")
    shape = model.operation_model("GetCallerIdentity").output_shape
    answer = {"status_code": 200, "headers": {}, "body": asked["answer"].encode()}
    read = create_parser("query").parse(answer, shape)
    read.pop("ResponseMetadata")
    print(json.dumps([auth.signature(text, request), read]))
"#;

#[test]
fn aws_s_own_sdk_signs_and_reads_the_same() {
    play("aws_s_own_sdk_signs_and_reads_the_same", async |_| {
        let sts = Sts::start().await?;
        let session = sts.assume("web-task", "0123456789abcdef0123456789abcdef");
        let (service, endpoint, task) = ("web".to_owned(), "10.0.0.1:80".to_owned(), TASK.to_owned());
        let claims = Claims { service, endpoint, task, incarnation: 7 };
        let signed = Signed::right(&session, &claims, "sds.test", 0);
        let asked = json!({
            "id": session.id, "secret": session.secret, "token": session.token, "region": "us-east-1",
            "headers": signed.headers, "body": signed.body, "answer": sts::right(&session),
        });
        let said = BOTOCORE.judge(BOTOCORE_SAYS, &[asked]).await?;
        let (signature, read): (String, Value) = serde_json::from_str(said.first().context("nothing")?)?;
        ensure!(signed.json(&session)?["signature"] == signature.as_str(), "botocore signs another text");
        let expected = json!({"Arn": session.arn, "UserId": session.user, "Account": sts::ACCOUNT});
        ensure!(read == expected, "{read}");
        Ok(())
    });
}

#[test]
fn the_regions_are_those_of_aws() {
    play("the_regions_are_those_of_aws", async |_| {
        let script = "import sys, json\nfrom botocore.session import Session\n\
                      session = Session()\n\
                      rows = []\n\
                      for p in ['aws', 'aws-cn', 'aws-us-gov', 'aws-eusc']:\n\
                      \x20   for r in session.get_available_regions('sts', partition_name=p):\n\
                      \x20       c = session.create_client('sts', region_name=r, aws_access_key_id='a', aws_secret_access_key='b')\n\
                      \x20       rows.append([r, p, c.meta.endpoint_url])\n\
                      for line in sys.stdin:\n\
                      \x20   print(json.dumps(rows))\n";
        let said = BOTOCORE.judge(script, &[json!(0)]).await?;
        let rows: Vec<(String, String, String)> = serde_json::from_str(said.first().context("nothing")?)?;
        ensure!(rows.len() > 30, "{rows:?}");
        for (name, partition, url) in rows {
            // Of before there were regional endpoints.
            if !name.contains('-') || name == "aws-global" {
                continue;
            }
            let region = Region::named(&name).with_context(|| format!("{name} is missing"))?;
            ensure!(region.partition() == partition, "{name}: {partition}");
            ensure!(url == format!("https://{}", region.sts_host()), "{name}: {url}");
        }
        Ok(())
    });
}
