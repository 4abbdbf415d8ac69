//! Forged, replayed and crossed proofs and lease tokens: each is refused with its status, and nothing is written. The registry
//! is the real one; STS and ECS are stand-ins that check signatures as AWS does.

use anyhow::{Context, ensure};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use e2e::{
    api::{Api, native_path, registration},
    aws::{
        ecs::{Ecs, task::Task},
        proof::{Claims, Signed, header},
        sts::{Fault, Session, Sts},
    },
    clock,
    http::Answer,
    stage::Stage,
};
use reqwest::Method;
use ring::hmac;
use serde_json::{Value, json};

use crate::play;

const AUDIENCE: &str = "sds.test";
const POLICY: &str = "[[services]]\nnames = ['*']\nmode = 'aws'\n\
    [[tasks]]\nrole = 'arn:aws:iam::123456789012:role/web-task'\ncluster = 'prod'\nregister = ['web']\n\
    [[tasks]]\nrole = 'arn:aws:iam::123456789012:role/pay-task'\ncluster = 'prod'\nregister = ['pay']\n\
    [[tasks]]\nrole = 'arn:aws:iam::123456789012:role/host-task'\ncluster = 'prod'\nregister = ['web']\n\
    host_address = true\ncidrs = ['127.0.0.0/8', '10.0.0.0/24']\n";
/// The registry's keys, of 32 bytes each.
const KEYS: [(&str, u8); 2] = [("k1", 1), ("k2", 2)];

/// A registry that asks tasks for their role, and the AWS that it asks.
struct Scene {
    api: Api,
    sts: Sts,
    ecs: Ecs,
}

/// A task that runs, with its role's credentials.
struct Real {
    session: Session,
    claims: Claims,
}

impl Scene {
    async fn start(stage: &Stage) -> anyhow::Result<Self> {
        let (sts, ecs) = (Sts::start().await?, Ecs::start().await?);
        let path = stage.file("policy.toml");
        std::fs::write(&path, POLICY)?;
        let keys = KEYS.map(|(id, byte)| format!("{id}:{}", URL_SAFE_NO_PAD.encode([byte; 32]))).join(",");
        let ours = [
            ("SDS_POLICY", path.to_str().context("not UTF-8")?),
            ("SDS_AUDIENCE", AUDIENCE),
            ("SDS_TOKEN_KEYS", &keys),
            ("AWS_ENDPOINT_URL_STS", &sts.endpoint),
        ];
        let env = [&ours[..], &ecs.env("prod")].concat();
        Ok(Self { api: Api::start(stage, &env).await?, sts, ecs })
    }

    /// The `nth` task begins to run; its address is `10.0.0.(nth + 1)`.
    fn runs(&self, nth: u32, role: &str, service: &str) -> Real {
        let task = self.ecs.run(Task::new("prod", nth));
        let id = task.rsplit('/').next().unwrap_or_default().to_owned();
        let endpoint = format!("10.0.0.{}:80", nth + 1);
        let claims = Claims { service: service.to_owned(), endpoint, task, incarnation: 7 };
        Real { session: self.sts.assume(role, &id), claims }
    }

    async fn put(&self, shown: &[&str], claims: &Claims, seq: u64) -> anyhow::Result<Answer> {
        let Claims { service, endpoint, task, incarnation } = claims;
        let headers: Vec<_> = shown.iter().map(|shown| ("authorization", *shown)).collect();
        let body = registration((*incarnation, seq), json!({"task_arn": task})).to_string();
        self.api.send(Method::PUT, &native_path(service, endpoint), &headers, body).await
    }

    /// Each of these is refused so, and nothing is there afterwards.
    async fn refuses(&self, what: &str, shown: &[&str], claims: &Claims, status: u16) -> anyhow::Result<()> {
        let answer = self.put(shown, claims, 1).await?;
        ensure!(answer.status == status, "{what}: {} instead of {status}: {}", answer.status, answer.text());
        for secret in shown.iter().flat_map(|shown| shown.split(' ').nth(1)).filter(|secret| secret.len() > 20) {
            ensure!(!answer.text().contains(secret), "{what}: the answer repeats what was shown");
        }
        self.has_nothing().await.context(what.to_owned())
    }

