//! The loop against a metadata endpoint that answers as the test says, in every way that it can go wrong.

use std::sync::Mutex;

use super::*;
use crate::stand_in::{Reply, StandIn, say};

const TASK: &str = r#"{"DesiredStatus":"RUNNING","Containers":[{"Name":"sds"},{"Name":"app","KnownStatus":"RUNNING",
    "Networks":[{"NetworkMode":"awsvpc","IPv4Addresses":["10.0.0.1"]}]}]}"#;

struct Running {
    ecs: StandIn,
    document: Arc<Mutex<Reply>>,
    sight: watch::Receiver<Option<Arc<Sight>>>,
    look: Arc<Notify>,
}

fn watcher(
    places: Places,
    given: Given,
    wants: Vec<Wants>,
) -> (watch::Receiver<Option<Arc<Sight>>>, Arc<Notify>, Watcher) {
    let ((sender, sight), look) = (watch::channel(None), Arc::new(Notify::new()));
    let watcher = Watcher::new(places, given, wants, sender, Arc::clone(&look)).unwrap();
    (sight, look, watcher)
}

fn one() -> Vec<Wants> {
    vec![Wants { port: 80, ..Wants::default() }]
}

/// A watcher that looks every `interval`.
async fn running(document: Reply, interval: Duration) -> Running {
    running_for(document, interval, Given::default(), one()).await
}

