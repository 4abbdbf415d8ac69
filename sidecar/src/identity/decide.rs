//! Documents in, identity out: one rule per network mode (AWS documentation and the ECS agent's source).
//!
//! | mode | address | port | hostless checks go to |
//! |---|---|---|---|
//! | awsvpc | the task's own interface | the container's | 127.0.0.1 |
//! | bridge | the host's | the one that the host maps to the container's | the container's own address |
//! | host | the host's | the container's | 127.0.0.1 |
//!
//! What is given by hand wins. What a document lacks *yet* is a gap, and asked for again; that nobody can tell which
//! container is the app is a mistake in the configuration, and said to be one only when no later document could help.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use sds_types::{Endpoint, Invalid, Label, Locality};

use super::{
    Given, Host, Identity, Seen, Wants,
    metadata::{Container, Port, Task},
    tags,
};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// All that was fetched so far.
#[derive(Debug, Clone, Default)]
pub struct Documents {
    /// The name of the sidecar's own container.
    pub own: Option<String>,
    /// The task.
    pub task: Option<Arc<Task>>,
    /// The host below it.
    pub host: Option<Host>,
}

/// Why the documents do not make an identity.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Gap {
    /// Early in the task's life.
    #[error("{0} yet")]
    NotYet(String),
    /// The host's address is needed and unknown.
    #[error(
        "the host's address is not known: neither SDS_HOST nor the container metadata file \
         (ECS_ENABLE_CONTAINER_METADATA of the ECS agent) nor the instance metadata service tells it"
    )]
    Host,
    /// An address that no client could use.
    #[error(transparent)]
    Unusable(#[from] Invalid),
    /// Nobody can tell which container is the app, and no later document will help.
    #[error("is required: which of {0} is the app?")]
    Ambiguous(String),
}

fn not_yet(what: impl Into<String>) -> Gap {
    Gap::NotYet(what.into())
}

/// Whether the host must be asked who it is: in bridge and host mode, and outside of ECS.
pub fn needs_host(given: &Given, task: Option<&Task>) -> bool {
    let modes = task.into_iter().flat_map(|task| task.containers.iter().flatten()).filter_map(mode);
    let own_address = modes.clone().any(|mode| mode == "awsvpc") || (task.is_some() && modes.count() == 0);
    given.host.is_none() && !own_address
}

/// One instance of the task.
pub fn decide(given: &Given, wants: &Wants, documents: &Documents) -> Result<Seen, Gap> {
    let host = documents.host.clone().unwrap_or_default();
    let Some(task) = &documents.task else {
        let endpoint = Endpoint::new(given.host.or(host.ip).ok_or(Gap::Host)?, wants.port)?;
        let place = locality(given, &host.region, &host.zone);
        return Ok(seen(endpoint, LOOPBACK, place, wants, &host.id, None, false));
    };
    let app = choose(wants, documents.own.as_deref(), task)?;
    let host_ip = || given.host.or(host.ip).ok_or(Gap::Host);
    let own = || addresses(app).next().ok_or_else(|| not_yet("the app's container has no address"));
    let (ip, port, check) = match mode(app) {
        None => return Err(not_yet("the app's container has no network")),
        Some("awsvpc") => (given.host.map_or_else(own, Ok)?, wants.port, LOOPBACK),
        Some("host") => (host_ip()?, wants.port, LOOPBACK),
        Some(_) => (host_ip()?, mapped(app, wants.port)?, own()?),
    };
    let arn = task.task_arn.as_deref().unwrap_or_default();
    let zone = task.availability_zone.as_deref().filter(|zone| !zone.is_empty()).unwrap_or(&host.zone);
    let place = locality(given, region(arn, zone), zone);
    let mut seen = seen(Endpoint::new(ip, port)?, check, place, wants, arn, Some(app), stopped(app));
    if seen.identity.revision.is_empty()
        && let (Some(family), Some(revision)) = (&task.family, &task.revision)
    {
        seen.identity.revision = label(&format!("{family}:{revision}"));
    }
    seen.identity.task_arn = label(arn);
    Ok(seen)
}

/// Whether the app's container has stopped, which its document may tell without an address; `None` if it does not say.
pub fn is_dead(wants: &Wants, documents: &Documents) -> Option<bool> {
    choose(wants, documents.own.as_deref(), documents.task.as_deref()?).ok().map(stopped)
}

fn stopped(app: &Container) -> bool {
    app.known_status.as_deref() == Some("STOPPED")
}