    async fn has_nothing(&self) -> anyhow::Result<()> {
        for service in ["web", "pay"] {
            let there = self.api.instances(service).await?;
            ensure!(there.is_empty(), "something was written: {there:?}");
        }
        Ok(())
    }
}

/// A request that is signed, after a change to it.
type Forgery = (&'static str, fn(Signed) -> Signed);

/// Signed well, but not the request that the registry builds.
const OTHER_REQUESTS: [Forgery; 24] = [
    ("another region", |mut signed| {
        signed.scope.0 = "eu-west-1".into();
        signed.with("host", "sts.eu-west-1.amazonaws.com")
    }),
    ("another region in the scope alone", |mut signed| {
        signed.scope.0 = "eu-west-1".into();
        signed
    }),
    ("another host", |signed| signed.with("host", "sts.us-east-1.amazonaws.com.evil.example")),
    ("the global host", |signed| signed.with("host", "sts.amazonaws.com")),
    ("another service", |mut signed| {
        signed.scope.1 = "iam".into();
        signed
    }),
    ("another method", |mut signed| {
        signed.method = "GET".parse().expect("a method");
        signed
    }),
    ("another path", |mut signed| {
        signed.uri = "/x".parse().expect("a path");
        signed
    }),
    ("a query", |mut signed| {
        signed.uri = "/?Action=GetCallerIdentity".parse().expect("a path");
        signed
    }),
    ("another action", |mut signed| {
        signed.body = "Action=GetSessionToken&Version=2011-06-15".into();
        signed
    }),
    ("a second action", |mut signed| {
        signed.body += "&Action=GetAccessKeyInfo";
        signed
    }),
    ("another version", |mut signed| {
        signed.body = "Action=GetCallerIdentity&Version=2011-06-16".into();
        signed
    }),
    ("no body", |mut signed| {
        signed.body.clear();
        signed
    }),
    ("another type", |signed| signed.with("content-type", "application/json")),
    ("one more header", |signed| signed.more("accept", "application/json")),
    ("one more of AWS's headers", |signed| signed.more("x-amz-target", "x")),
    ("the audience twice", |signed| signed.more("x-sds-audience", AUDIENCE)),
    ("two audiences", |signed| signed.with("x-sds-audience", "sds.other").more("x-sds-audience", AUDIENCE)),
    ("the audience not signed", |signed| signed.unsigned("x-sds-audience")),
    ("the claims not signed", |signed| signed.unsigned("x-sds-claims")),
    ("the session token not signed", |signed| signed.unsigned("x-amz-security-token")),
    ("the host not signed", |signed| signed.unsigned("host")),
    ("another audience", |signed| signed.with("x-sds-audience", "sds.other")),
    ("a longer audience", |signed| signed.with("x-sds-audience", "sds.test.evil")),
    ("no claims", |signed| signed.with("x-sds-claims", "")),
];

#[test]
fn a_right_proof_registers_and_a_forged_request_does_not() {
    play("a_right_proof_registers_and_a_forged_request_does_not", async |stage| {
        let scene = Scene::start(stage).await?;
        let Real { session, claims } = scene.runs(0, "web-task", "web");
        for (what, forge) in OTHER_REQUESTS {
            let forged = forge(Signed::right(&session, &claims, AUDIENCE, 0)).header(&session)?;
            scene.refuses(what, &[&forged], &claims, 401).await?;
        }
        ensure!(scene.sts.count() == OTHER_REQUESTS.len(), "STS judges each: {} calls", scene.sts.count());
        // All of that is what a signature can say; what a text can say besides is not even asked about.
        let right = Signed::right(&session, &claims, AUDIENCE, 0);
        let json = right.json(&session)?;
        for (field, value) in [
            ("region", json!("us-east-1")),
            ("host", json!("sts.us-east-1.amazonaws.com")),
            ("url", json!("https://evil.example/")),
            ("method", json!("GET")),
            ("headers", json!({"accept": "application/json"})),
            ("body", json!("Action=GetCallerIdentity")),
            ("date", json!("20261129T120000Z\r\nx-sds-audience: sds.test")),
            ("signature", json!("0F".repeat(32))),
            ("session_token", json!("")),
            ("access_key_id", json!("ASIAEXAMPLE000000000/20261129/us-east-1/sts/aws4_request, SignedHeaders=host")),
        ] {
            let mut forged = json.clone();
            forged[field] = value;
            scene.refuses(field, &[&header(&forged)], &claims, 401).await?;
        }
        for (minutes, what) in [(-16, "16 minutes old"), (16, "16 minutes ahead")] {
            let late = Signed::right(&session, &claims, AUDIENCE, minutes * 60).header(&session)?;
            scene.refuses(what, &[&late], &claims, 401).await?;
        }
        let good = right.header(&session)?;
        scene.refuses("two proofs", &[&good, &good], &claims, 401).await?;
        scene.refuses("nothing", &[], &claims, 401).await?;
        scene.refuses("half a proof", &[&good[..good.len() / 2]], &claims, 401).await?;
        ensure!(scene.sts.count() == OTHER_REQUESTS.len(), "STS was asked about what is no proof");
        let answer = scene.put(&[&good], &claims, 1).await?.expect(200)?.json()?;
        ensure!(answer["token"].as_str().is_some_and(|token| token.starts_with("sds_lease_k1.")), "no token");
        Ok(())
    });
}

#[test]
fn a_proof_is_for_what_it_claims_and_for_nothing_else() {
    play("a_proof_is_for_what_it_claims_and_for_nothing_else", async |stage| {
        let scene = Scene::start(stage).await?;
        let Real { session, claims } = scene.runs(0, "web-task", "web");
        let other = scene.runs(1, "web-task", "web").claims;
        let right = Signed::right(&session, &claims, AUDIENCE, 0).header(&session)?;
        let crossed: [(&str, Claims); 6] = [
            ("another service", Claims { service: "pay".into(), ..claims.clone() }),
            ("another address", Claims { endpoint: "10.0.0.2:80".into(), ..claims.clone() }),
            ("another port", Claims { endpoint: "10.0.0.1:81".into(), ..claims.clone() }),
            ("another task", Claims { task: other.task.clone(), ..claims.clone() }),
            ("another incarnation", Claims { incarnation: 8, ..claims.clone() }),
            ("no task", Claims { task: String::new(), ..claims.clone() }),
        ];
        for (what, claimed) in &crossed {
            scene.refuses(what, &[&right], claimed, 401).await?;
        }
        // Signed for just that, by who may not.
        let signed = |session: &Session, claims: &Claims| Signed::right(session, claims, AUDIENCE, 0).header(session);
        for (what, claimed) in &crossed[..5] {
            if *what == "another port" || *what == "another incarnation" {
                continue;
            }
            scene.refuses(what, &[&signed(&session, claimed)?], claimed, 403).await?;
        }
        let id = claims.task.rsplit('/').next().unwrap_or_default();
        let pay = scene.sts.assume("pay-task", id);
        scene.refuses("a role for another service", &[&signed(&pay, &claims)?], &claims, 403).await?;
        let stranger = scene.sts.assume("other-task", id);
        scene.refuses("a role that the policy does not know", &[&signed(&stranger, &claims)?], &claims, 403).await?;
        for name in ["web", "botocore-session-1", &id[1..]] {
            let named = scene.sts.assume("web-task", name);
            scene.refuses("a session named by hand", &[&signed(&named, &claims)?], &claims, 403).await?;
        }
        // The name is easily guessed by a role that may assume itself; the task is not there for all that.
        let dream = Claims { task: claims.task.replace(id, &"f".repeat(32)), ..claims.clone() };
        let dreamt = scene.sts.assume("web-task", &"f".repeat(32));
        scene.refuses("a task that does not exist", &[&signed(&dreamt, &dream)?], &dream, 503).await?;
        let elsewhere = Claims { task: claims.task.replace("/prod/", "/test/"), ..claims.clone() };
        let answer = scene.put(&[&signed(&session, &elsewhere)?], &elsewhere, 1).await?;
        ensure!([403, 503].contains(&answer.status), "another cluster: {}", answer.status);
        let abroad = Claims { task: claims.task.replace("us-east-1", "eu-west-1"), ..claims.clone() };
        scene.refuses("another region", &[&signed(&session, &abroad)?], &abroad, 401).await?;
        let account = Session { arn: session.arn.replace("1234", "9999"), ..scene.sts.assume("web-task", id) };
        let account = scene.sts.knows(account);
        scene.refuses("a role of another account", &[&signed(&account, &claims)?], &claims, 403).await?;
        let user = Session { arn: "arn:aws:iam::123456789012:user/web".into(), ..scene.sts.assume("web-task", id) };
        let user = scene.sts.knows(user);
        scene.refuses("a user", &[&signed(&user, &claims)?], &claims, 401).await?;
        let over = scene.sts.knows(Session { expires: clock::epoch_seconds(), ..scene.sts.assume("web-task", id) });
        scene.refuses("credentials that have ended", &[&signed(&over, &claims)?], &claims, 401).await?;
        let guessed = Session { secret: "secret/of+99999".into(), ..session.clone() };
        scene.refuses("a guessed secret", &[&signed(&guessed, &claims)?], &claims, 401).await?;
        let unknown = Session { id: "ASIAEXAMPLEUNKNOWN00".into(), ..session.clone() };
        scene.refuses("an unknown key", &[&signed(&unknown, &claims)?], &claims, 401).await?;
        let mixed = Session { token: pay.token.clone(), ..session.clone() };
        scene.refuses("another session's token", &[&signed(&mixed, &claims)?], &claims, 401).await?;
        scene.ecs.change(&claims.task, |task| task.stops("RUNNING"));
        scene.refuses("a task that is to stop", &[&right], &claims, 403).await?;
        scene.ecs.change(&claims.task, |task| task.stops("STOPPED"));
        scene.refuses("a task that has stopped", &[&right], &claims, 403).await
    });
}

#[test]
fn a_task_without_an_address_of_its_own_speaks_from_its_machine() {
    play("a_task_without_an_address_of_its_own_speaks_from_its_machine", async |stage| {
        let scene = Scene::start(stage).await?;
        let task = scene.ecs.run(Task { address: None, bindings: vec![(8080, 32768)], ..Task::new("prod", 0) });
        let id = task.rsplit('/').next().unwrap_or_default();
        let session = scene.sts.assume("host-task", id);
        let claims = |endpoint: &str| {
            let (service, endpoint, task) = ("web".to_owned(), endpoint.to_owned(), task.clone());
            Claims { service, endpoint, task, incarnation: 7 }
        };
        let shown = |claims: &Claims| Signed::right(&session, claims, AUDIENCE, 0).header(&session);
        for (what, endpoint) in [
            ("another machine", "10.0.0.9:32768"),
            ("a port of another task", "127.0.0.1:32769"),
            ("the port inside", "127.0.0.1:8080"),
        ] {
            let claims = claims(endpoint);
            scene.refuses(what, &[&shown(&claims)?], &claims, 403).await?;
        }
        let here = claims("127.0.0.1:32768");
        // ECS does not tell where it is, so that has to be wished.
        let strict = scene.sts.assume("web-task", id);
        let proof = Signed::right(&strict, &here, AUDIENCE, 0).header(&strict)?;
        scene.refuses("a role that is not for such tasks", &[&proof], &here, 403).await?;
        scene.put(&[&shown(&here)?], &here, 1).await?.expect(200)?;
        Ok(())
    });
}

#[test]
fn sts_proves_nothing_when_it_does_not_answer_as_it_should() {
    play("sts_proves_nothing_when_it_does_not_answer_as_it_should", async |stage| {
        let scene = Scene::start(stage).await?;
        let Real { session, claims } = scene.runs(0, "web-task", "web");
        let right = Signed::right(&session, &claims, AUDIENCE, 0).header(&session)?;
        for fault in [
            Fault::Json,
            Fault::Two,
            Fault::Redirect(scene.sts.endpoint.clone()),
            Fault::Redirect("/".into()),
            Fault::Huge,
            Fault::Garbage,
            Fault::Close,
            Fault::Silence,
            Fault::Late(std::time::Duration::from_secs(3)),
            Fault::Error(400, "Throttling"),
            Fault::Error(429, "Throttling"),
            Fault::Error(500, "InternalFailure"),
            Fault::Error(503, "ServiceUnavailable"),
        ] {
            let before = scene.sts.count();
            scene.sts.fails(Some(fault.clone()));
            let began = tokio::time::Instant::now();
            scene.refuses(&format!("{fault:?}"), &[&right], &claims, 503).await?;
            ensure!(began.elapsed().as_millis() < 2500, "{fault:?} took {:?}", began.elapsed());
            ensure!(scene.sts.count() == before + 1, "{fault:?}: {} calls", scene.sts.count() - before);
        }
        scene.sts.fails(None);
        scene.put(&[&right], &claims, 1).await?.expect(200)?;
        // A flood of one bad proof is one call.
        let bad = Signed::right(&session, &claims, "sds.other", 0).header(&session)?;
        let before = scene.sts.count();
        for _ in 0..20 {
            scene.put(&[&bad], &claims, 2).await?.expect(401)?;
        }
        ensure!(scene.sts.count() == before + 1, "{} calls", scene.sts.count() - before);
        // Of a flood of different ones most are not even asked about, so that others have their turn.
        let before = scene.sts.count();
        let bad = |late: i64| Signed::right(&session, &claims, "sds.other", -late).header(&session);
        let bad = (1..=600).map(bad).collect::<anyhow::Result<Vec<_>>>()?;
        let answers = futures_util::future::try_join_all(bad.iter().map(async |bad| {
            let answer = scene.put(&[bad], &claims, 2).await?;
            anyhow::Ok(answer.status)
        }));
        let limited = answers.await?.iter().filter(|status| **status == 429).count();
        let asked = scene.sts.count() - before;
        ensure!(limited > 0 && asked + limited <= 600, "{limited} of 600 were limited, {asked} asked about");
        let well = async || scene.put(&[&right], &claims, 2).await?.expect(200);
        e2e::wait::until("the next one's turn", e2e::wait::SOON, well).await?;
        Ok(())
    });
}

/// A lease token of these facts, signed like the registry's own.
fn token(id: &str, byte: u8, claims: &Claims, issued: u64, expires: u64) -> String {
    let Claims { service, endpoint, task, incarnation } = claims;
    let attested = json!({
        "account": "123456789012", "role": "web-task", "cluster": "arn:aws:ecs:us-east-1:123456789012:cluster/prod",
        "family": "web", "group": "service:web", "has_address": true,
    });
    let payload = json!({
        "service": service, "endpoint": endpoint, "task": task, "incarnation": incarnation, "issued": issued,
        "expires": expires, "attested": attested,
    });
    sealed(id, byte, &payload)
}

fn sealed(id: &str, byte: u8, payload: &Value) -> String {
    let text = format!("sds_lease_{id}.{}", URL_SAFE_NO_PAD.encode(payload.to_string()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[byte; 32]), text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag))
}

