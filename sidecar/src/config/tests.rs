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
    let seconds = [config.interval, config.timeout, config.thresholds.start_period, config.linger, config.stop_timeout];
    assert_eq!(seconds.map(|duration| duration.as_secs()), [2, 1, 60, 15, 30]);
    assert_eq!((config.thresholds.rise, config.thresholds.fall), (2, 3));
    assert_eq!((config.weight, config.canary, config.admin.to_string()), (None, false, "127.0.0.1:9902".into()));
}

#[test]
fn everything_said() {
    let config = config(&[
        ("--api-url", "http://a:1,https://b/prefix/"),
        ("--check", "http://:8080/health,tcp://[::1]:8080,tcp://10.0.0.1:8080"),
        ("--interval", "200ms"),
        ("--timeout", "100ms"),
        ("--start-period", "1m"),
        ("--linger", "1"),
        ("--stop-timeout", "12s"),
        ("--weight", "50"),
        ("--canary", "true"),
        ("--tags", "team=a,empty="),
        ("--admin-listen", "[::1]:0"),
        ("--log-format", "json"),
    ]);
    assert_eq!((config.api.len(), config.checks.len()), (2, 3));
    assert_eq!(
        (config.interval.as_millis(), config.linger.as_secs(), config.thresholds.start_period.as_secs()),
        (200, 1, 60)
    );
    assert_eq!(config.tags.iter().collect::<Vec<_>>(), [("empty", ""), ("team", "a")]);
    assert!(config.canary && config.log.json);
}

#[test]
fn each_mistake_names_its_variable() {
    let long = "x".repeat(65);
    let cases: [(&[(&str, &str)], &str); 39] = [
        (&[("--api-url", "")], "SDS_API_URL: is required"),
        (&[("--service", "")], "SDS_SERVICE: is required"),
        (&[("--port", "")], "SDS_PORT: is required"),
        (&[("--check", "")], "SDS_CHECK: is required"),
        (&[("--api-url", "sds:8080")], "SDS_API_URL: 'sds:8080': is not a URL of http or https"),
        (&[("--api-url", "http://a,")], "SDS_API_URL: is not a URL, as in"),
        (&[("--api-url", "http://user:secret@a")], "SDS_API_URL: "),
        (&[("--service", "a/b")], "SDS_SERVICE: 'a/b' is not a service name"),
        (&[("--service", "repo")], "SDS_SERVICE: "),
        (&[("--port", "0")], "SDS_PORT: 0 is not in 1..=65535"),
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
        (&[("--timeout", "2s")], "SDS_TIMEOUT: 2s must be longer than 0 and shorter than SDS_INTERVAL, 2s"),
        (&[("--timeout", "0")], "SDS_TIMEOUT: "),
        (&[("--rise", "0")], "SDS_RISE: "),
        (&[("--fall", "0")], "SDS_FALL: "),
        (
            &[("--linger", "21s")],
            "SDS_LINGER: 21s and 10s for the calls around it are longer than SDS_STOP_TIMEOUT, 30s",
        ),
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
}

#[test]
fn help_is_the_reference() {
    let Err(Halt::Shown(help)) = parse(["sds-sidecar", "--help"].map(OsString::from)) else { panic!("no help") };
    insta::assert_snapshot!(help);
}
