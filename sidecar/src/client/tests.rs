//! What goes over the wire, and what every kind of answer becomes.

use std::sync::atomic::Ordering;

use sds_types::{Health, InstanceId, Locality, Revision, Sequence, Tags, TaskArn};
use tokio::time::Instant;

use super::*;
use crate::{
    aws::credentials::Source,
    stand_in::{Reply, StandIn, say, told},
};

fn request(call: Call, fresh: bool) -> Request {
    Request { call, sequence: Sequence { incarnation: 7, seq: 3 }, fresh }
}

fn body() -> Registration {
    Registration {
        incarnation: 7,
        seq: 3,
        health: Health::Healthy,
        weight: None,
        canary: false,
        revision: Revision::default(),
        locality: Locality::default(),
        instance_id: InstanceId::default(),
        task_arn: TaskArn::default(),
        tags: Tags::default(),
    }
}

fn client(bases: &[String]) -> Client {
    let bases: Vec<Url> = bases.iter().map(|base| base.parse().unwrap()).collect();
    let nothing = Authorization::new(Shows::Nothing, Source::Nowhere).unwrap();
    let mut client = Client::new(&bases, &Trust::default(), "web".parse().unwrap(), nothing).unwrap();
    client.at = 0;
    client
}

async fn call(client: &mut Client, request: Request) -> Answer {
    client.call(request, "10.0.0.1:80".parse().unwrap(), &body()).await
}

const GOODBYE: Call = Call::Deregister(Why::Goodbye);
const REGISTER: Call = Call::Register(Health::Healthy);

