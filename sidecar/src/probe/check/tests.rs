//! What is a check, what is none, and that every refusal says what would be right.

use serde_json::{Value, json};

use super::*;

/// All that matters of a check, in one line.
fn shown(check: &Check) -> String {
    let at = |target: Target| target.authority([10, 0, 0, 9].into());
    match check.kind() {
        Kind::Http(http) => format!("{} {} {}", http.method, at(http.target), http.path),
        Kind::Tcp(target) => format!("connect {}", at(*target)),
        Kind::Grpc(grpc) => format!("call {} '{}'", at(grpc.target), grpc.service),
        Kind::Ecs(container) => format!("container {container}"),
    }
}

#[test]
fn short_forms() {
    for (text, expected, tls) in [
        ("http://:8080/health", "GET 10.0.0.9:8080 /health", false),
        ("http://:8080", "GET 10.0.0.9:8080 /", false),
        ("http://:8080?a=b", "GET 10.0.0.9:8080 /?a=b", false),
        ("http://127.0.0.1/a/../b?c=%20d", "GET 127.0.0.1:80 /a/../b?c=%20d", false),
        ("http://localhost:8080", "GET localhost:8080 /", false),
        ("http://LocalHost:8080", "GET localhost:8080 /", false),
        ("http://[::1]:8080/", "GET [::1]:8080 /", false),
        ("http://[::1]/", "GET [::1]:80 /", false),
        ("https://:8443/health", "GET 10.0.0.9:8443 /health", true),
        ("https://10.0.0.1", "GET 10.0.0.1:443 /", true),
        ("tcp://:80", "connect 10.0.0.9:80", false),
        ("tcp://[::1]:5432/", "connect [::1]:5432", false),
        ("grpc://:50051", "call 10.0.0.9:50051 ''", false),
        ("grpc://:50051/", "call 10.0.0.9:50051 ''", false),
        ("grpc://localhost:50051/my.pkg.Service", "call localhost:50051 'my.pkg.Service'", false),
        ("grpcs://127.0.0.1:50051/live-ness_1", "call 127.0.0.1:50051 'live-ness_1'", true),
        ("ecs://app-1_a", "container app-1_a", false),
    ] {
        let check: Check = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((shown(&check).as_str(), check.tls().is_some()), (expected, tls), "{text}");
        assert_eq!(check.to_string(), text);
        let same: Check = serde_json::from_value(json!(text)).unwrap();
        assert_eq!(shown(&same), expected);
    }
}

#[test]
fn targets() {
    for (text, host, port) in [
        ("http://:8080", Some(Host::App), Some(8080)),
        ("tcp://localhost:1", Some(Host::Localhost), Some(1)),
        ("grpc://10.0.0.1:65535", Some(Host::Ip([10, 0, 0, 1].into())), Some(65535)),
        ("ecs://app", None, None),
    ] {
        let check: Check = text.parse().unwrap();
        assert_eq!((check.host(), check.port()), (host, port), "{text}");
    }
    let addresses = |text: &str| text.parse::<Check>().unwrap().target().unwrap().addresses([10, 0, 0, 9].into());
    assert_eq!(format!("{:?}", addresses("tcp://:80")), "[10.0.0.9:80]");
    assert_eq!(format!("{:?}", addresses("tcp://localhost:80")), "[127.0.0.1:80, [::1]:80]");
    assert_eq!(format!("{:?}", addresses("tcp://[::2]:80")), "[[::2]:80]");
}

