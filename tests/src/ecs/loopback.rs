//! What is laid over a definition's environment because a task here is a few processes on one loopback interface, five
//! times as fast as ECS: the only difference between what the docs ship and what the tests run.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use anyhow::Context;
use sds_types::parse_span;

use super::{
    Settings,
    definition::{Container, NetworkMode},
    network::Network,
};

/// The sidecar's durations and their defaults, which shrink as ECS's own do.
const SPANS: [(&str, Option<&str>); 6] = [
    ("SDS_INTERVAL", Some("2s")),
    ("SDS_TIMEOUT", Some("1s")),
    ("SDS_START_PERIOD", Some("60s")),
    ("SDS_LINGER", Some("15s")),
    ("SDS_METADATA_INTERVAL", Some("10s")),
    ("SDS_DEREGISTER_AFTER", None),
];
/// What the sidecar insists on having beside its linger. It is about calls that take as long here as there, so it is not
/// scaled; ECS kills after the scaled stopTimeout all the same.
const BESIDES_LINGER: Duration = Duration::from_secs(10);
const ADMIN_PORT: u16 = 9902;

/// The environment of one container.
pub fn environment(
    settings: &Settings,
    network: &Network,
    container: &Container,
) -> anyhow::Result<BTreeMap<String, String>> {
    let mut env = container.environment.clone();
    if !env.contains_key("SDS_SERVICE") {
        return Ok(env);
    }
    // The definition names a host that only its own network knows.
    let urls: Vec<_> = settings.replicas.iter().map(|replica| format!("http://{replica}")).collect();
    env.insert("SDS_API_URL".to_owned(), urls.join(","));
    // Each task has a network namespace of its own, and so port 9902 to itself; here it has an address to itself.
    env.insert("SDS_ADMIN_LISTEN".to_owned(), SocketAddr::new(network.address, ADMIN_PORT).to_string());
    // In awsvpc and host mode a check without a host means 127.0.0.1, where the app listens too; here it listens only
    // at the address of its task. In bridge mode the sidecar finds the app's address itself.
    if network.mode != NetworkMode::Bridge
        && let Some(check) = env.get_mut("SDS_CHECK")
    {
        *check = check.replace("://:", &format!("://{}:", network.address));
    }
    for (name, default) in SPANS {
        let Some(text) = env.get(name).map(String::as_str).or(default) else { continue };
        let span = parse_span(text).ok().with_context(|| format!("{name}: '{text}' is no duration"))?;
        env.insert(name.to_owned(), spelled(settings.scaled(span)));
    }
    let linger = env.get("SDS_LINGER").and_then(|text| parse_span(text).ok()).unwrap_or_default();
    env.insert("SDS_STOP_TIMEOUT".to_owned(), spelled(linger + BESIDES_LINGER));
    Ok(env)
}

fn spelled(span: Duration) -> String {
    format!("{}ms", span.as_millis())
}