#[tokio::test]
async fn on_the_wire() {
    let mut registry = StandIn::start(|_, _| told()).await;
    for (base, endpoint, made, line) in [
        ("", "10.0.0.1:80", REGISTER, "PUT /v1/services/web/instances/10.0.0.1:80"),
        ("/", "[2001:db8::1]:80", REGISTER, "PUT /v1/services/web/instances/[2001:db8::1]:80"),
        ("/sds/", "10.0.0.1:80", Call::Drain, "POST /sds/v1/services/web/instances/10.0.0.1:80/drain"),
        ("", "10.0.0.1:80", GOODBYE, "DELETE /v1/services/web/instances/10.0.0.1:80?incarnation=7&seq=3"),
        (
            "",
            "10.0.0.1:80",
            Call::Deregister(Why::Unhealthy),
            "DELETE /v1/services/web/instances/10.0.0.1:80?incarnation=7&seq=3&reason=unhealthy",
        ),
    ] {
        let mut client = client(&[format!("http://{}{base}", registry.address)]);
        let answer = client.call(request(made, false), endpoint.parse().unwrap(), &body()).await;
        assert!(matches!(answer, Answer::Done(Some(_))), "{answer:?}");
        let heard = registry.next().await;
        assert_eq!((heard.line.as_str(), heard.authorization.as_str()), (line, ""));
        let expected = serde_json::json!({"incarnation": 7, "seq": 3, "health": "healthy", "canary": false});
        assert_eq!(heard.body, if matches!(made, Call::Deregister(_)) { serde_json::Value::Null } else { expected });
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut registry = StandIn::start(|_, _| Reply::Say(307, Some(("location", "/elsewhere")), String::new())).await;
    let answer = call(&mut client(&[format!("http://{}", registry.address)]), request(REGISTER, false)).await;
    assert!(matches!(&answer, Answer::Refused(reason) if reason.starts_with("307")), "{answer:?}");
    assert_eq!(registry.rest().len(), 1);
}

#[tokio::test]
async fn slow_huge_and_busy_answers_fail() {
    let rule = |n: usize, _: &_| match n {
        0 => Reply::Hang,
        1 => say(200, &"x".repeat(web::BODY_LIMIT + 1)),
        _ => Reply::Say(503, Some(("retry-after", "3600")), "<html>".into()),
    };
    let registry = StandIn::start(rule).await;
    let mut client = client(&[format!("http://{}", registry.address)]);
    for (reason, asked) in [("no answer in time", None), ("longer than", None), ("503", Some(3600))] {
        let began = Instant::now();
        let answer = call(&mut client, request(REGISTER, false)).await;
        let Answer::Failed { reason: why, doubt: true, retry_after } = &answer else { panic!("{answer:?}") };
        assert!(why.contains(reason), "{why}");
        assert_eq!(retry_after.map(|after| after.as_secs()), asked);
        assert!(began.elapsed() < CALL_TIMEOUT + Duration::from_secs(1));
    }
}

#[tokio::test]
async fn fresh_means_another_connection_and_the_next_url() {
    let registry = StandIn::start(|_, _| told()).await;
    let address = registry.address;
    let mut one = client(&[format!("http://{address}")]);
    for (fresh, connections) in [(false, 1), (false, 1), (true, 2), (false, 2)] {
        assert!(matches!(call(&mut one, request(REGISTER, fresh)).await, Answer::Done(_)));
        assert_eq!(registry.connections.load(Ordering::SeqCst), connections);
    }
    // Port 1 of loopback refuses; nothing was sent, so there is no doubt.
    let mut two = client(&["http://127.0.0.1:1".into(), format!("http://{address}")]);
    let answers = [call(&mut two, request(REGISTER, false)).await, call(&mut two, request(REGISTER, true)).await];
    assert!(matches!(&answers, [Answer::Failed { doubt: false, .. }, Answer::Done(_)]), "{answers:?}");
}

#[tokio::test]
async fn a_name_is_looked_up() {
    let registry = StandIn::start(|_, _| told()).await;
    let port = registry.address.port();
    let known = call(&mut client(&[format!("http://localhost:{port}")]), request(REGISTER, false)).await;
    assert!(matches!(known, Answer::Done(_)), "{known:?}");
    let unknown = call(&mut client(&[format!("http://no-such-name.invalid:{port}")]), request(REGISTER, false)).await;
    assert!(matches!(unknown, Answer::Failed { doubt: false, .. }), "{unknown:?}");
}

#[test]
fn https_has_its_certificate_authorities() {
    let nothing = Authorization::new(Shows::Nothing, Source::Nowhere).unwrap();
    let client =
        Client::new(&["https://sds.internal".parse().unwrap()], &Trust::default(), "web".parse().unwrap(), nothing);
    assert!(client.is_ok(), "{client:?}");
}

const TASK: &str = "arn:aws:ecs:eu-west-1:111122223333:task/prod/0123456789abcdef0123456789abcdef";

/// A client that has a role to show.
fn with_role(registry: &StandIn, source: Source) -> Client {
    let bases = [format!("http://{}", registry.address).parse().unwrap()];
    let role = Authorization::new(Shows::Role("sds.test".parse().unwrap()), source).unwrap();
    Client::new(&bases, &Trust::default(), "web".parse().unwrap(), role).unwrap()
}

async fn call_of(client: &mut Client, made: Call, incarnation: u64, task: &str) -> Answer {
    let request = Request { call: made, sequence: Sequence { incarnation, seq: 1 }, fresh: false };
    let body = Registration { task_arn: TaskArn::parse("task_arn", task).unwrap(), ..body() };
    client.call(request, "10.0.0.1:80".parse().unwrap(), &body).await
}

fn given() -> Source {
    let [id, secret, token] = ["ASIAEXAMPLE012345678", "s3cret", "t0ken"].map(sds_types::Secret::new);
    Source::Given(id, secret, token)
}

#[tokio::test]
async fn a_proof_is_shown_until_there_is_a_token() {
    // One, two: the token of the first 200; 401 to the third call; then one that is nearly over.
    let rule = |nth: usize, _: &_| match nth {
        2 => say(401, ""),
        _ => {
            let (token, ttl) = if nth < 3 { ("one", 3_600_000) } else { ("two", 0) };
            let told = r#"{"lease_ms":3000,"heartbeat_ms":1000,"version":"v1","vouched":true"#;
            say(200, &format!(r#"{told},"token":"{token}","token_ttl_ms":{ttl}}}"#))
        }
    };
    let mut registry = StandIn::start(rule).await;
    let mut client = with_role(&registry, given());
    for (nth, (made, incarnation, expected)) in [
        (REGISTER, 7, "SDS-AWS "),
        (REGISTER, 7, "Bearer one"),
        (REGISTER, 7, "Bearer one"),
        (REGISTER, 7, "SDS-AWS "),
        (REGISTER, 7, "SDS-AWS "),
        (Call::Drain, 7, "Bearer two"),
        (GOODBYE, 7, "Bearer two"),
        (GOODBYE, 8, "SDS-AWS "),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = call_of(&mut client, made, incarnation, TASK).await;
        assert!(!format!("{answer:?}").contains("\"one"), "{answer:?}");
        let shown = registry.next().await.authorization;
        assert!(shown.starts_with(expected), "{nth}: {shown}");
    }
}

#[tokio::test]
async fn while_aws_is_away_the_last_token_has_its_turn_again() {
    let rule = |nth: usize, _: &_| match nth {
        1 | 3 => say(401, ""),
        2 | 4 => say(503, ""),
        _ => {
            let told = r#"{"lease_ms":3000,"heartbeat_ms":1000,"version":"v1","vouched":true"#;
            say(200, &format!(r#"{told},"token":"one","token_ttl_ms":0}}"#))
        }
    };
    let mut registry = StandIn::start(rule).await;
    let mut client = with_role(&registry, given());
    let made = [GOODBYE, GOODBYE, REGISTER, REGISTER, REGISTER, REGISTER, REGISTER];
    let expected = ["SDS-AWS ", "Bearer one", "SDS-AWS ", "Bearer one", "SDS-AWS ", "Bearer one", "SDS-AWS "];
    for (made, expected) in made.into_iter().zip(expected) {
        call_of(&mut client, made, 7, TASK).await;
        let shown = registry.next().await.authorization;
        assert!(shown.starts_with(expected), "{shown}, not {expected}");
    }
}

#[tokio::test]
async fn a_proof_that_was_refused_is_followed_by_one_with_a_new_key() {
    let keys = |nth: usize, _: &_| {
        let key = format!(r#""AccessKeyId":"ASIA{nth}","SecretAccessKey":"s","Token":"t""#);
        say(200, &format!(r#"{{{key},"Expiration":"2099-01-01T00:00:00Z"}}"#))
    };
    let mut endpoint = StandIn::start(keys).await;
    let url = format!("http://{}/", endpoint.address).parse().unwrap();
    let source = Source::Endpoint(url, crate::aws::credentials::Token::None);
    let registry = StandIn::start(|nth, _| if nth == 1 { say(401, "") } else { told() }).await;
    let mut client = with_role(&registry, source);
    // The second proof is refused.
    for fetched in [1, 0, 1, 0] {
        call_of(&mut client, REGISTER, 7, TASK).await;
        assert_eq!(endpoint.rest().len(), fetched);
    }
}

#[tokio::test]
async fn a_static_token_goes_with_every_call() {
    let mut registry = StandIn::start(|_, _| say(401, "")).await;
    let bases = [format!("http://{}", registry.address).parse().unwrap()];
    let token = Shows::Token(sds_types::Secret::new("s3cret"));
    let token = Authorization::new(token, Source::Nowhere).unwrap();
    let mut client = Client::new(&bases, &Trust::default(), "web".parse().unwrap(), token).unwrap();
    for made in [REGISTER, REGISTER, Call::Drain, GOODBYE] {
        call_of(&mut client, made, 7, "").await;
        assert_eq!(registry.next().await.authorization, "Bearer s3cret");
    }
}

#[tokio::test]
async fn without_a_key_or_a_task_nobody_is_called() {
    let mut registry = StandIn::start(|_, _| told()).await;
    for (source, task, expected) in
        [(Source::Nowhere, TASK, "no credentials"), (given(), "", "no ECS task"), (given(), "web-1", "no ECS task")]
    {
        let mut client = with_role(&registry, source);
        let answer = call_of(&mut client, REGISTER, 7, task).await;
        let Answer::Failed { reason, doubt: false, retry_after: None } = answer else { panic!("{answer:?}") };
        assert!(reason.contains(expected), "{reason}");
    }
    assert!(registry.rest().is_empty());
}
