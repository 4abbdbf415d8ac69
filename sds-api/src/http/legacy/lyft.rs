//! lyft/discovery's dialect: a form, 200 with `{}`, errors as `{}` (the reason stands in a header), and hosts that are
//! known by their ip alone.
//!
//! What its own server insists on is insisted on here: `ip` (or `auto_ip`), `port`, `revision`, and in `tags` the three
//! that it calls required. With `auto_ip` the host is who sent the request; a proxy that does not say for whom it speaks
//! is nobody's host.

mod tags;
pub mod weight;

use std::net::{IpAddr, Ipv6Addr};

use axum::response::Response;
use http::StatusCode;
use sds_types::{Endpoint, Invalid, Label, Revision, ServiceName};

use super::{
    super::{App, body, peer::Peer},
    form::Form,
    nothing,
};
use crate::{
    auth::{Claim, Shown},
    error::{ApiError, MISSING},
    instance::{Content, Key, Origin},
    registry::Said,
};

/// One host, registered or renewed.
pub async fn register(
    app: &App,
    shown: &Shown,
    service: ServiceName,
    form: Result<Form, Invalid>,
    peer: Option<Peer>,
) -> Response {
    match register_host(app, shown, service, form, peer).await {
        Err(error) => error.into_lyft(),
        Ok(ignored) => body::naming_ignored(nothing(StatusCode::OK), &ignored),
    }
}

/// The one host of an ip, deregistered.
pub async fn deregister(app: &App, shown: &Shown, service: &str, host: &str) -> Response {
    match deregister_host(app, shown, service, host).await {
        Err(error) => error.into_lyft(),
        Ok(()) => nothing(StatusCode::OK),
    }
}

/// Whether the last word of a path can only be an ip.
pub fn is_without_port(host: &str) -> bool {
    !host.contains(':') || bare(host).parse::<Ipv6Addr>().is_ok()
}

/// An IPv6 address with or without its brackets.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn ip(host: &str) -> Result<IpAddr, Invalid> {
    let ip = bare(host).parse::<IpAddr>().map(|ip| ip.to_canonical());
    ip.map_err(|_| Invalid::new("InvalidAddress", "ip", "that is not an IPv4 or IPv6 address literal"))
}

async fn deregister_host(app: &App, shown: &Shown, service: &str, host: &str) -> Result<(), ApiError> {
    let (service, ip) = (service.parse()?, ip(host)?);
    let (registry, _) = app.admit(shown, Claim { service: &service, ip, port: None, whole: None }).await?;
    Ok(registry.legacy_deregister_ip(service, ip).await?)
}

async fn register_host(
    app: &App,
    shown: &Shown,
    service: ServiceName,
    form: Result<Form, Invalid>,
    peer: Option<Peer>,
) -> Result<Vec<String>, ApiError> {
    let (endpoint, said, ignored) = host(form?, peer)?;
    app.addresses.check(endpoint)?;
    let key = Key { service, endpoint };
    app.registrant(shown, &key).await?.legacy_put(key, said).await?;
    Ok(ignored)
}

fn host(mut form: Form, peer: Option<Peer>) -> Result<(Endpoint, Said, Vec<String>), ApiError> {
    let required =
        |name, value: Option<String>| value.ok_or_else(|| Invalid::new(MISSING, name, format!("{name} is required")));
    let ip = match (form.take("ip"), form.take("auto_ip")) {
        (None, Some(_)) => sender(peer)?,
        (ip, _) => required("ip", ip)?,
    };
    let endpoint = Endpoint::parse(&ip, port(&required("port", form.take("port"))?)?)?;
    let revision = Revision::parse("revision", required("revision", form.take("revision"))?)?;
    let service_repo_name = Label::parse("service_repo_name", form.take("service_repo_name").unwrap_or_default())?;
    let tags::Said { content, unsaid, ignored } = tags::parse(&required("tags", form.take("tags"))?)?;
    let said = Said {
        origin: Origin::Lyft,
        content: Content { revision, service_repo_name, ..content },
        unsaid: Some(unsaid),
    };
    Ok((endpoint, said, [form.ignored(), ignored].concat()))
}

fn port(text: &str) -> Result<i64, Invalid> {
    // `parse` alone would take "+80" and "080".
    let number = text.parse::<u16>().ok().filter(|number| number.to_string() == text);
    number.map(i64::from).ok_or_else(|| Invalid::new("InvalidPort", "port", "port is an integer from 1 to 65535"))
}

/// The address of who sent the request.
fn sender(peer: Option<Peer>) -> Result<String, Invalid> {
    match peer {
        Some(Peer { addr, hidden: false, .. }) => Ok(addr.ip().to_canonical().to_string()),
        _ => Err(Invalid::new("InvalidAddress", "auto_ip", "a proxy stands before the sender and does not name it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(body: &str, peer: Option<Peer>) -> Option<String> {
        let tags = r#"tags={"az":"","region":"","instance_id":""}"#;
        let form = Form::urlencoded(format!("{body}&port=80&revision=r&{tags}").as_bytes()).unwrap();
        host(form, peer).ok().map(|(endpoint, ..)| endpoint.to_string())
    }

    fn peer(addr: &str, hidden: bool) -> Option<Peer> {
        Some(Peer { addr: addr.parse().unwrap(), hidden, certified: false })
    }

    #[test]
    fn the_sender_is_the_host_only_if_it_is_known_who_that_is() {
        let auto = |peer| endpoint("auto_ip=1", peer);
        assert_eq!(auto(peer("10.0.0.7:4711", false)).as_deref(), Some("10.0.0.7:80"));
        assert_eq!(auto(peer("[::ffff:10.0.0.7]:4711", false)).as_deref(), Some("10.0.0.7:80"));
        assert_eq!(auto(peer("10.0.0.7:4711", true)), None, "that is a proxy");
        assert_eq!(auto(None), None);
        let said = endpoint("ip=10.0.0.1&auto_ip=1", peer("10.0.0.7:4711", true));
        assert_eq!(said.as_deref(), Some("10.0.0.1:80"), "an ip that is said wins");
        assert_eq!(endpoint("auto_ip=", peer("10.0.0.7:4711", false)), None);
    }

    #[test]
    fn the_path_tells_whose_host_it_is() {
        for without in ["10.0.0.1", "bar", "::1", "[::1]", "2001:db8::1"] {
            assert!(is_without_port(without), "{without}");
        }
        for with in ["10.0.0.1:80", "[::1]:80", "10.0.0.1:", "host:80", "[::1:80"] {
            assert!(!is_without_port(with), "{with}");
        }
    }
}
