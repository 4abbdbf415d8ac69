//! What is accepted, and that each mistake names its variable. The command line stands for the environment, which
//! tests of one process share; the program's own tests set variables.

use super::*;

const GOOD: [(&str, &str); 5] = [
    ("--api-url", "http://sds:8080"),
    ("--service", "web"),
    ("--port", "8080"),
    ("--host", "10.0.0.1"),
    ("--check", "http://:8080/health"),
];

/// The good options with some replaced, added or (as `""`) left out.
fn parsed(changes: &[(&str, &str)]) -> Result<Command, Halt> {
    let kept = GOOD.iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    let args =
        kept.chain(changes).filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("{name}={value}"));
    parse(std::iter::once("sds-sidecar".to_owned()).chain(args).map(OsString::from))
}

fn config(changes: &[(&str, &str)]) -> Config {
    match parsed(changes) {
        Ok(Command::Run(config)) => *config,
        other => panic!("{changes:?}: {other:?}"),
    }
}

fn mistake(changes: &[(&str, &str)]) -> String {
    match parsed(changes) {
        Err(Halt::Wrong(error)) => error.to_string(),
        other => panic!("{changes:?}: {other:?}"),
    }
}

#[test]
fn defaults() {
    let config = config(&[]);
    let one = &config.instances[0];
    let seconds = [one.interval, one.timeout, one.thresholds.start_period, config.linger, config.stop_timeout];
    assert_eq!(seconds.map(|duration| duration.as_secs()), [2, 1, 60, 15, 30]);
    assert_eq!((one.thresholds.rise, one.thresholds.fall, one.deregister_after), (2, 3, None));
    assert_eq!((one.weight, one.canary, config.admin.to_string()), (None, false, "127.0.0.1:9902".into()));
    assert_eq!((config.places.interval.as_secs(), config.instances.len()), (10, 1));
}

#[test]
fn everything_said() {
    let config = config(&[
        ("--api-url", "http://a:1, https://b/prefix/"),
        ("--check", "http://:8080/health, tcp://[::1]:8080, tcp://10.0.0.1:8080"),
        ("--interval", "200ms"),
        ("--timeout", "100ms"),
        ("--start-period", "1m"),
        ("--deregister-after", "5m"),
        ("--linger", "1"),
        ("--stop-timeout", "12s"),
        ("--weight", "50"),
        ("--canary", "true"),
        ("--tags", "team=a,empty="),
        ("--container", "app"),
        ("--admin-listen", "[::1]:0"),
        ("--log-format", "json"),
    ]);
    let one = &config.instances[0];
    assert_eq!((config.api.len(), one.checks.len()), (2, 3));
    assert_eq!(
        (one.interval.as_millis(), config.linger.as_secs(), one.thresholds.start_period.as_secs()),
        (200, 1, 60)
    );
    assert_eq!(one.wants.tags.iter().collect::<Vec<_>>(), [("empty", ""), ("team", "a")]);
    assert_eq!(
        (one.deregister_after.map(|after| after.as_secs()), one.wants.container.as_deref()),
        (Some(300), Some("app"))
    );
    assert!(one.canary && config.log.json);
}