fn seen(
    endpoint: Endpoint,
    app: IpAddr,
    locality: Locality,
    wants: &Wants,
    id: &str,
    container: Option<&Container>,
    app_dead: bool,
) -> Seen {
    let image = container.and_then(|container| container.image.as_deref()).unwrap_or_default();
    let identity = Identity {
        endpoint,
        app,
        locality,
        revision: wants.revision.clone().unwrap_or_else(|| label(tag_of(image))),
        instance_id: label(id.rsplit('/').next().unwrap_or_default()),
        task_arn: Label::default(),
        tags: tags::of(&wants.tags, container.and_then(|container| container.labels.as_ref())),
    };
    Seen { identity, app_dead }
}

/// The container that is the app: the one that is named, else the only one besides our own, else the one that
/// publishes the port.
fn choose<'a>(wants: &Wants, own: Option<&str>, task: &'a Task) -> Result<&'a Container, Gap> {
    let containers = task.containers.iter().flatten();
    let normal = containers.filter(|container| container.kind.as_deref().is_none_or(|kind| kind == "NORMAL"));
    if let Some(name) = &wants.container {
        let named = normal.clone().find(|container| container.name.as_deref() == Some(name));
        let names: Vec<_> = normal.filter_map(|container| container.name.as_deref()).collect();
        let missing = || format!("SDS_CONTAINER: there is no container '{name}' among {}", names.join(", "));
        return named.ok_or_else(|| not_yet(crate::web::shown(&missing())));
    }
    let own = own.ok_or_else(|| not_yet("the name of the sidecar's own container is not known"))?;
    let others: Vec<_> = normal.filter(|container| container.name.as_deref() != Some(own)).collect();
    let publishes = |container: &&Container| ports(container, wants.port).next().is_some();
    match others[..] {
        [] => Err(not_yet("there is no container besides the sidecar's")),
        [only] => Ok(only),
        _ => match others.iter().copied().filter(publishes).collect::<Vec<_>>()[..] {
            [only] => Ok(only),
            // Ports come when a container starts.
            [] if others.iter().any(|other| !matches!(other.known_status.as_deref(), Some("RUNNING" | "STOPPED"))) => {
                Err(not_yet("not all containers of the task run"))
            }
            _ => {
                let names: Vec<_> = others.iter().filter_map(|other| other.name.as_deref()).collect();
                Err(Gap::Ambiguous(crate::web::shown(&names.join(", "))))
            }
        },
    }
}

fn mode(container: &Container) -> Option<&str> {
    container.networks.iter().flatten().find_map(|network| network.network_mode.as_deref())
}

/// IPv4 first, as the mesh's other instances have it.
fn addresses(container: &Container) -> impl Iterator<Item = IpAddr> {
    let networks = || container.networks.iter().flatten();
    let v4 = networks().flat_map(|network| network.ipv4_addresses.iter().flatten());
    let v6 = networks().flat_map(|network| network.ipv6_addresses.iter().flatten());
    v4.chain(v6).filter_map(|text| text.parse().ok())
}

fn ports(container: &Container, port: u16) -> impl Iterator<Item = &Port> {
    let rows = container.ports.iter().flatten();
    rows.filter(move |row| row.container_port == Some(port) && row.protocol.as_deref().is_none_or(|kind| kind == "tcp"))
}

/// The host's port; the rows of 0.0.0.0 and of `::` may differ, and clients come by IPv4.
fn mapped(app: &Container, port: u16) -> Result<u16, Gap> {
    let rows = || ports(app, port).filter(|row| row.host_port.is_some_and(|port| port > 0));
    let v6 = |row: &&Port| row.host_ip.as_deref().is_some_and(|ip| ip.contains(':'));
    let row = rows().find(|row| !v6(row)).or_else(|| rows().next());
    row.and_then(|row| row.host_port)
        .ok_or_else(|| not_yet(format!("SDS_PORT: the host maps no port to the container's {port}")))
}

fn locality(given: &Given, region: &str, zone: &str) -> Locality {
    Locality {
        region: given.region.clone().unwrap_or_else(|| label(region)),
        zone: given.zone.clone().unwrap_or_else(|| label(zone)),
    }
}

/// The ARN says it; else the zone without its letter.
fn region<'a>(arn: &'a str, zone: &'a str) -> &'a str {
    match arn.split(':').nth(3) {
        Some(region) if !region.is_empty() => region,
        _ => zone.trim_end_matches(|c: char| c.is_ascii_lowercase()),
    }
}

/// The tag of an image; none, and `latest`, say nothing.
fn tag_of(image: &str) -> &str {
    let name = image.rsplit('/').next().unwrap_or_default();
    let name = name.split('@').next().unwrap_or_default();
    name.split_once(':').map(|(_, tag)| tag).filter(|tag| *tag != "latest").unwrap_or_default()
}

/// What ECS says about the task is worth showing, but no reason not to register.
fn label<const MAX: usize>(text: &str) -> Label<MAX> {
    Label::parse("", text).unwrap_or_default()
}

#[cfg(test)]
mod tests;
