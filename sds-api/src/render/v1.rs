//! Spells a service for `GET /v1/registration/{service}`: Envoy 1.4 to 1.8 and the ancestors' clients; and the hosts of a
//! repository in the same words, for lyft/discovery's.

use bytes::Bytes;
use http::HeaderValue;
use sds_types::{Label, ServiceName, V1Host, V1Registration, V1Repo, V1Tags};

use crate::{
    registry::{Instance, Service, Snapshot, Version},
    view,
};

/// The body and what its headers say.
#[derive(Debug)]
pub struct Answer {
    /// JSON.
    pub body: Bytes,
    /// Weak: the content version. The bytes also move with the hosts' last sign of life.
    pub etag: HeaderValue,
    /// Whether these are not the healthy hosts.
    pub fail_open: bool,
}

/// The answer for a service.
pub fn render(service: &Service, env: &str, fail_open: bool) -> Answer {
    let list = view::v1(service, fail_open);
    let hosts = list.hosts.iter().map(|instance| host(&service.name, instance)).collect();
    answer(&service.name, env, hosts, service.version, list.fail_open)
}

/// The answer for a name that nobody serves: Envoy keeps its hosts on anything but a 200.
pub fn unknown(name: &ServiceName, env: &str) -> Answer {
    answer(name, env, Vec::new(), Version::of(name.as_str(), &[]), false)
}

/// The hosts of all services whose registrants named a repository.
#[derive(Debug)]
pub struct RepoAnswer {
    /// JSON.
    pub body: Bytes,
    /// How many hosts of their services are only held.
    pub held: usize,
    /// Whether some of them are not healthy.
    pub fail_open: bool,
}

/// The answer for a repository: from each service the hosts that its own list has, by service, zone, ip, port.
pub fn repo(snapshot: &Snapshot, repo: &Label<256>, env: &str, fail_open: bool) -> RepoAnswer {
    let of_repo = |instance: &Instance| instance.content.service_repo_name == *repo;
    let mut services: Vec<&Service> = snapshot.services.values().map(|service| &**service).collect();
    services.retain(|service| service.instances.iter().any(of_repo));
    services.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let lists: Vec<_> = services.iter().map(|service| (service, view::v1(service, fail_open))).collect();
    let hosts = lists.iter().flat_map(|(service, list)| {
        list.hosts.iter().filter(|instance| of_repo(instance)).map(|instance| host(&service.name, instance))
    });
    RepoAnswer {
        body: super::json(&V1Repo { service_repo_name: repo.as_str(), env, hosts: hosts.collect() }),
        held: services.iter().map(|service| service.holding()).sum(),
        fail_open: lists.iter().any(|(_, list)| list.fail_open),
    }
}

fn answer(name: &ServiceName, env: &str, hosts: Vec<V1Host<'_>>, version: Version, fail_open: bool) -> Answer {
    Answer {
        body: super::json(&V1Registration { service: name.as_str(), env, hosts }),
        etag: super::etag(version),
        fail_open,
    }
}

fn host<'a>(name: &'a ServiceName, instance: &'a Instance) -> V1Host<'a> {
    let heard = instance.heard.get();
    let content = &instance.content;
    V1Host {
        service: name.as_str(),
        ip_address: instance.endpoint.ip().to_string(),
        port: instance.endpoint.port(),
        revision: content.revision.as_str(),
        service_repo_name: content.service_repo_name.as_str(),
        last_check_in: heard.to_string(),
        expire_time: heard.plus(instance.lease).seconds(),
        tags: V1Tags {
            az: content.locality.zone.as_str(),
            region: content.locality.region.as_str(),
            instance_id: content.instance_id.as_str(),
            canary: content.canary,
            load_balancing_weight: content.weight,
            other: &content.tags,
        },
    }
}
