//! Paths that are no route of ours, or nearly one: never another route, and never a key of the store's own.

use e2e::api::registration;
use serde_json::json;

use super::{AT, Attack, Says};

/// What cannot be the name of a service, as a path has it.
const NAMES: [&str; 27] = [
    "..",
    ".",
    ".x",
    "-x",
    "_x",
    "%23meta",
    "%23replica",
    "%5fx",
    "a%2Fb",
    "a%2f..%2fb",
    "%2e%2e",
    "a%00",
    "a%0a",
    "%ff",
    "%c3%28",
    "a%",
    "a%zz",
    "%F0%9F%98%80",
    "%E2%80%AEweb",
    "we%CC%81b",
    "web%20",
    "a+b",
    "a:b",
    "a;b=c",
    "a,b",
    "repo",
    "*",
];

pub fn rows() -> Vec<Attack> {
    let long = ["a".repeat(129), "a".repeat(9000), "%61".repeat(3000), "../".repeat(3000)];
    let body = registration((9, 9), json!({})).to_string();
    let mut rows = Vec::new();
    for name in NAMES.into_iter().chain(long.iter().map(String::as_str)) {
        rows.push(Attack::lost("GET", &format!("/v1/registration/{name}"), ""));
        rows.push(Attack::lost("GET", &format!("/v1/services/{name}"), ""));
        rows.push(Attack::lost("PUT", &format!("/v1/services/{name}/instances/{AT}"), &body));
        rows.push(Attack::lost("DELETE", &format!("/v1/services/{name}/instances/{AT}?incarnation=9&seq=9"), ""));
        rows.push(Attack::lost("POST", &format!("/v1/registration/{name}"), r#"{"ip":"10.0.0.9","port":80}"#));
        rows.push(Attack::lost("DELETE", &format!("/v1/registration/{name}/{AT}"), ""));
    }
    for path in [
        "//",
        "//v1/registration/web",
        "/v1//registration/web",
        "/v1/registration//web",
        "/v1/registration/web//",
        "/v1/registration/../registration/web",
        "/v1/registration/web/../other",
        "/./v1/registration/web",
        "/v1/registration",
        "/v1/registration/",
        "/v1/services/",
        "/v1/services/web/",
        "/v1/services/web/instances",
        "/v1/services/web/instances/",
        "/V1/registration/web",
        "/v1/Registration/web",
        "/v1/registration/web/x/y",
        "/v4/discovery:endpoints",
        "/v3/discovery:clusters",
        "/v3/discovery:endpoints/",
        "/metrics/",
        "/nothing",
        "/.git/config",
        "/%2e%2e/%2e%2e/etc/passwd",
    ] {
        rows.push(Attack::lost("GET", path, ""));
        rows.push(Attack::lost("PUT", path, &body));
    }
    rows
}

impl Attack {
    /// A request that a route refuses with 400, or that meets none; a part too many may also meet one that has other
    /// methods. Which of them it is, is the router's business.
    fn lost(method: &str, path: &str, body: &str) -> Self {
        Self { status: vec![400, 404, 405], ..Self::new(method, path, body, 400, Says::Refused) }
    }
}