#[test]
fn no_short_forms() {
    const FOREIGN: &str = "is not in this task: leave it out, or write 127.0.0.1 or [::1]";
    for (bad, reason) in [
        ("", "is not a check, as in"),
        ("8080", "is not a check, as in"),
        (":8080/health", "is not a check, as in"),
        ("ftp://:80", "is not a check, as in"),
        ("HTTP://:80", "is not a check, as in"),
        (" http://:80", "is not a check, as in"),
        ("http://", "needs a port, as in"),
        ("http:///health", "needs a port, as in"),
        ("http://:/", "needs a port from 1 to 65535"),
        ("http://:0/", "needs a port from 1 to 65535"),
        ("http://:65536/", "needs a port from 1 to 65535"),
        ("http://:+80/", "needs a port, as in"),
        ("http://:80 /", "needs a port, as in"),
        ("http://127.0.0.1:/", "needs a port from 1 to 65535"),
        ("http://user:pw@127.0.0.1:80/", "has a user or a password"),
        ("http://:80/#top", "has a path with a fragment"),
        ("http://:80/ä", "has a path with a fragment or with characters"),
        ("http://:80/a b", "has a path with characters"),
        ("http://app.internal:80/", FOREIGN),
        ("http://localhost.:80/", FOREIGN),
        ("http://0x7f.1:80/", FOREIGN),
        ("http://010.0.0.1:80/", FOREIGN),
        ("http://127.1:80/", FOREIGN),
        ("http://[127.0.0.1]:80/", FOREIGN),
        ("http://[fe80::1%eth0]:80/", FOREIGN),
        ("http://::1:80/", FOREIGN),
        ("tcp://127.0.0.1", "needs a port, as in"),
        ("tcp://[::1]", "needs a port, as in"),
        ("tcp://:80/path", "a check of tcp has no path"),
        ("tcp://:80?a", "a check of tcp has no path"),
        ("grpc://127.0.0.1", "needs a port, as in"),
        ("grpc://:50051/a/b", "has a path that is not the name of a service"),
        ("grpc://:50051/a?b", "has a path that is not the name of a service"),
        ("ecs://", "does not name a container"),
        ("ecs://app/health", "does not name a container"),
        ("ecs://app:80", "does not name a container"),
    ] {
        let error = bad.parse::<Check>().expect_err(bad);
        assert!(error.contains(reason), "{bad}: {error}");
    }
}

fn object(url: &str, options: Value) -> Result<Check, String> {
    let mut object = json!({ "url": url });
    object.as_object_mut().unwrap().append(&mut options.as_object().unwrap().clone());
    serde_json::from_str(&object.to_string()).map_err(|error| error.to_string())
}

#[test]
fn objects() {
    let check = object(
        "https://:8443/health",
        json!({
            "method": "POST", "expect": [200, "300-399", "418"], "headers": {"X-Probe": "yes", "content-type": "a/b"},
            "host": "app.example.com:8443", "body": "ok", "skip_verify": true, "server_name": "app.internal",
        }),
    )
    .unwrap();
    assert_eq!(check.to_string(), "https://:8443/health");
    let Kind::Http(http) = check.kind() else { panic!("{check:?}") };
    let passing = [199, 200, 201, 300, 399, 400, 418].map(|status| {
        let status = http::StatusCode::from_u16(status).unwrap();
        http.expect.iter().any(|statuses| statuses.contains(status))
    });
    assert_eq!(passing, [false, true, false, true, true, false, true]);
    assert_eq!(
        (http.method.as_str(), &http.headers["x-probe"]),
        ("POST", &"yes".parse::<http::HeaderValue>().unwrap())
    );
    assert_eq!((http.host.as_ref().unwrap().as_str(), http.body.as_deref()), ("app.example.com:8443", Some("ok")));
    let tls = http.tls.as_ref().unwrap();
    assert!(matches!(tls.trust, Trust::Anybody) && tls.server_name.is_some());

    let check = object("grpcs://:1/a", json!({"host": "x", "headers": {"a": "b"}, "ca": null})).unwrap();
    assert!(matches!(check.tls().unwrap().trust, Trust::System));
    assert!(matches!(object("tcp://:1", json!({})).unwrap().kind(), Kind::Tcp(_)));
}