#[test]
fn each_mistake_names_its_variable() {
    let long = "x".repeat(65);
    let cases: [(&[(&str, &str)], &str); 48] = [
        (&[("--api-url", "")], "SDS_API_URL: is required"),
        (&[("--service", "")], "SDS_SERVICE: is required"),
        (&[("--port", "")], "SDS_PORT: is required"),
        (&[("--check", "")], "SDS_CHECK: is required"),
        (&[("--api-url", "sds:8080")], "SDS_API_URL: 'sds:8080': is not a URL of http or https"),
        (&[("--api-url", "http://a,")], "SDS_API_URL: is not a URL, as in"),
        (&[("--api-url", "http://user:secret@a")], "SDS_API_URL: "),
        (&[("--api-ca", "/no/such/file")], "SDS_API_CA: is of no use, no URL in SDS_API_URL is https"),
        (&[("--api-url", "https://a"), ("--api-ca", "/no/such/file")], "SDS_API_CA: is no PEM text, and as a file: No"),
        (&[("--api-url", "https://a"), ("--api-cert", "x")], "SDS_API_KEY: is required with SDS_API_CERT"),
        (&[("--service", "a/b")], "SDS_SERVICE: 'a/b' is not a service name"),
        (&[("--service", "repo")], "SDS_SERVICE: "),
        (&[("--port", "0")], "SDS_PORT: 0 is not a port"),
        (&[("--port", "65536")], "SDS_PORT: "),
        (&[("--port", "http")], "SDS_PORT: "),
        (&[("--port", "9902")], "SDS_PORT: 9902 is the sidecar's own port"),
        (&[("--host", "app.local")], "SDS_HOST: "),
        (&[("--host", "010.0.0.1")], "SDS_HOST: "),
        (&[("--host", "169.254.1.1")], "SDS_HOST: "),
        (&[("--host", "0.0.0.0")], "SDS_HOST: "),
        (&[("--check", "ftp://:21/")], "SDS_CHECK: 'ftp://:21/': is not a check, as in http://:8080/health"),
        (&[("--check", "http://:9902/livez")], "SDS_CHECK: http://:9902/livez is the sidecar's own port"),
        (&[("--check", "http://10.0.0.2:80/")], "SDS_CHECK: http://10.0.0.2:80/ is not in this task"),
        (&[("--check", "tcp://example.com:80")], "SDS_CHECK: "),
        (&[("--interval", "0")], "SDS_INTERVAL: must be longer than 0"),
        (&[("--interval", "2 s")], "SDS_INTERVAL: '2 s' is not a duration"),
        (&[("--interval", "-1s")], "SDS_INTERVAL: '-1s' is not a duration"),
        (&[("--interval", "1000h")], "SDS_INTERVAL: '1000h' is longer than a day"),
        (&[("--timeout", "2s")], "SDS_TIMEOUT: 2s must be longer than 0 and shorter than the interval, 2s"),
        (&[("--timeout", "0")], "SDS_TIMEOUT: "),
        (&[("--rise", "0")], "SDS_RISE: "),
        (&[("--fall", "0")], "SDS_FALL: "),
        (
            &[("--linger", "21s")],
            "SDS_LINGER: 21s and 10s for the calls around it are longer than SDS_STOP_TIMEOUT, 30s",
        ),
        (&[("--rise", "1001")], "SDS_RISE: 1001 is not a number from 1 to 1000"),
        (&[("--deregister-after", "soon")], "SDS_DEREGISTER_AFTER: "),
        (&[("--metadata-interval", "0")], "SDS_METADATA_INTERVAL: must be longer than 0"),
        (&[("--config", "{}")], "SDS_CONFIG: is set together with SDS_SERVICE: one of them"),
        (&[("--config-file", "x")], "SDS_CONFIG_FILE: is set together with SDS_SERVICE: one of them"),
        (&[("--config", "{}"), ("--config-file", "x")], "SDS_CONFIG: is set together with SDS_CONFIG_FILE"),
        (&[("--weight", "0")], "SDS_WEIGHT: 0 is not a weight"),
        (&[("--weight", "1.5")], "SDS_WEIGHT: "),
        (&[("--canary", "yes")], "SDS_CANARY: 'yes' is not one of true, false"),
        (&[("--az", &long)], "SDS_AZ: "),
        (&[("--tags", "a")], "SDS_TAGS: 'a': is not k=v,k=v"),
        (&[("--tags", "az=b")], "SDS_TAGS: "),
        (&[("--admin-listen", "0.0.0.0:9902")], "SDS_ADMIN_LISTEN: '0.0.0.0:9902': is not a loopback address"),
        (&[("--log", "a=b=c")], "SDS_LOG: "),
        (&[("--no-such", "x")], "sds-sidecar: unexpected argument '--no-such' found"),
    ];
    for (changes, expected) in cases {
        let line = mistake(changes);
        assert!(line.starts_with(expected), "{changes:?}: {line}");
        assert!(!line.contains('\n') && line.len() < 300, "{line}");
    }
}

