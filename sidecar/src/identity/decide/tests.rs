//! Documents as the endpoint sends them, one table per question.

use super::*;

const FARGATE: &str = r#"{"Cluster":"prod","TaskARN":"arn:aws:ecs:ap-northeast-1:111122223333:task/prod/0a1b2c",
    "Family":"web","Revision":"42","DesiredStatus":"RUNNING","KnownStatus":"RUNNING","LaunchType":"FARGATE",
    "AvailabilityZone":"ap-northeast-1c","NewKey":{"x":[1]},"Containers":[
    {"Name":"app","Type":"NORMAL","Image":"1.dkr.ecr.amazonaws.com/shop/web:v7","KnownStatus":"RUNNING",
     "Labels":{"tier":"web","com.amazonaws.ecs.container-name":"app"},
     "Networks":[{"NetworkMode":"awsvpc","IPv4Addresses":["10.0.3.7"]}]},
    {"Name":"sds","Type":"NORMAL","Networks":[{"NetworkMode":"awsvpc","IPv4Addresses":["10.0.3.7"]}]}]}"#;

fn host() -> Host {
    Host { ip: Some([10, 0, 0, 9].into()), region: "us-east-1".into(), zone: "us-east-1b".into(), id: "i-0abc".into() }
}

fn documents(task: &str) -> Documents {
    let task = serde_json::from_str(task).unwrap();
    Documents { own: Some("sds".into()), task: Some(Arc::new(task)), host: Some(host()) }
}

fn wants(port: u16) -> Wants {
    Wants { port, ..Wants::default() }
}

/// `endpoint checks-go-to region zone revision id`, or the gap.
fn told(decided: Result<Seen, Gap>) -> String {
    match decided {
        Ok(Seen { identity: Identity { endpoint, app, locality, revision, instance_id, .. }, .. }) => {
            let text = format!("{endpoint} {app} {} {} {revision} {instance_id}", locality.region, locality.zone);
            text.trim_end().to_owned()
        }
        Err(gap) => gap.to_string(),
    }
}