async fn running_for(document: Reply, interval: Duration, given: Given, wants: Vec<Wants>) -> Running {
    let document = Arc::new(Mutex::new(document));
    let served = Arc::clone(&document);
    let ecs = StandIn::start(move |_, heard| match heard.line.as_str() {
        "GET /v4/id/task" => served.lock().unwrap().clone(),
        "GET /v4/id" => say(200, r#"{"Name":"sds"}"#),
        _ => say(404, ""),
    });
    let ecs = ecs.await;
    let metadata = Some(format!("http://{}/v4/id", ecs.address).parse().unwrap());
    let (sight, look, watcher) = watcher(Places { metadata, file: None, imds: None, interval }, given, wants);
    tokio::spawn(watcher.run());
    Running { ecs, document, sight, look }
}

impl Running {
    fn answer(&self, reply: Reply) {
        *self.document.lock().unwrap() = reply;
    }

    async fn until(&mut self, what: impl FnMut(&Sight) -> bool) {
        let mut what = what;
        let seen = self.sight.wait_for(|sight| sight.as_ref().is_some_and(|sight| what(sight)));
        tokio::time::timeout(Duration::from_secs(10), seen).await.expect("seen within 10 s").unwrap();
    }

    /// Two more looks, so that what the endpoint says now was seen.
    async fn looked(&mut self) {
        self.ecs.rest();
        for _ in 0..2 {
            self.ecs.next().await;
        }
    }
}

const QUICK: Duration = Duration::from_millis(20);

#[tokio::test]
async fn whatever_goes_wrong_is_asked_again_and_takes_nothing_away() {
    let bad = [
        say(429, ""),
        say(500, ""),
        say(404, ""),
        say(200, "<html>"),
        say(200, "[]"),
        say(200, "{}"),
        say(200, r#"{"Containers":{}}"#),
        say(200, &" ".repeat(10 << 20)),
        Reply::Say(302, Some(("location", "/v4/id")), String::new()),
    ];
    let mut running = running(bad[0].clone(), QUICK).await;
    for reply in &bad {
        running.answer(reply.clone());
        running.looked().await;
        assert!(running.sight.borrow().is_none());
    }
    running.answer(say(200, TASK));
    running.until(|sight| sight.instances[0].identity.endpoint.to_string() == "10.0.0.1:80").await;
    for reply in &bad {
        running.answer(reply.clone());
        running.looked().await;
        let sight = running.sight.borrow().clone().unwrap();
        assert_eq!(sight.instances[0].identity.endpoint.to_string(), "10.0.0.1:80");
    }
    // ECS's wish is news, also in a document that no longer tells who the instance is.
    running.answer(say(200, r#"{"DesiredStatus":"STOPPED","Containers":[]}"#));
    running.until(|sight| sight.stopping && sight.instances.len() == 1).await;
}

#[tokio::test]
async fn a_look_can_be_asked_for_but_not_more_than_once_a_second() {
    let mut running = running(say(200, TASK), Duration::from_secs(3600)).await;
    running.until(|_| true).await;
    running.answer(say(200, &TASK.replace("RUNNING", "STOPPED")));
    let began = Instant::now();
    let asking = async {
        loop {
            running.look.notify_one();
            sleep(QUICK).await;
        }
    };
    let mut sight = running.sight.clone();
    let seen =
        sight.wait_for(|sight| sight.as_ref().is_some_and(|sight| sight.stopping && sight.instances[0].app_dead));
    tokio::select! {
        () = asking => {}
        seen = tokio::time::timeout(Duration::from_secs(10), seen) => drop(seen.expect("within 10 s").unwrap()),
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(running.ecs.rest().len() <= 4, "our own container, the task, and one look a second");
}

#[tokio::test]
async fn the_host_is_asked_in_bridge_mode_and_outside_of_ecs() {
    let host = |_: usize, heard: &crate::stand_in::Heard| match heard.line.as_str() {
        "PUT /latest/api/token" => say(200, "t"),
        _ => say(200, r#"{"privateIp":"10.1.2.3","availabilityZone":"eu-west-1a"}"#),
    };
    let imds = StandIn::start(host).await;
    let url: Url = format!("http://{}", imds.address).parse().unwrap();
    let places = Places { metadata: None, file: None, imds: Some(url.clone()), interval: QUICK };
    let (mut sight, _, alone) = watcher(places, Given::default(), one());
    tokio::spawn(alone.run());
    let seen = tokio::time::timeout(Duration::from_secs(10), sight.wait_for(Option::is_some)).await.unwrap().unwrap();
    assert_eq!(seen.as_ref().unwrap().instances[0].identity.endpoint.to_string(), "10.1.2.3:80");
}

#[tokio::test]
async fn what_no_document_can_mend_ends_it() {
    let two = TASK.replace("\"sds\"},", "\"sds\"},{\"Name\":\"log\",\"KnownStatus\":\"RUNNING\"},");
    let ecs = StandIn::start(move |_, heard| match heard.line.ends_with("task") {
        true => say(200, &two),
        false => say(200, r#"{"Name":"sds"}"#),
    });
    let metadata = Some(format!("http://{}/v4/id", ecs.await.address).parse().unwrap());
    let (_sight, _, watcher) =
        watcher(Places { metadata, file: None, imds: None, interval: QUICK }, Given::default(), one());
    let wrong = tokio::time::timeout(Duration::from_secs(10), watcher.run()).await.expect("an end");
    assert_eq!(wrong, (0, "is required: which of log, app is the app?".to_owned()));
}

/// A container that has stopped may have lost its address and its ports; the other one's news are news all the same.
#[tokio::test]
async fn who_is_dead_need_not_have_an_address() {
    let container = |name: &str, status: &str, ip: &str, port: u16| {
        format!(
            r#"{{"Name":"{name}","KnownStatus":"{status}","Networks":[{{"NetworkMode":"bridge","IPv4Addresses":["{ip}"]}}],
            "Ports":[{{"ContainerPort":80,"HostPort":{port}}}]}}"#
        )
    };
    let task = |containers: &[String]| say(200, &format!(r#"{{"Containers":[{}]}}"#, containers.join(",")));
    let wants = |name: &str| Wants { port: 80, container: Some(name.to_owned()), ..Wants::default() };
    let given = Given { host: Some([10, 0, 0, 1].into()), ..Given::default() };
    let both = [container("a", "RUNNING", "172.17.0.2", 1), container("b", "RUNNING", "172.17.0.3", 2)];
    let mut running = running_for(task(&both), QUICK, given, vec![wants("a"), wants("b")]).await;
    let told = |sight: &Sight| {
        let told = |seen: &Seen| (seen.identity.endpoint.port(), seen.app_dead);
        sight.instances.iter().map(told).collect::<Vec<_>>()
    };
    running.until(|sight| told(sight) == [(1, false), (2, false)]).await;
    running.answer(task(&[container("a", "STOPPED", "", 0), container("b", "RUNNING", "172.17.0.3", 3)]));
    running.until(|sight| told(sight) == [(1, true), (3, false)]).await;
    // Not listed is not known.
    running.answer(task(&[container("b", "RUNNING", "172.17.0.3", 4)]));
    running.until(|sight| told(sight) == [(1, true), (4, false)]).await;
    running.answer(task(&both));
    running.until(|sight| told(sight) == [(1, false), (2, false)]).await;
}