#[test]
fn no_objects() {
    for (url, options, reason) in [
        ("http://:80", json!({"metod": "GET"}), "unknown field `metod`, expected one of `url`, `method`"),
        ("http://:80", json!({"method": "get"}), "unknown variant `get`, expected one of `GET`, `HEAD`"),
        ("http://:80", json!({"method": "DELETE"}), "unknown variant `DELETE`, expected one of"),
        ("http://:80", json!({"expect": 200}), "invalid type: integer `200`, expected a sequence"),
        ("http://:80", json!({"expect": []}), "'http://:80': expect: an empty list would never pass"),
        ("http://:80", json!({"expect": [199]}), "invalid value: integer `199`, expected a status such as 204"),
        ("http://:80", json!({"expect": [600]}), "invalid value: integer `600`, expected a status"),
        ("http://:80", json!({"expect": [65736]}), "invalid value: integer `65736`, expected a status"),
        ("http://:80", json!({"expect": [-1]}), "invalid type: integer `-1`, expected a status"),
        ("http://:80", json!({"expect": ["2xx"]}), "invalid value: string \"2xx\", expected a status such as 204 or"),
        ("http://:80", json!({"expect": ["300-200"]}), "invalid value: string \"300-200\", expected a status"),
        ("http://:80", json!({"headers": {"a b": "c"}}), "'http://:80': headers: 'a b' is not the name of a header"),
        ("http://:80", json!({"headers": {"a": "c\n"}}), "headers: the value of 'a' must be printable ASCII"),
        ("http://:80", json!({"headers": {"a": 5678}}), "the value of a header must be a text"),
        ("http://:80", json!({"headers": {"A": "b", "a": "c"}}), "headers: 'a' is there twice"),
        ("http://:80", json!({"headers": {"Host": "b"}}), "headers: Host has an option of its own, 'host'"),
        ("http://:80", json!({"headers": {"Connection": "x"}}), "headers: 'Connection' is for the sidecar to set"),
        ("grpc://:80", json!({"headers": {"content-type": "x"}}), "headers: 'content-type' is for the sidecar to set"),
        ("grpc://:80", json!({"headers": {"grpc-timeout": "x"}}), "headers: 'grpc-timeout' is for the sidecar to set"),
        ("http://:80", json!({"host": "a b"}), "host: 'a b' is not a host"),
        ("http://:80", json!({"host": "me@a"}), "host: 'me@a' is not a host"),
        ("http://:80", json!({"host": "http://a/"}), "host: 'http://a/' is not a host"),
        ("http://:80", json!({"host": ""}), "host: '' is not a host"),
        ("http://:80", json!({"body": ""}), "body: must be a text of 1 to 1024 bytes"),
        ("http://:80", json!({"body": "x".repeat(1025)}), "body: must be a text of 1 to 1024 bytes"),
        ("http://:80", json!({"body": "x", "method": "HEAD"}), "body: an answer to HEAD has none"),
        ("http://:80", json!({"ca": "x"}), "'ca' means nothing to a check of http, only to https, grpcs"),
        ("http://:80", json!({"skip_verify": false}), "'skip_verify' means nothing to a check of http"),
        ("grpc://:80", json!({"server_name": "x"}), "'server_name' means nothing to a check of grpc"),
        ("grpc://:80", json!({"method": "GET"}), "'method' means nothing to a check of grpc, only to http, https"),
        ("grpcs://:80", json!({"expect": [200]}), "'expect' means nothing to a check of grpcs, only to http, https"),
        ("grpc://:80", json!({"body": "x"}), "'body' means nothing to a check of grpc, only to http, https"),
        ("tcp://:80", json!({"method": "GET"}), "'method' means nothing to a check of tcp, only to http, https"),
        ("tcp://:80", json!({"host": "x"}), "'host' means nothing to a check of tcp, only to http, https, grpc, grpcs"),
        ("ecs://app", json!({"headers": {"a": "b"}}), "'headers' means nothing to a check of ecs"),
        ("ftp://:80", json!({"body": "x"}), "is not a check, as in"),
        ("https://:1", json!({"skip_verify": true, "ca": "x"}), "'skip_verify' leaves nothing for 'ca' to decide"),
        ("https://:1", json!({"skip_verify": "yes"}), "invalid type: string \"yes\", expected a boolean"),
        ("https://:1", json!({"server_name": "a b"}), "server_name: 'a b' is not a DNS name"),
        (
            "https://:1",
            json!({"ca": "/no/such.pem"}),
            "ca: '/no/such.pem': No such file or directory (os error 2); it is",
        ),
        ("https://:1", json!({"ca": "Cargo.toml"}), "ca: 'Cargo.toml' has no certificate in it"),
        ("https://:1", json!({"ca": "-----BEGIN CERTIFICATE-----\nAAAA"}), "ca: the text is not PEM"),
        (
            "grpcs://:1",
            json!({"ca": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}),
            "ca: the text has a certificate that is none",
        ),
    ] {
        let error = object(url, options.clone()).expect_err(&options.to_string());
        assert!(error.contains(reason), "{url} {options}: {error}");
        assert!(!error.contains("5678"), "a header's value is a secret: {error}");
        assert!(error.contains(" at line 1 column "), "JSON that is a page long needs a place: {error}");
    }
}

