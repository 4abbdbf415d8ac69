//! What comes over HTTP, by the kept inputs and random changes of them: nothing panics, and what is accepted means what
//! others understand by it. PROXY protocol is `server::proxy`'s, service names and endpoints are those of `sds-types`.

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Request, header};
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{REQUEST_ID, body::Fields, eds, native, not_modified, request_id};
use crate::{corpus::play, error::ApiError, render::eds_json::Api};

/// What may be shown to a person at a terminal.
fn check_words(error: &ApiError) {
    let reason = error.to_string();
    assert!(!reason.is_empty() && !reason.chars().any(char::is_control), "{reason:?}");
}

#[test]
fn fuzz_json() {
    play("json", |body| match Fields::parse(body) {
        // A key that serde_json keeps for itself is an ordinary one to us.
        Ok(_) if String::from_utf8_lossy(body).contains("$serde_json") => {}
        Ok(fields) => {
            // A reader who is not strict reads the same.
            let plain: Value = serde_json::from_slice(body).expect("we read what is no JSON");
            assert_eq!(Value::Object(fields.all().clone()), plain);
        }
        Err(error) => check_words(&error),
    });
}

#[test]
fn fuzz_native() {
    play("native", |body| match native::Said::parse(&body.to_vec().into(), true) {
        Ok(said) => {
            let body: Value = serde_json::from_slice(body).unwrap();
            assert_eq!(body["incarnation"].as_u64(), Some(said.at.incarnation));
            assert_eq!(body["seq"].as_u64(), Some(said.at.seq));
            assert_eq!(body["weight"].as_u64(), said.content.weight.map(|weight| weight.get().into()));
            assert_eq!(body["revision"].as_str().unwrap_or(""), said.content.revision.as_str());
            let tags = said.content.tags.iter().map(|(name, value)| (name.to_owned(), Value::from(value)));
            assert_eq!(body["tags"].as_object().cloned().unwrap_or_default(), tags.collect::<serde_json::Map<_, _>>());
            // What is named to the sender can stand in a header.
            assert!(HeaderValue::try_from(said.ignored.join(", ")).is_ok());
        }
        Err(error) => check_words(&error),
    });
}

#[test]
fn fuzz_eds() {
    play("eds", |body| match eds::parse(body, Api::V3) {
        Ok(request) => {
            assert!(serde_json::from_slice::<IgnoredAny>(body).is_ok(), "we read what is no JSON");
            // Text and numbers in what is skipped are nobody's business.
            let Ok(plain) = serde_json::from_slice::<Value>(body) else { return };
            let field = |snake: &str, camel: &str| plain.get(snake).or(plain.get(camel)).cloned().unwrap_or_default();
            let names: Option<Vec<Value>> =
                request.resource_names.map(|names| names.iter().map(|name| name.as_ref().into()).collect());
            assert_eq!(names.map_or(Value::Null, Value::from), field("resource_names", "resourceNames"));
            let version = request.version_info.map_or(Value::Null, |version| version.as_ref().into());
            assert_eq!(version, field("version_info", "versionInfo"));
        }
        Err(error) => check_words(&error),
    });
}

/// A real Envoy's request is read. (Of its extensions, some 70 KB, only a few are kept.)
#[test]
fn an_envoys_own_request() {
    let body = include_bytes!("../../corpus/eds/envoy-1.40.json");
    let request = eds::parse(body, Api::V3).unwrap();
    assert_eq!(request.resource_names.unwrap(), ["web"]);
}

#[test]
fn fuzz_if_none_match() {
    let etag = HeaderValue::from_static("W/\"c4f6afa2bfb57d8a\"");
    play("if-none-match", |bytes| {
        let Ok(held) = HeaderValue::from_bytes(bytes) else { return };
        let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, held)]);
        let unchanged = not_modified(&headers, &etag).is_some();
        let text = String::from_utf8_lossy(bytes);
        let ours = text.split(',').map(str::trim).any(|tag| tag == "*" || tag.ends_with("\"c4f6afa2bfb57d8a\""));
        assert!(ours || !unchanged, "304 for another version");
        let plain = text.split(',').map(str::trim).any(|tag| tag == "\"c4f6afa2bfb57d8a\"") && text.is_ascii();
        assert!(unchanged || !plain || text.contains(char::is_control), "no 304 for ours");
    });
}

#[test]
fn fuzz_request_id() {
    play("request-id", |bytes| {
        let Ok(id) = HeaderValue::from_bytes(bytes) else { return };
        let request = Request::builder().header(REQUEST_ID, id).body(Body::empty()).unwrap();
        let id = request_id(&request);
        assert!((1..=128).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic), "{id:?}");
    });
}

/// A path of any kind, with each method, meets the right route or none.
#[cfg(feature = "embedded")]
#[test]
fn fuzz_path() {
    use crate::{
        Config, Server,
        http::{Http, Peer},
        listener::Listener,
    };
    use http::{Method, StatusCode, Uri};
    use http_body_util::BodyExt;

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    let args =
        ["sds-api", "--listen", "127.0.0.1:0", "--store", "embedded", "--data", ":memory:", "--rate-writes", "0"];
    let server = runtime.block_on(Server::start(Config::read(args.map(Into::into)).unwrap())).unwrap();
    runtime.block_on(async {
        while server.app.registry.snapshot().is_none() {
            tokio::task::yield_now().await;
        }
    });
    let http = Http::new(server.app.clone(), Listener::Main);
    play("path", |bytes| {
        let Ok(uri) = Uri::try_from(bytes) else { return };
        for method in [Method::GET, Method::HEAD, Method::PUT, Method::POST, Method::DELETE] {
            let (shown, path) = (format!("{method} {uri}"), uri.path());
            let goodbye = method == Method::DELETE && path.starts_with("/v1/services/");
            // Not a body of any dialect: whatever is accepted was accepted by its path.
            let request = Request::builder().method(method).uri(uri.clone()).body(Body::from("[]")).unwrap();
            let peer = Peer { addr: server.addr, hidden: false, certified: false };
            let (status, body) = runtime.block_on(async {
                let response = http.answer(request, peer, false).await;
                (response.status(), response.into_body().collect().await.unwrap().to_bytes())
            });
            let done = status == StatusCode::OK || (status == StatusCode::NO_CONTENT && goodbye);
            assert!(done || status.is_client_error(), "{shown}: {status} {body:?}");
            if status == StatusCode::OK {
                let known = [
                    "/v1/registration/",
                    "/v1/services",
                    "/v1/prometheus",
                    "/livez",
                    "/readyz",
                    "/hc",
                    "/healthcheck",
                    "/metrics",
                ];
                assert!(path == "/" || known.iter().any(|route| path.starts_with(route)), "{shown}: {status}");
                assert!(!path.contains("//") && !path.contains(".."), "{shown}: {status}");
            }
        }
    });
}
