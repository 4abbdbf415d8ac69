//! Bodies that are no JSON object, or mean two things, or are too large, or not plain.

use std::time::Duration;

use e2e::api::registration;
use serde_json::json;

use super::{AT, Attack, FREE, SERVICE, Says, instance};

const LARGE: usize = 3_000_000;

pub fn rows() -> Vec<Attack> {
    let mut rows = shapes();
    rows.extend(sizes());
    rows.extend(ignored());
    rows
}

fn shapes() -> Vec<Attack> {
    let good = registration((1, 1), json!({})).to_string();
    let deep =
        |open: &str, close: &str| format!("{{\"a\":{}{}}}", open.repeat(10_000), close.repeat(10_000)).into_bytes();
    let bodies: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b" ".to_vec(),
        b"null".to_vec(),
        b"true".to_vec(),
        b"1".to_vec(),
        b"\"text\"".to_vec(),
        b"[]".to_vec(),
        b"[1,1,\"healthy\"]".to_vec(),
        b"[{}]".to_vec(),
        b"{".to_vec(),
        b"{}x".to_vec(),
        b"{}{}".to_vec(),
        format!("{good}x").into_bytes(),
        format!("\u{feff}{good}").into_bytes(),
        b"{'incarnation':1}".to_vec(),
        b"{\"incarnation\":1,}".to_vec(),
        b"{\"incarnation\":01}".to_vec(),
        b"{\"incarnation\":NaN}".to_vec(),
        b"{\"incarnation\":1e999}".to_vec(),
        b"{\"a\":\"\x01\"}".to_vec(),
        b"{\"a\":\"\\ud800\"}".to_vec(),
        b"{\"health\":\"\xff\"}".to_vec(),
        b"{\"incarnation\":1,\"incarnation\":1,\"seq\":1,\"health\":\"healthy\"}".to_vec(),
        b"{\"tags\":{\"a\":\"1\",\"a\":\"2\"}}".to_vec(),
        b"{\"a\":{\"b\":[{\"c\":1,\"c\":1}]}}".to_vec(),
        "[".repeat(60_000).into_bytes(),
        "{\"a\":".repeat(10_000).into_bytes(),
        deep("[", "]"),
        b"\x1f\x8b\x08\x00".to_vec(),
        b"<xml/>".to_vec(),
    ];
    let each = |body: Vec<u8>| {
        let native = || Says::Native("InvalidJson", "");
        [
            Attack::new("PUT", &instance(FREE), &body, 400, native()),
            Attack::new("PUT", &instance(AT), &body, 400, native()),
            Attack::new("POST", &format!("{}/drain", instance(AT)), &body, 400, native()),
        ]
    };
    let mut rows: Vec<_> = bodies.iter().cloned().flat_map(each).collect();
    // There is no dialect without a body of its own; which one an ancestor's client speaks is told by it.
    let legacy = |body: &Vec<u8>| {
        Attack::new("POST", &format!("/v1/registration/{SERVICE}"), body, 400, Says::Text("Invalid JSON string: "))
    };
    rows.extend(bodies.iter().map(legacy));
    rows
}

fn sizes() -> Vec<Attack> {
    let mut rows = Vec::new();
    for (method, path, limit) in [
        ("PUT", instance(FREE), 64 * 1024),
        ("POST", format!("{}/drain", instance(AT)), 64 * 1024),
        ("POST", format!("/v1/registration/{SERVICE}"), 64 * 1024),
        ("POST", "/v2/discovery:endpoints".to_owned(), 2 << 20),
        ("POST", "/v3/discovery:endpoints".to_owned(), 2 << 20),
    ] {
        let refused = |headers: &str, body: &[u8], status, id| {
            let row = Attack::with_headers(method, &path, headers, body, status, Says::Native(id, ""));
            row.within(Duration::from_secs(2))
        };
        let too_large = |headers: &str, body: &[u8]| refused(headers, body, 413, "BodyTooLarge");
        let blank = " ".repeat(LARGE);
        rows.push(too_large(&format!("content-length: {LARGE}\r\n"), blank.as_bytes()));
        rows.push(too_large("content-length: 10000000000\r\n", b""));
        rows.push(too_large(&format!("content-length: {}\r\n", limit + 1), b""));
        // It does not end, for all the server knows.
        let chunk = format!("{:x}\r\n{}\r\n", 1 << 16, " ".repeat(1 << 16)).repeat(40);
        rows.push(too_large("transfer-encoding: chunked\r\n", chunk.as_bytes()));
        for encoding in ["gzip", "br", "deflate, gzip", "x"] {
            let headers = format!("content-encoding: {encoding}\r\ncontent-length: 3\r\n");
            rows.push(refused(&headers, b"\x1f\x8b\x08", 415, "UnsupportedEncoding"));
        }
    }
    rows
}

/// What is not understood is ignored, and named; the instance says nothing new.
fn ignored() -> Vec<Attack> {
    let body = r#"{"incarnation":1,"seq":1,"health":"healthy","later":{"a":[1]},"locality":{"rack":"r"},"a\u0001b":1}"#;
    let headers = format!("content-encoding: identity\r\ncontent-length: {}\r\n", body.len());
    vec![
        Attack::new("PUT", &instance(AT), body, 200, Says::Ignored("later, locality.rack")),
        Attack::with_headers(
            "PUT",
            &instance(AT),
            &headers,
            body.as_bytes(),
            200,
            Says::Ignored("later, locality.rack"),
        ),
        Attack::new(
            "POST",
            "/v1/registration/other",
            r#"{"ip":"10.0.2.1","port":80,"revision":"r1","tags":{"az":"b","rack":"x"},"later":null}"#,
            202,
            Says::Ignored("later, tags.rack"),
        ),
    ]
}
