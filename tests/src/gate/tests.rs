//! Against a small server that says how often it was asked for what, as the emulators are asked.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::ensure;
use axum::{Router, extract::State, routing::any};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep, timeout},
};

use super::{Fault, Flow, Gate, Lag};
use crate::{
    wait::{SOON, until},
    wire::{Message, Reader},
};

type Heard = Arc<Mutex<Vec<String>>>;

/// A server that keeps the bodies in the order of their arrival and answers with them.
async fn server() -> (SocketAddr, Heard) {
    async fn hear(State(heard): State<Heard>, body: String) -> String {
        heard.lock().unwrap().push(body.clone());
        body
    }
    let heard = Heard::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let routes = Router::new().fallback(any(hear)).with_state(heard.clone());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (addr, heard)
}

struct Client(Reader<TcpStream>);

impl Client {
    async fn of(gate: &Gate) -> Self {
        Self(Reader::new(TcpStream::connect(gate.addr).await.unwrap()))
    }

    async fn say(&mut self, body: &str) {
        self.0.stream.write_all(&update(body).bytes).await.unwrap();
    }

    async fn hear(&mut self) -> std::io::Result<Message> {
        timeout(SOON, self.0.answer(&update(""))).await.expect("an answer in time")
    }

    async fn ask(&mut self, body: &str) -> std::io::Result<String> {
        self.say(body).await;
        Ok(String::from_utf8_lossy(self.hear().await?.body()).into_owned())
    }

    async fn is_left_waiting(&mut self) {
        assert!(timeout(Duration::from_millis(100), self.hear()).await.is_err(), "something came back");
    }
}

fn update(body: &str) -> Message {
    let head = "POST / HTTP/1.1\r\nhost: x\r\nx-amz-target: DynamoDB_20120810.UpdateItem\r\n";
    Message::new(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()).unwrap()
}

fn naming(text: &'static str) -> impl FnMut(&Message) -> bool + Send {
    move |request| request.operation() == "UpdateItem" && request.says(text)
}

async fn comes_to(heard: &Heard, wanted: &[&str]) {
    let arrived = until("the requests to arrive", SOON, async || {
        let heard = heard.lock().unwrap();
        ensure!(*heard == wanted, "{heard:?}");
        Ok(())
    });
    arrived.await.unwrap();
}

async fn struck_one(gate: &Gate) {
    let struck = until("a request to meet its fault", SOON, async || {
        ensure!(gate.struck() == 1);
        Ok(())
    });
    struck.await.unwrap();
}

