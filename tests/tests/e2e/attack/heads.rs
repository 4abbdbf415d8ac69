//! Methods, and heads that are large, odd, or no HTTP at all.

use super::{AT, Attack, SERVICE, Says, instance};

pub fn rows() -> Vec<Attack> {
    let mut rows = methods();
    rows.extend(sizes());
    rows.extend(broken());
    rows
}

fn methods() -> Vec<Attack> {
    let drain = format!("{}/drain", instance(AT));
    let (registration, host) = (format!("/v1/registration/{SERVICE}"), format!("/v1/registration/{SERVICE}/{AT}"));
    let service = format!("/v1/services/{SERVICE}");
    let mut rows = Vec::new();
    for (path, allow, others) in [
        (registration.as_str(), "GET,HEAD,POST", &["PUT", "PATCH", "DELETE", "OPTIONS"][..]),
        (&host, "DELETE,GET,HEAD", &["PUT", "POST"]),
        ("/v1/services", "GET,HEAD", &["PUT", "POST", "DELETE"]),
        (&service, "GET,HEAD", &["PUT", "POST", "DELETE"]),
        (&instance(AT), "PUT,DELETE,GET,HEAD", &["POST", "PATCH", "TRACE"]),
        (&drain, "POST,GET,HEAD", &["PUT", "DELETE"]),
        ("/v2/discovery:endpoints", "POST", &["GET", "HEAD", "PUT"]),
        ("/v3/discovery:endpoints", "POST", &["GET", "DELETE", "PURGE"]),
        ("/livez", "GET,HEAD", &["POST"]),
        ("/readyz", "GET,HEAD", &["DELETE"]),
        ("/metrics", "GET,HEAD", &["POST"]),
        ("/", "GET,HEAD", &["POST", "PUT"]),
    ] {
        for method in others {
            let says = if *method == "HEAD" { Says::Nothing } else { Says::Allow(allow) };
            rows.push(Attack::new(method, path, "", 405, says));
        }
    }
    for path in ["/v1/registration/web", "/v1/registration/nobody", "/v1/services", "/v1/services/web", "/readyz", "/"]
    {
        rows.push(Attack::new("HEAD", path, "", 200, Says::LikeGet(path)));
    }
    rows.push(Attack::new("HEAD", "/v1/services/nobody", "", 404, Says::Nothing));
    rows
}

/// More of a head than anybody needs.
fn sizes() -> Vec<Attack> {
    let get = |headers: &str, status| {
        Attack::with_headers("GET", &format!("/v1/registration/{SERVICE}"), headers, b"", status, Says::Nothing)
    };
    let many = |n: usize| (0..n).map(|nth| format!("x-{nth}: y\r\n")).collect::<String>();
    vec![
        get(&format!("x: {}\r\n", "y".repeat(30_000)), 200),
        get(&format!("x: {}\r\n", "y".repeat(70_000)), 431),
        get(&format!("{}: y\r\n", "x".repeat(70_000)), 431),
        get(&many(90), 200),
        get(&many(101), 431),
        Attack {
            status: vec![414, 431],
            ..Attack::new("GET", &format!("/{}", "a".repeat(70_000)), "", 414, Says::Nothing)
        },
        // Names and ids of others are not for our answers and logs.
        get("x-request-id: a b\r\nx-forwarded-for: 10.0.0.1, \"><script>\r\n", 200),
        get(&format!("if-none-match: {}\r\n", "\"a\", W/\"b\",,".repeat(2000)), 200),
    ]
}

/// What hyper refuses by itself, or we see as another request than it was meant to be smuggled as.
fn broken() -> Vec<Attack> {
    let raw = |bytes: &[u8], status: &[u16]| Attack {
        bytes: bytes.to_vec(),
        name: String::from_utf8_lossy(&bytes[..bytes.len().min(90)]).escape_debug().to_string(),
        ..Attack { status: status.to_vec(), ..Attack::new("GET", "/", "", 400, Says::Nothing) }
    };
    let put = format!("PUT {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n", instance(AT));
    vec![
        raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", &[400]),
        raw(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x0a\x00\x00\x01\x0a\x00\x00\x02\x00\x50\x00\x50GET / HTTP/1.1\r\n\r\n", &[400]),
        raw(b"PROXY TCP4 10.0.0.1 10.0.0.2 80 80\r\nGET / HTTP/1.1\r\n\r\n", &[400]),
        raw(b"GET / HTTP/9.9\r\n\r\n", &[400, 505]),
        raw(b"GET /a b HTTP/1.1\r\nconnection: close\r\n\r\n", &[400]),
        raw(b"GET /\x01 HTTP/1.1\r\nconnection: close\r\n\r\n", &[400]),
        raw(b"GET /v1/registration/\xff\xfe HTTP/1.1\r\nconnection: close\r\n\r\n", &[400, 404]),
        raw("GET /v1/registration/wéb HTTP/1.1\r\nconnection: close\r\n\r\n".as_bytes(), &[400, 404]),
        raw(b"GET / HTTP/1.1\r\nx\x00y: z\r\nconnection: close\r\n\r\n", &[400]),
        raw(b"GET / HTTP/1.1\r\nx: a\x00b\r\nconnection: close\r\n\r\n", &[400]),
        raw(format!("{put}content-length: -1\r\n\r\n").as_bytes(), &[400]),
        raw(format!("{put}content-length: 1\r\ncontent-length: 2\r\n\r\n{{}}").as_bytes(), &[400]),
        raw(format!("{put}content-length: 18446744073709551616\r\n\r\n").as_bytes(), &[400, 413]),
        raw(format!("{put}transfer-encoding: chunked\r\n\r\nzz\r\n{{}}\r\n0\r\n\r\n").as_bytes(), &[400]),
        raw(format!("{put}transfer-encoding: gzip\r\n\r\n{{}}").as_bytes(), &[400, 501]),
        raw(
            format!("{put}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\nDELETE {} HTTP/1.1\r\n\r\n", instance(AT))
                .as_bytes(),
            &[400],
        ),
    ]
}
