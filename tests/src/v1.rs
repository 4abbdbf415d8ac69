//! What an Envoy of 1.4 to 1.8 demands of `GET /v1/registration/{service}`. No binary of that age can be had, so its rules
//! stand here, from its sources, and every v1 body that a test receives goes through them.
//!
//! One bad host made that Envoy refuse the *whole* answer and keep its old hosts. Beyond its schema this also asks for
//! what the registry promises: the fields that the ancestors' clients read, no null, no host twice, and a stable order,
//! because that Envoy hashes the raw body.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use anyhow::{Context, bail, ensure};
use serde_json::{Map, Value};

type Object = Map<String, Value>;

/// A host as the old Envoy would take it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Where it listens.
    pub endpoint: SocketAddr,
    /// Its zone, "" if unset.
    pub az: String,
    /// For subset routing.
    pub canary: bool,
    /// Its weight, if it has one.
    pub weight: Option<u64>,
}

/// Reads a body by all of the rules; the error names the first that it breaks.
pub fn check(body: &[u8]) -> anyhow::Result<Vec<Host>> {
    let root: Value = serde_json::from_slice(body).context("not JSON")?;
    let root = root.as_object().context("the root is not an object")?;
    text(root, "service")?;
    text(root, "env")?;
    let hosts = root.get("hosts").context("'hosts' is missing")?.as_array().context("'hosts' is not an array")?;
    let hosts = hosts.iter().enumerate().map(|(at, host)| read(host).with_context(|| format!("hosts[{at}]")));
    let hosts: Vec<Host> = hosts.collect::<anyhow::Result<_>>()?;
    let mut seen = BTreeSet::new();
    for host in &hosts {
        ensure!(seen.insert(host.endpoint), "{} is there twice: the second one would be lost", host.endpoint);
    }
    let order = |host: &Host| (host.az.clone(), host.endpoint.ip(), host.endpoint.port());
    ensure!(hosts.is_sorted_by_key(order), "the hosts are not in the order of az, ip, port");
    Ok(hosts)
}

/// Reads the answer of the index by repository: each service's hosts are to be as in its own answer.
pub fn of_repo(body: &[u8]) -> anyhow::Result<Vec<Host>> {
    let root: Value = serde_json::from_slice(body).context("not JSON")?;
    let root = root.as_object().context("the root is not an object")?;
    text(root, "service_repo_name")?;
    let hosts = root.get("hosts").context("'hosts' is missing")?.as_array().context("'hosts' is not an array")?;
    let service = |host: &Value| host["service"].as_str().unwrap_or_default().to_owned();
    ensure!(hosts.is_sorted_by_key(service), "the hosts are not in the order of their services");
    let mut read = Vec::new();
    for hosts in hosts.chunk_by(|one, other| service(one) == service(other)) {
        let part = serde_json::json!({"service": hosts[0]["service"], "env": text(root, "env")?, "hosts": hosts});
        read.extend(check(part.to_string().as_bytes())?);
    }
    Ok(read)
}

fn read(host: &Value) -> anyhow::Result<Host> {
    let host = host.as_object().context("not an object")?;
    let ip = text(host, "ip_address")?;
    let ip: IpAddr = ip.parse().with_context(|| format!("'{ip}' is not an IP literal: Envoy throws"))?;
    // `5.0` is a number but no integer for RapidJSON; serde_json tells them apart as well.
    let port = host.get("port").context("'port' is missing")?.as_u64().context("'port' is not an integer")?;
    let port = u16::try_from(port).ok().filter(|port| *port > 0);
    let port = port.context("'port' is not from 1 to 65535")?;
    for name in ["service", "revision", "service_repo_name"] {
        text(host, name)?;
    }
    let time = text(host, "last_check_in")?;
    ensure!(is_time(time), "'last_check_in' is not YYYY-MM-DD HH:MM:SS.ffffff+00:00: {time}");
    ensure!(host.get("expire_time").is_some_and(Value::is_u64), "'expire_time' is not in whole epoch seconds");
    let (az, canary, weight) = tags(host.get("tags").context("'tags' is missing")?).context("tags")?;
    Ok(Host { endpoint: SocketAddr::new(ip, port), az, canary, weight })
}

fn tags(tags: &Value) -> anyhow::Result<(String, bool, Option<u64>)> {
    let tags = tags.as_object().context("not an object")?;
    if let Some((name, _)) = tags.iter().find(|(_, value)| value.is_null()) {
        bail!("'{name}' is null");
    }
    let az = if tags.contains_key("az") { text(tags, "az")? } else { "" };
    let canary = match tags.get("canary") {
        None => false,
        Some(value) => value.as_bool().context("'canary' is not a boolean")?,
    };
    let weight = match tags.get("load_balancing_weight") {
        None => None,
        Some(value) => {
            let weight = value.as_u64().filter(|weight| (1..=100).contains(weight));
            Some(weight.with_context(|| format!("'load_balancing_weight' is {value}, not an integer of 1 to 100"))?)
        }
    };
    Ok((az.to_owned(), canary, weight))
}