#[tokio::test]
async fn what_is_held_moves_on_when_its_way_opens() {
    let (target, heard) = server().await;
    for gate in [Gate::opened(target).await.unwrap(), Gate::http(target).await.unwrap()] {
        heard.lock().unwrap().clear();
        let mut client = Client::of(&gate).await;
        assert_eq!(client.ask("a").await.unwrap(), "a");
        for (flow, said, arrived) in
            [(Flow::Still, "b", &["a"][..]), (Flow::Deaf, "c", &["a", "b"]), (Flow::Mute, "d", &["a", "b", "c", "d"])]
        {
            gate.flow(flow);
            client.say(said).await;
            client.is_left_waiting().await;
            comes_to(&heard, arrived).await;
            gate.open();
            client.hear().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_deaf_server_is_still_heard() {
    let (target, _) = server().await;
    let gate = Gate::http(target).await.unwrap();
    gate.strike(Fault::Late(Duration::from_millis(100)), naming(""));
    let mut client = Client::of(&gate).await;
    client.say("a").await;
    struck_one(&gate).await;
    gate.flow(Flow::Deaf);
    assert_eq!(client.hear().await.unwrap().body(), b"a");
}

#[tokio::test]
async fn who_gives_up_while_held_was_never_there() {
    let (target, heard) = server().await;
    let gate = Gate::closed(target).await.unwrap();
    let mut gone = Client::of(&gate).await;
    gone.say("gone").await;
    drop(gone);
    let mut client = Client::of(&gate).await;
    client.say("patient").await;
    client.is_left_waiting().await;
    gate.open();
    client.hear().await.unwrap();
    comes_to(&heard, &["patient"]).await;
    assert_eq!(gate.accepted().len(), 2);
}

#[tokio::test]
async fn those_that_stand_can_be_forgotten_or_ended() {
    let (target, _) = server().await;
    let gate = Gate::opened(target).await.unwrap();
    let mut old = Client::of(&gate).await;
    old.ask("a").await.unwrap();
    gate.forget();
    old.say("b").await;
    old.is_left_waiting().await;
    let mut new = Client::of(&gate).await;
    new.ask("c").await.unwrap();
    gate.close();
    assert_eq!(new.0.stream.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_refused_port_comes_back_and_a_reset_is_one() {
    let (target, _) = server().await;
    let gate = Gate::opened(target).await.unwrap();
    for flow in [Flow::Refused, Flow::Reset] {
        let mut standing = Client::of(&gate).await;
        standing.ask("a").await.unwrap();
        gate.flow(flow);
        let error = standing.0.stream.read(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        until("new ones to be turned away", SOON, async || {
            let outcome = async { TcpStream::connect(gate.addr).await?.read(&mut [0]).await };
            let error = outcome.await.expect_err("it was let in").kind();
            let wanted = [std::io::ErrorKind::ConnectionRefused, std::io::ErrorKind::ConnectionReset];
            ensure!(error == wanted[usize::from(flow == Flow::Reset)], "{error}");
            Ok(())
        })
        .await
        .unwrap();
        gate.open();
        until("it to be open again", SOON, async || Ok(TcpStream::connect(gate.addr).await?)).await.unwrap();
        Client::of(&gate).await.ask("b").await.unwrap();
    }
}

#[tokio::test]
async fn a_lag_takes_its_time_each_way_and_limits_no_throughput() {
    let (target, _) = server().await;
    let gate = Gate::opened(target).await.unwrap();
    gate.lag(Lag { delay: Duration::from_millis(50), jitter: Duration::from_millis(20) });
    let mut client = Client::of(&gate).await;
    let long = "x".repeat(1_000_000);
    let start = Instant::now();
    assert_eq!(client.ask(&long).await.unwrap().len(), long.len());
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(100), "{took:?}");
    // A megabyte is sixty chunks or more, each way.
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test]
async fn requests_are_counted_and_can_be_answered_in_the_server_s_place() {
    let (target, heard) = server().await;
    let gate = Gate::http(target).await.unwrap();
    let mut client = Client::of(&gate).await;
    gate.strike(Fault::throttled(), naming("web"));
    gate.strike_once(Fault::broken(), naming(""));
    client.say("web").await;
    let answer = client.hear().await.unwrap();
    assert!(answer.status() == 400 && answer.says("v20120810#ProvisionedThroughputExceededException"));
    client.say("api").await;
    assert_eq!(client.hear().await.unwrap().status(), 500);
    assert_eq!(client.ask("api").await.unwrap(), "api");
    gate.spare();
    assert_eq!(client.ask("web").await.unwrap(), "web");
    comes_to(&heard, &["api", "web"]).await;
    assert_eq!((gate.requests()["UpdateItem"], gate.struck()), (4, 2));
}

#[tokio::test]
async fn a_request_or_its_answer_can_be_lost_or_cut() {
    let (target, heard) = server().await;
    let gate = Gate::http(target).await.unwrap();
    gate.strike(Fault::Lost, naming("lost"));
    gate.strike(Fault::Unanswered, naming("unanswered"));
    gate.strike(Fault::Truncated(12), naming("truncated"));
    for body in ["lost", "unanswered"] {
        let mut client = Client::of(&gate).await;
        client.say(body).await;
        client.is_left_waiting().await;
    }
    let mut client = Client::of(&gate).await;
    client.say("truncated").await;
    let mut half = Vec::new();
    client.0.stream.read_to_end(&mut half).await.unwrap();
    assert_eq!(half, b"HTTP/1.1 200");
    comes_to(&heard, &["unanswered", "truncated"]).await;
}

#[tokio::test]
async fn a_request_can_outlive_its_client_come_twice_and_be_overtaken() {
    let (target, heard) = server().await;
    let gate = Gate::http(target).await.unwrap();
    gate.strike(Fault::Held, naming("held"));
    gate.strike(Fault::Late(Duration::from_millis(100)), naming("late"));
    gate.strike(Fault::Twice(Duration::from_millis(100)), naming("twice"));
    let mut gone = Client::of(&gate).await;
    gone.say("held").await;
    struck_one(&gate).await;
    drop(gone);

    let mut client = Client::of(&gate).await;
    let start = Instant::now();
    assert_eq!(client.ask("late").await.unwrap(), "late");
    assert!(start.elapsed() >= Duration::from_millis(100));
    assert_eq!(client.ask("twice").await.unwrap(), "twice");
    assert_eq!(client.ask("other").await.unwrap(), "other");
    comes_to(&heard, &["late", "twice", "other", "twice"]).await;

    gate.spare();
    sleep(Duration::from_millis(50)).await;
    comes_to(&heard, &["late", "twice", "other", "twice"]).await;
    gate.release();
    comes_to(&heard, &["late", "twice", "other", "twice", "held"]).await;
}