#[test]
fn a_lease_token_is_for_one_instance_and_not_to_be_made() {
    play("a_lease_token_is_for_one_instance_and_not_to_be_made", async |stage| {
        let scene = Scene::start(stage).await?;
        let Real { session, claims } = scene.runs(0, "web-task", "web");
        let proof = Signed::right(&session, &claims, AUDIENCE, 0).header(&session)?;
        let told = scene.put(&[&proof], &claims, 1).await?.expect(200)?.json()?;
        let real = told["token"].as_str().context("no token")?.to_owned();
        let calls = (scene.sts.count(), scene.ecs.calls().iter().filter(|call| call.names > 0).count());
        let delete = format!("{}?incarnation=7&seq=99", native_path("web", "10.0.0.1:80"));
        let refused = async |what: &str, token: &str, claims: &Claims, status: u16| {
            let shown = format!("Bearer {token}");
            let answer = scene.put(&[&shown], claims, 50).await?;
            ensure!(answer.status == status, "{what}: {} instead of {status}: {}", answer.status, answer.text());
            if claims.endpoint == "10.0.0.1:80" && claims.service == "web" && claims.incarnation == 7 {
                let gone = scene.api.send(Method::DELETE, &delete, &[("authorization", &shown)], "").await?;
                ensure!(gone.status == status, "{what}, to delete: {} {}", gone.status, gone.text());
            }
            anyhow::Ok(())
        };
        for (what, crossed) in [
            ("another endpoint", Claims { endpoint: "10.0.0.2:80".into(), ..claims.clone() }),
            ("another port", Claims { endpoint: "10.0.0.1:81".into(), ..claims.clone() }),
            ("another service", Claims { service: "pay".into(), ..claims.clone() }),
            ("another incarnation", Claims { incarnation: 8, ..claims.clone() }),
            ("another task", Claims { task: claims.task.replace("/prod/", "/test/"), ..claims.clone() }),
        ] {
            let answer = scene.put(&[&format!("Bearer {real}")], &crossed, 50).await?;
            ensure!(answer.status == 403, "{what}: {} {}", answer.status, answer.text());
        }
        let now = clock::epoch_seconds();
        let made = |id: &str, byte: u8| token(id, byte, &claims, now, now + 600);
        let parts: Vec<&str> = real.split('.').collect();
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        for (what, forged) in [
            ("ran out", token("k1", 1, &claims, now - 700, now - 60)),
            ("ends before it begins", token("k1", 1, &claims, now + 600, now + 1)),
            ("a foreign key", made("k1", 3)),
            ("the other key", made("k1", 2)),
            ("a key that is not there", made("k3", 1)),
            ("no key", made("", 1)),
            ("truncated", real[..real.len() - 1].to_owned()),
            ("without a signature", format!("{}.{}.", parts[0], parts[1])),
            ("two parts", format!("{}.{}", parts[0], parts[1])),
            ("alg none", format!("{none}.{}.", parts[1])),
            ("alg none behind the prefix", format!("sds_lease_{none}.{}.", parts[1])),
            (
                "another's signature",
                format!("{}.{}.{}", parts[0], made("k1", 1).split('.').nth(1).unwrap_or(""), parts[2]),
            ),
            ("not an object", sealed("k1", 1, &json!([1]))),
            ("more than a lease", sealed("k1", 1, &json!({"service": "web", "admin": true}))),
            ("a page", "x".repeat(9000)),
        ] {
            refused(what, &forged, &claims, 401).await?;
        }
        let other_role = sealed("k1", 1, &{
            let payload = URL_SAFE_NO_PAD.decode(made("k1", 1).split('.').nth(1).context("a payload")?)?;
            let mut payload: Value = serde_json::from_slice(&payload)?;
            payload["attested"]["role"] = json!("pay-task");
            payload
        });
        refused("a role for another service", &other_role, &claims, 403).await?;
        let there = scene.api.instances("web").await?;
        ensure!(there.len() == 1 && there["10.0.0.1:80"]["status"] == "healthy", "{there:?}");
        ensure!(scene.api.instances("pay").await?.is_empty());
        // What was made like that passes with the right key, either of them, so that the refusals mean something.
        for (seq, good) in [(2, real.clone()), (3, made("k1", 1)), (4, made("k2", 2))] {
            scene.put(&[&format!("Bearer {good}")], &claims, seq).await?.expect(200)?;
        }
        let gone = scene.api.send(Method::DELETE, &delete, &[("authorization", &format!("Bearer {real}"))], "").await?;
        gone.expect(204)?;
        let after = (scene.sts.count(), scene.ecs.calls().iter().filter(|call| call.names > 0).count());
        ensure!(after.0 == calls.0, "a token made calls of STS");
        // Replayed: what was said before the deregistration is over, and with the task so is the proof.
        scene.put(&[&proof], &claims, 1).await?.expect(409)?;
        scene.ecs.change(&claims.task, |task| task.stops("STOPPED"));
        scene.refuses("replayed after the task", &[&proof], &claims, 403).await
    });
}