fn text<'a>(object: &'a Object, name: &str) -> anyhow::Result<&'a str> {
    let value = object.get(name).with_context(|| format!("'{name}' is missing"))?;
    value.as_str().with_context(|| format!("'{name}' is not a string"))
}

fn is_time(text: &str) -> bool {
    let shape = "0000-00-00 00:00:00.000000+00:00";
    let fits = |(is, like): (u8, u8)| if like == b'0' { is.is_ascii_digit() } else { is == like };
    text.len() == shape.len() && text.ends_with("+00:00") && text.bytes().zip(shape.bytes()).all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn host(changes: Value) -> Value {
        let mut host = json!({
            "service": "web", "ip_address": "10.0.0.1", "port": 80, "revision": "", "service_repo_name": "",
            "last_check_in": "2026-01-01 00:00:00.000000+00:00", "expire_time": 1_767_225_600,
            "tags": {"az": "a", "region": "", "instance_id": "", "canary": false},
        });
        for (name, value) in changes.as_object().unwrap() {
            host[name] = value.clone();
        }
        host
    }

    fn judge(hosts: &[Value]) -> anyhow::Result<Vec<Host>> {
        check(json!({"service": "web", "env": "test", "hosts": hosts}).to_string().as_bytes())
    }

    #[test]
    fn takes_what_the_old_envoy_takes() {
        assert!(judge(&[]).unwrap().is_empty());
        judge(&[host(json!({}))]).unwrap();
        judge(&[host(json!({"tags": {}, "more": [null]}))]).unwrap();
        judge(&[host(json!({"ip_address": "::1", "port": 65535, "tags": {"load_balancing_weight": 100}}))]).unwrap();
        judge(&[host(json!({})), host(json!({"port": 81})), host(json!({"ip_address": "10.0.0.2"}))]).unwrap();
    }

    #[test]
    fn refuses_a_whole_answer_for_one_bad_host() {
        for bad in [
            json!({"ip_address": "app.local"}),
            json!({"ip_address": "010.0.0.1"}),
            json!({"ip_address": null}),
            json!({"ip_address": 1}),
            json!({"port": 0}),
            json!({"port": 65536}),
            json!({"port": -1}),
            json!({"port": 5.0}),
            json!({"port": "80"}),
            json!({"tags": null}),
            json!({"tags": []}),
            json!({"tags": {"az": null}}),
            json!({"tags": {"az": 1}}),
            json!({"tags": {"other": null}}),
            json!({"tags": {"canary": "true"}}),
            json!({"tags": {"canary": 1}}),
            json!({"tags": {"load_balancing_weight": 0}}),
            json!({"tags": {"load_balancing_weight": 101}}),
            json!({"tags": {"load_balancing_weight": 1.5}}),
            json!({"tags": {"load_balancing_weight": 5.0}}),
            json!({"tags": {"load_balancing_weight": "5"}}),
            json!({"tags": {"load_balancing_weight": null}}),
            json!({"expire_time": 1.5}),
            json!({"expire_time": "1"}),
            json!({"revision": null}),
            json!({"last_check_in": "2026-01-01T00:00:00Z"}),
            json!({"last_check_in": "2026-01-01 00:00:00.000000+01:00"}),
        ] {
            assert!(judge(&[host(bad.clone())]).is_err(), "{bad} was accepted");
        }
        for body in [
            "",
            "[]",
            "null",
            "{}",
            r#"{"service":"a","env":"b"}"#,
            r#"{"service":"a","env":"b","hosts":{}}"#,
            r#"{"service":"a","env":"b","hosts":[[]]}"#,
            r#"{"service":"a","env":"b","hosts":null}"#,
        ] {
            assert!(check(body.as_bytes()).is_err(), "{body} was accepted");
        }
    }

    #[test]
    fn refuses_doubles_and_disorder() {
        let other = host(json!({"ip_address": "10.0.0.9"}));
        assert!(judge(&[host(json!({})), host(json!({}))]).is_err());
        assert!(judge(&[other, host(json!({"ip_address": "10.0.0.10"}))]).is_ok());
        assert!(judge(&[host(json!({"port": 81})), host(json!({}))]).is_err());
        assert!(judge(&[host(json!({"tags": {"az": "b"}})), host(json!({"ip_address": "10.0.0.2"}))]).is_err());
    }
}