/// A task of our own container and an app with these keys.
fn with_app(app: &str) -> String {
    format!(r#"{{"AvailabilityZone":"us-east-1a","Containers":[{{"Name":"sds"}},{{"Name":"app",{app}}}]}}"#)
}

#[test]
fn one_rule_per_network_mode() {
    let bridge = |ports: &str| {
        with_app(&format!(r#""Networks":[{{"NetworkMode":"bridge","IPv4Addresses":["172.17.0.2"]}}],"Ports":{ports}"#))
    };
    let awsvpc = |addresses: &str| with_app(&format!(r#""Networks":[{{"NetworkMode":"awsvpc",{addresses}}}]"#));
    let two_rows = r#"[{"ContainerPort":8080,"Protocol":"tcp","HostPort":49154,"HostIp":"::"},
        {"ContainerPort":9,"Protocol":"tcp","HostPort":49150,"HostIp":"0.0.0.0"},
        {"ContainerPort":8080,"Protocol":"udp","HostPort":49151,"HostIp":"0.0.0.0"},
        {"ContainerPort":8080,"Protocol":"tcp","HostPort":49153,"HostIp":"0.0.0.0"}]"#;
    for (document, expected) in [
        (FARGATE.to_owned(), "10.0.3.7:8080 127.0.0.1 ap-northeast-1 ap-northeast-1c v7 0a1b2c"),
        (
            awsvpc(r#""IPv4Addresses":["10.1.1.1"],"IPv6Addresses":["2001:db8::7"]"#),
            "10.1.1.1:8080 127.0.0.1 us-east-1 us-east-1a",
        ),
        (
            awsvpc(r#""IPv4Addresses":[],"IPv6Addresses":["2001:db8::7"]"#),
            "[2001:db8::7]:8080 127.0.0.1 us-east-1 us-east-1a",
        ),
        (awsvpc(r#""IPv4Addresses":["169.254.170.2"]"#), "169.254.170.2 is link-local, no client could connect to it"),
        (awsvpc(r#""IPv4Addresses":[""]"#), "the app's container has no address yet"),
        (bridge(two_rows), "10.0.0.9:49153 172.17.0.2 us-east-1 us-east-1a"),
        (
            bridge(r#"[{"ContainerPort":8080,"HostPort":49154,"HostIp":"::"}]"#),
            "10.0.0.9:49154 172.17.0.2 us-east-1 us-east-1a",
        ),
        (bridge("null"), "SDS_PORT: the host maps no port to the container's 8080 yet"),
        (
            bridge(r#"[{"ContainerPort":8080,"HostPort":0}]"#),
            "SDS_PORT: the host maps no port to the container's 8080 yet",
        ),
        (
            bridge(r#"[{"ContainerPort":80,"HostPort":8080}]"#),
            "SDS_PORT: the host maps no port to the container's 8080 yet",
        ),
        (
            with_app(r#""Networks":[{"NetworkMode":"host","IPv4Addresses":[""]}]"#),
            "10.0.0.9:8080 127.0.0.1 us-east-1 us-east-1a",
        ),
    ] {
        assert_eq!(told(decide(&Given::default(), &wants(8080), &documents(&document))), expected, "{document}");
    }
}

#[test]
fn early_in_its_life_a_task_knows_little() {
    let nobody = "there is no container besides the sidecar's yet";
    for (document, expected) in [
        ("{}", nobody),
        (r#"{"Containers":null}"#, nobody),
        (r#"{"Containers":[{"Name":"sds"},{"Name":"~internal~ecs~pause","Type":"CNI_PAUSE"}]}"#, nobody),
        (r#"{"Containers":[{"Name":"app"}]}"#, "the app's container has no network yet"),
        (r#"{"Containers":[{"Name":"app","Networks":null}]}"#, "the app's container has no network yet"),
        (
            r#"{"Containers":[{"Name":"app","Networks":[{"NetworkMode":"awsvpc"}]}]}"#,
            "the app's container has no address yet",
        ),
    ] {
        assert_eq!(told(decide(&Given::default(), &wants(80), &documents(document))), expected, "{document}");
    }
    let stranger = Documents { own: None, ..documents(FARGATE) };
    assert_eq!(
        told(decide(&Given::default(), &wants(80), &stranger)),
        "the name of the sidecar's own container is not known yet"
    );
    let bridge = with_app(r#""Networks":[{"NetworkMode":"bridge","IPv4Addresses":["172.17.0.2"]}]"#);
    let homeless = Documents { host: None, ..documents(&bridge) };
    assert_eq!(decide(&Given::default(), &wants(80), &homeless), Err(Gap::Host));
}

#[test]
fn which_container_is_the_app() {
    let network = r#""Networks":[{"NetworkMode":"bridge","IPv4Addresses":["172.17.0.2"]}]"#;
    let port = |host: u16| format!(r#""Ports":[{{"ContainerPort":80,"HostPort":{host}}}]"#);
    let task = |app: &str, log: &str, status: &str| {
        format!(
            r#"{{"Containers":[{{"Name":"sds"}},{{"Name":"app","KnownStatus":"{status}",{network},{app}}},
            {{"Name":"log","KnownStatus":"RUNNING",{network},{log}}}]}}"#
        )
    };
    let none = r#""Ports":null"#.to_owned();
    let wrong = "is required: which of app, log is the app?";
    for (document, expected) in [
        (task(&port(1), &none, "RUNNING"), "10.0.0.9:1 172.17.0.2  us-east-1b"),
        (task(&none, &port(2), "RUNNING"), "10.0.0.9:2 172.17.0.2  us-east-1b"),
        (task(&none, &none, "PULLED"), "not all containers of the task run yet"),
        (task(&none, &none, "RUNNING"), wrong),
        // One that has stopped, as a migration does that ran first, will never publish anything.
        (task(&none, &none, "STOPPED"), wrong),
        (task(&port(1), &port(2), "PULLED"), wrong),
    ] {
        let told = told(decide(&Given::default(), &wants(80), &documents(&document)));
        assert_eq!(told.replace(" us-east-1 ", "  "), expected, "{document}");
    }
    let named = |name: &str| Wants { container: Some(name.into()), ..wants(80) };
    let both = documents(&task(&port(1), &port(2), "RUNNING"));
    assert_eq!(decide(&Given::default(), &named("log"), &both).unwrap().identity.endpoint.port(), 2);
    let missing = decide(&Given::default(), &named("web"), &both);
    assert_eq!(
        told(missing),
        "SDS_CONTAINER: there is no container 'web' among sds, app, log yet",
        "it may come: a container is listed once it is made"
    );
}

#[test]
fn what_is_given_wins() {
    let given = Given {
        host: Some("192.0.2.1".parse().unwrap()),
        region: Some(Label::parse("region", "mars").unwrap()),
        zone: Some(Label::parse("az", "mars-1").unwrap()),
    };
    let wants = Wants { revision: Some(Label::parse("revision", "r7").unwrap()), ..wants(80) };
    assert_eq!(told(decide(&given, &wants, &documents(FARGATE))), "192.0.2.1:80 127.0.0.1 mars mars-1 r7 0a1b2c");
    let by_hand = decide(&given, &wants, &Documents::default());
    assert_eq!(told(by_hand), "192.0.2.1:80 127.0.0.1 mars mars-1 r7");
    // Without a task the host is all there is: a plain EC2 instance.
    let ec2 = Documents { host: Some(host()), ..Documents::default() };
    assert_eq!(told(decide(&Given::default(), &wants, &ec2)), "10.0.0.9:80 127.0.0.1 us-east-1 us-east-1b r7 i-0abc");
    assert_eq!(decide(&Given::default(), &wants, &Documents::default()), Err(Gap::Host));
}

#[test]
fn the_host_is_asked_only_where_it_is_needed() {
    let asks = |given: &Given, task: Option<&str>| {
        needs_host(given, task.map(|task| serde_json::from_str(task).unwrap()).as_ref())
    };
    let given = Given { host: Some([10, 0, 0, 1].into()), ..Given::default() };
    let bridge = with_app(r#""Networks":[{"NetworkMode":"bridge"}]"#);
    for (task, needed) in [(None, true), (Some(FARGATE), false), (Some("{}"), false), (Some(bridge.as_str()), true)] {
        assert_eq!((asks(&Given::default(), task), asks(&given, task)), (needed, false), "{task:?}");
    }
}

#[test]
fn revision_tags_and_death() {
    let revision = |image: &str| {
        let task = with_app(&format!(
            r#""Image":"{image}","KnownStatus":"STOPPED","Labels":{{"tier":"web"}},
            "Networks":[{{"NetworkMode":"awsvpc","IPv4Addresses":["10.1.1.1"]}}]"#
        ));
        let task = task.replacen('{', r#"{"Family":"web","Revision":"42","#, 1);
        decide(&Given::default(), &wants(80), &documents(&task)).unwrap()
    };
    for (image, expected) in [
        ("web:v7", "v7"),
        ("registry:5000/shop/web:v7@sha256:00", "v7"),
        ("registry:5000/shop/web", "web:42"),
        ("web:latest", "web:42"),
        ("web:latest-7", "latest-7"),
        ("web@sha256:00", "web:42"),
        ("", "web:42"),
    ] {
        assert_eq!(revision(image).identity.revision.as_str(), expected, "{image}");
    }
    let seen = revision("web:v7");
    assert!(seen.app_dead && seen.identity.tags.iter().eq([("tier", "web")]));
    let long = with_app(r#""Networks":[{"NetworkMode":"awsvpc","IPv4Addresses":["10.1.1.1"]}]"#);
    let long = documents(&long.replace("us-east-1a", &"x".repeat(65)));
    assert_eq!(told(decide(&Given::default(), &wants(80), &long)), "10.1.1.1:80 127.0.0.1", "too long is left out");
}