/// Leaves the single service's options out.
const NONE: [(&str, &str); 3] = [("--service", ""), ("--port", ""), ("--check", "")];

#[test]
fn several_services_of_one_task() {
    let json = r#"{"services":[
        {"service":"web","port":8080,"check":["http://:8080/health"],"weight":7,"canary":true,"tags":{"a":"b"}},
        {"service":"grpc","port":50051,"check":["tcp://:50051"],"container":"worker","interval":"4s","timeout":2.5,
         "rise":4,"fall":1,"start_period":0,"deregister_after":"1h","revision":"r1"}]}"#;
    let config = config(&[&NONE[..], &[("--config", json)]].concat());
    let [web, grpc] = &config.instances[..] else { panic!("{config:?}") };
    assert_eq!((web.service.as_str(), web.wants.port, web.interval.as_secs()), ("web", 8080, 2), "the same defaults");
    assert_eq!((web.weight.map(Weight::get), web.canary, web.wants.tags.iter().count()), (Some(7), true, 1));
    let spans = [grpc.interval, grpc.timeout, grpc.thresholds.start_period, grpc.deregister_after.unwrap_or_default()];
    assert_eq!(spans.map(|span| span.as_millis()), [4_000, 2_500, 0, 3_600_000]);
    assert_eq!((grpc.thresholds.rise, grpc.thresholds.fall, grpc.wants.container.as_deref()), (4, 1, Some("worker")));
}