#[test]
fn neither_text_nor_object() {
    for (json, reason) in [
        ("8080", "invalid type: integer `8080`, expected a check: a URL such as"),
        ("null", "invalid type: null, expected a check"),
        (r#"["http://:80"]"#, "invalid type: sequence, expected a check"),
        ("{}", "missing field `url`"),
        (r#"{"url":"http://:80","url":"http://:81"}"#, "duplicate field `url`"),
        (r#""app:80""#, "the check 'app:80': is not a check, as in"),
    ] {
        let error = serde_json::from_str::<Check>(json).expect_err(json).to_string();
        assert!(error.contains(reason), "{json}: {error}");
    }
}

#[test]
fn an_authority_by_text_and_by_file() {
    let key = rcgen::KeyPair::generate().unwrap();
    let pem = rcgen::CertificateParams::new(vec!["ca".into()]).unwrap().self_signed(&key).unwrap().pem();
    let place = std::env::temp_dir().join(format!("sds-check-{}.pem", std::process::id()));
    std::fs::write(&place, format!("{}{pem}{pem}", key.serialize_pem())).unwrap();
    for (ca, authorities) in [(pem.as_str(), 1), (place.to_str().unwrap(), 2)] {
        let check = object("https://:1", json!({ "ca": ca })).unwrap();
        let Trust::Only(roots) = &check.tls().unwrap().trust else { panic!("{check:?}") };
        assert_eq!(roots.len(), authorities);
    }
    std::fs::remove_file(place).unwrap();
}

#[test]
fn secrets_are_not_printed() {
    for url in ["http://:80", "grpc://:80"] {
        let check = object(url, json!({"headers": {"authorization": "hunter2"}})).unwrap();
        let printed = format!("{check} {check:?} {:#?}", check.kind());
        assert!(printed.contains("authorization") && !printed.contains("hunter2"), "{printed}");
    }
}

#[test]
fn the_schema_describes_every_option() {
    let schema = schemars::schema_for!(Check).to_value();
    let options = &schema["$defs"]["CheckWithOptions"];
    assert_eq!(options["additionalProperties"], json!(false), "{schema:#}");
    assert_eq!(options["required"], json!(["url"]));
    let properties = options["properties"].as_object().unwrap();
    let names: Vec<_> = properties.keys().map(String::as_str).collect();
    let mut known = ["url", "method", "expect", "headers", "host", "body", "ca", "skip_verify", "server_name"];
    known.sort_unstable();
    assert_eq!(names, known);
    assert!(properties.values().all(|property| property["description"].is_string()), "{schema:#}");
    assert_eq!(schema["anyOf"][0]["type"], json!("string"));
}
