//! REST EDS: what is wrong is refused, what is only odd is answered like a plain request.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Attack, SERVICE, Says};

pub fn rows() -> Vec<Attack> {
    ["v2", "v3"].into_iter().flat_map(|version| [refused(version), served(version)].concat()).collect()
}

fn kind(version: &str) -> &'static str {
    match version {
        "v2" => "type.googleapis.com/envoy.api.v2.ClusterLoadAssignment",
        _ => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
    }
}

fn names(n: usize) -> Vec<String> {
    (0..n).map(|nth| format!("s{nth}")).collect()
}

fn refused(version: &'static str) -> Vec<Attack> {
    let path = format!("/{version}/discovery:endpoints");
    let row = |body: Vec<u8>, id, field| Attack::new("POST", &path, body, 400, Says::Native(id, field));
    let valid = |body: Value, id, field| row(body.to_string().into_bytes(), id, field);
    let mut rows = vec![
        valid(json!({}), "InvalidNames", "resource_names"),
        valid(json!({"resource_names": []}), "InvalidNames", "resource_names"),
        valid(json!({"resource_names": null}), "InvalidNames", "resource_names"),
        valid(json!({"resource_names": names(1001)}), "InvalidNames", "resource_names"),
        valid(
            json!({"resource_names": [SERVICE], "type_url": kind(if version == "v2" { "v3" } else { "v2" })}),
            "InvalidType",
            "type_url",
        ),
        valid(json!({"resource_names": [SERVICE], "type_url": "x\r\ny"}), "InvalidType", "type_url"),
        valid(
            json!({"resource_names": [SERVICE], "typeUrl": "type.googleapis.com/envoy.api.v2.Cluster"}),
            "InvalidType",
            "type_url",
        ),
    ];
    for body in [
        &b""[..],
        b"null",
        b"[]",
        b"[[\"web\"]]",
        b"[\"\",[\"web\"],\"\"]",
        b"{",
        b"{\"resource_names\":\"web\"}",
        b"{\"resource_names\":{\"0\":\"web\"}}",
        b"{\"resource_names\":[1]}",
        b"{\"resource_names\":[null]}",
        b"{\"resource_names\":[\"web\"],\"version_info\":1}",
        b"{\"resource_names\":[\"web\"],\"type_url\":[]}",
        b"{\"resource_names\":[\"web\"],\"resource_names\":[\"web\"]}",
        b"{\"resource_names\":[\"web\"],\"resourceNames\":[\"web\"]}",
        b"{\"resource_names\":[\"\xff\"]}",
        b"{\"resource_names\":[\"web\"]}x",
        b"\xef\xbb\xbf{\"resource_names\":[\"web\"]}",
    ] {
        rows.push(row(body.to_vec(), "InvalidJson", ""));
    }
    for deep in ["[", "{\"a\":"] {
        let body = format!("{{\"resource_names\":[\"web\"],\"node\":{}", deep.repeat(100_000));
        rows.push(row(body.into_bytes(), "InvalidJson", ""));
    }
    rows
}

fn served(version: &'static str) -> Vec<Attack> {
    let path = format!("/{version}/discovery:endpoints");
    let plain = |names: Value| Says::LikeEds(version, json!({ "resource_names": names }).to_string());
    let row =
        |body: Value, says| Attack::new("POST", &path, body.to_string(), 200, says).within(Duration::from_secs(1));
    let like_web = |body| row(body, plain(json!([SERVICE])));
    vec![
        like_web(
            json!({"resourceNames": [SERVICE], "versionInfo": "", "typeUrl": kind(version), "responseNonce": "x"}),
        ),
        like_web(json!({"resource_names": [SERVICE, SERVICE], "type_url": kind(version), "unknown": {"a": [null]}})),
        like_web(json!({"resource_names": [SERVICE], "type_url": "", "version_info": null, "node": null})),
        like_web(json!({"resource_names": [SERVICE], "node": {"id": "x".repeat(1_000_000)}})),
        like_web(
            json!({"resource_names": [SERVICE], "node": {"metadata": {"a": {"b": [1, 2.5, null]}}}, "error_detail": {}}),
        ),
        like_web(json!({"resource_names": [SERVICE], "version_info": "x".repeat(10_000)})),
        like_web(json!({"resource_names": [SERVICE], "version_info": "\r\n\0"})),
        // Outside the grammar: nobody is there, and nobody's Envoy waits for an answer.
        row(json!({"resource_names": ["#meta"]}), plain(json!(["#meta"]))),
        row(
            json!({"resource_names": ["", "../x", "a b", "\u{202e}x", "😀", "x".repeat(9000)]}),
            plain(json!(["😀", "", "a b", "../x", "\u{202e}x", "x".repeat(9000)])),
        ),
        row(json!({"resource_names": names(1000)}), plain(json!(names(1000)))),
    ]
}