#[test]
fn each_mistake_in_the_json_names_its_place() {
    let one = |more: &str| format!(r#"{{"services":[{{"service":"web","port":80,"check":["tcp://:80"],{more}}}]}}"#);
    let twice = r#"{"services":[{"service":"a","port":80,"check":["tcp://:80"]},{"service":"a","port":80,"check":["tcp://:80"]}]}"#;
    for (json, expected) in [
        ("x".to_owned(), "is not a JSON object"),
        ("[]".to_owned(), "is not a JSON object"),
        ("null".to_owned(), "is not a JSON object"),
        ("{".to_owned(), "EOF while parsing"),
        ("{} {}".to_owned(), "missing field `services`"),
        (r#"{"services":[]}"#.to_owned(), "services: at least one is required"),
        (r#"{"services":[{}]}"#.to_owned(), "services[0].service: is required"),
        (r#"{"services":[{"service":"web"}]}"#.to_owned(), "services[0].port: is required"),
        (r#"{"services":[{"service":"web","port":80}]}"#.to_owned(), "services[0].check: is required"),
        (one(r#""wieght":1"#), "services[0].wieght: unknown field `wieght`"),
        (one(r#""weight":0"#), "services[0].weight: 0 is not a weight"),
        (one(r#""weight":"1""#), "services[0].weight: invalid type"),
        (one(r#""interval":"2 s""#), "services[0].interval: '2 s' is not a duration"),
        (one(r#""interval":-1"#), "services[0].interval: '-1' is not a duration"),
        (one(r#""timeout":"2s""#), "services[0].timeout: 2s must be longer than 0 and shorter than the interval"),
        (one(r#""rise":0"#), "services[0].rise: 0 is not a number from 1 to 1000"),
        (one(r#""tags":{"az":"b"}"#), "services[0].tags: the tag 'az' has a field of its own"),
        (one(r#""canary":"yes""#), "services[0].canary: invalid type"),
        (one(r#""rise":1,"rise":2"#), "services[0]: duplicate field `rise`"),
        (one("").replace(",}", "}").replace("web", "a/b"), "services[0].service: 'a/b' is not a service name"),
        (one("").replace(",}", "}").replace("tcp://:80", "ftp://:80"), "services[0].check[0]: "),
        (
            one("").replace(",}", "}").replace("tcp://:80", "tcp://10.9.9.9:80"),
            "services[0].check: tcp://10.9.9.9:80 is not in",
        ),
        (one("").replace(",}", "}").replace(":80,", ":9902,"), "services[0].port: 9902 is the sidecar's own port"),
        (one("").replace(",}", "}").replace(":80,", ":0,"), "services[0].port: 0 is not a port"),
        (twice.to_owned(), "services[1].service: a with port 80 is there twice"),
    ] {
        let line = mistake(&[&NONE[..], &[("--config", &json)]].concat());
        assert!(line.starts_with(&format!("SDS_CONFIG: {expected}")), "{json}: {line}");
    }
    let gone = mistake(&[&NONE[..], &[("--config-file", "/nonexistent.json")]].concat());
    assert!(gone.starts_with("SDS_CONFIG_FILE: /nonexistent.json: "), "{gone}");
}

#[test]
fn no_mistake_repeats_a_password() {
    let check = |check: &str| format!(r#"{{"services":[{{"service":"web","port":80,"check":[{check}]}}]}}"#);
    let (url, headers) =
        (check(r#""http://me:hunter2@:80/""#), check(r#"{"url":"http://:80","headers":"a: hunter2"}"#));
    let json = |text| [&NONE[..], &[("--config", text)]].concat();
    for changes in [
        vec![("--api-url", "http://me:hunter2@sds:80")],
        vec![("--api-url", "http://a,http://me:hunter2@sds:80")],
        vec![("--check", "http://me:hunter2@:80/")],
        vec![("--check", "htp://me:hunter2@:80/")],
        vec![("--ecs-container-metadata-uri-v4", "http://me:hunter2@ecs/")],
        json(&url),
        json(&headers),
    ] {
        let line = mistake(&changes);
        assert!(!line.contains("hunter2"), "{line}");
    }
}

/// What editors and reviewers get is what the program reads.
#[test]
fn the_published_schema_is_that_of_the_types() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config.schema.json");
    let schema = schemars::schema_for!(file::File);
    let generated = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    if !std::path::Path::new(path).exists() {
        std::fs::write(path, &generated).unwrap();
    }
    let published = std::fs::read_to_string(path).unwrap();
    assert!(published == generated, "the types have changed: remove {path} and run this test again");
}

#[test]
fn healthcheck_needs_only_an_address() {
    let ask = |args: &[&str]| parse(args.iter().map(OsString::from));
    let asked = ask(&["sds-sidecar", "healthcheck", "--admin-listen", "127.0.0.1:1234"]);
    assert!(matches!(asked, Ok(Command::Healthcheck(address)) if address.port() == 1234));
    assert!(
        matches!(ask(&["sds-sidecar", "healthcheck"]), Ok(Command::Healthcheck(address)) if address.port() == 9902)
    );
    let nowhere = ask(&["sds-sidecar", "healthcheck", "--admin-listen", "127.0.0.1:0"]);
    assert!(matches!(nowhere, Err(Halt::Wrong(_))));
    let envoy = ask(&["sds-sidecar", "wait", "--for", "envoy", "--wait-timeout", "3"]);
    assert!(
        matches!(envoy, Ok(Command::Wait(Awaited::Envoy, at, timeout)) if at.port() == 9901 && timeout.as_secs() == 3)
    );
    let registered = ask(&["sds-sidecar", "wait", "--for", "registered"]);
    assert!(matches!(registered, Ok(Command::Wait(Awaited::Registered, at, _)) if at.port() == 9902));
    for (args, expected) in [
        (&["--for", "godot"][..], "--for: 'godot' is not one of registered, envoy"),
        (&[], "--for: is required"),
        (&["--for=envoy", "--wait-timeout=x"], "SDS_WAIT_TIMEOUT: 'x' is not a duration"),
        (&["--for=envoy", "--envoy-admin=0.0.0.0:9"], "SDS_ENVOY_ADMIN: '0.0.0.0:9': is not a loopback address"),
    ] {
        let Err(Halt::Wrong(wrong)) = ask(&[&["sds-sidecar", "wait"], args].concat()) else { panic!("{args:?}") };
        assert!(wrong.to_string().starts_with(expected), "{wrong}");
    }
}

#[test]
fn help_is_the_reference() {
    let Err(Halt::Shown(help)) = parse(["sds-sidecar", "--help"].map(OsString::from)) else { panic!("no help") };
    insta::assert_snapshot!(help);
}

#[test]
fn the_readmes_example_is_one() {
    let readme = include_str!("../../README.md");
    let start = readme.find("{\"services\":").expect("an example");
    let json = readme[start..].split("```").next().unwrap();
    let metadata = ("--ecs-container-metadata-uri-v4", "http://169.254.170.2/v4/id");
    let config = config(&[&NONE[..], &[("--config", json), metadata]].concat());
    assert_eq!((config.instances.len(), config.places.interval.as_secs()), (2, 5), "as often as the ecs:// check asks");
}

#[test]
fn the_readme_names_every_option_and_its_default() {
    let readme = include_str!("../../README.md");
    let command = <options::Options as clap::CommandFactory>::command();
    for arg in command.get_arguments().chain(command.get_subcommands().flat_map(clap::Command::get_arguments)) {
        let Some(name) = arg.get_env().map(|name| name.to_string_lossy()) else { continue };
        let mut lines = readme.lines().filter(|line| line.contains(&format!("`{name}`")));
        let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        let told = lines.any(|line| defaults.iter().all(|default| line.contains(&format!("`{default}`"))));
        assert!(told, "{name}, by default {defaults:?}");
    }
}

#[test]
fn credentials_matter_only_where_a_role_is_proven() {
    let audience = ("--api-audience", "sds.test");
    let near = ("--aws-container-credentials-full-uri", "http://127.0.0.1:1/x");
    let far = ("--aws-container-credentials-full-uri", "http://credentials.example/");
    let path = ("--aws-container-credentials-relative-uri", "/v2/1");
    let key =
        [("--aws-access-key-id", "ASIA"), ("--aws-secret-access-key", "s3cret"), ("--aws-session-token", "t0ken")];
    let source = |more: &[(&str, &str)]| format!("{:?}", config(&[&[audience], more].concat()).credentials);
    assert_eq!(source(&[]), "Nowhere");
    assert_eq!(source(&key), "Given(***, ***, ***)");
    assert_eq!(source(&key[..2]), "Nowhere");
    assert!(source(&[key[0], key[1], key[2], near]).contains("127.0.0.1"), "the endpoint comes first");
    let token = ("--aws-container-authorization-token", "s3cret");
    assert!(source(&[near, token]).contains("Text(***)"));
    let relative = source(&[near, path, token]);
    assert!(relative.contains("169.254.170.2") && relative.ends_with("None)"), "{relative}");
    assert!(matches!(config(&[far]).credentials, Source::Nowhere), "it is nothing to who proves nothing");
    assert!(mistake(&[audience, far]).starts_with("AWS_CONTAINER_CREDENTIALS_FULL_URI: is http"));
    assert!(mistake(&[audience, (path.0, "v2")]).starts_with("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: is not a path"));
    assert!(mistake(&[("--api-audience", "a b")]).starts_with("SDS_API_AUDIENCE: "));
    assert!(mistake(&[audience, ("--api-token", "s3cret")]).starts_with("SDS_API_TOKEN: is set together with"));
    let mistake = mistake(&[("--api-token", "s3 cret")]);
    assert!(mistake.starts_with("SDS_API_TOKEN: is not one word") && !mistake.contains("cret"), "{mistake}");
    let shows = config(&[("--api-token", "s3cret")]).shows;
    assert_eq!((shows.clone(), format!("{shows:?}")), (Shows::Token(Secret::new("s3cret")), "Token(***)".to_owned()));
}
