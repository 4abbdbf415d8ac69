//! `GET /`: the first thing that somebody with nothing but curl sees.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Uri, header};

use super::Shared;

pub async fn get(State(app): Shared, uri: Uri, headers: HeaderMap) -> Response {
    let counts = match app.registry.snapshot() {
        None => "not ready: the first read of the store is not complete".to_owned(),
        Some(snapshot) => {
            let instances: usize = snapshot.services.values().map(|service| service.instances.len()).sum();
            format!("{} services, {instances} instances in service", snapshot.services.len())
        }
    };
    // Echoed into lines to be copied, so only what can be part of a URL's authority.
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = uri.authority().map(|authority| authority.as_str()).or(host);
    let plain = |host: &&str| host.bytes().all(|b| b.is_ascii_alphanumeric() || b".:-[]".contains(&b));
    let host = host.filter(plain).unwrap_or("127.0.0.1:8080");
    let version = env!("CARGO_PKG_VERSION");
    // The lines below name one address.
    let places = match &*app.listeners {
        [_] => String::new(),
        open => format!(
            "\nEach at its own address: {}\n",
            open.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        ),
    };
    format!(
        "sds-api {version}: service registry for Envoy ({env})
{counts}
{places}
Read
  curl 'http://{host}/v1/services?format=text'              # all services
  curl 'http://{host}/v1/services/web?format=text'          # the instances of one
  curl 'http://{host}/v1/services/web/instances/10.0.0.1:80?format=text'   # why it is, or is not, in each answer
  curl 'http://{host}/v1/services?unregistered&format=text'  # tasks that run with a sidecar and are in no service, if ECS is asked
  curl 'http://{host}/v1/events?service=web&format=text'    # what happened lately, as this replica saw it
  curl 'http://{host}/v1/events?audit=true&format=text'     # the same, and who wrote what through this replica
  curl 'http://{host}/v1/clients?service=web&format=text'   # who holds a discovery stream, and what it was told
  curl http://{host}/v1/registration/web                    # as Envoy 1.4 to 1.8 polls it
  curl http://{host}/v1/prometheus/web                      # targets for Prometheus' http_sd_configs; without /web all
  curl http://{host}/v3/discovery:endpoints -d '{{\"resource_names\":[\"web\"]}}'   # REST EDS; v2 likewise

Write (where a policy asks for it with -H 'authorization: Bearer TOKEN'; sidecars; a higher incarnation owns the ip:port, seq rises with each request)
  curl -X PUT http://{host}/v1/services/web/instances/10.0.0.1:80 -d '{{\"incarnation\":1,\"seq\":1,\"health\":\"healthy\"}}'
  curl -X POST http://{host}/v1/services/web/instances/10.0.0.1:80/drain -d '{{\"incarnation\":1,\"seq\":2}}'
  curl 'http://{host}/v1/services/web/instances/10.0.0.1:80/drain?format=text'      # who may not know yet that it drains
  curl -X DELETE 'http://{host}/v1/services/web/instances/10.0.0.1:80?incarnation=1&seq=3'

Write (clients of cookpad/sds, lyft/discovery, kumonos-sds)
  curl http://{host}/v1/registration/web -d '{{\"ip\":\"10.0.0.1\",\"port\":80,\"revision\":\"r1\",\"tags\":{{\"az\":\"a\"}}}}'
  curl -X DELETE http://{host}/v1/registration/web/10.0.0.1:80
  curl http://{host}/v1/registration/web -d 'ip=10.0.0.1&port=80&revision=r1' -d 'tags={{\"az\":\"a\",\"region\":\"r\",\"instance_id\":\"i\"}}'
  curl -X DELETE http://{host}/v1/registration/web/10.0.0.1
  curl http://{host}/v1/loadbalancing/web/10.0.0.1 -d load_balancing_weight=10      # for 7 days; without the ip for all
  curl http://{host}/v1/registration/repo/my-repo           # by service_repo_name
  curl http://{host}/v1/registration/web -d '{{\"hosts\":[{{\"ip_address\":\"10.0.0.1\",\"port\":80}}]}}'
  curl http://{host}/v1/deregistration/web -d '{{\"hosts\":[{{\"ip_address\":\"10.0.0.1\",\"port\":80}}]}}'

Operate (from this machine, or with -H 'authorization: Bearer TOKEN'; wins over the registrant, ends by itself: default 1h, at most 7d)
  curl -X PUT http://{host}/v1/services/web/instances/10.0.0.1:80/override \\
    -d '{{\"status\":\"draining\",\"reason\":\"bad disk\",\"who\":\"ann\",\"for\":\"2h\"}}'   # or unhealthy; also weight, canary; or until
  curl -X DELETE http://{host}/v1/services/web/instances/10.0.0.1:80/override

Look after
  curl http://{host}/livez                                  # does the sync loop turn
  curl http://{host}/readyz                                 # is anything known (also /hc, /healthcheck)
  curl http://{host}/metrics                                # Prometheus
",
        env = app.env
    )
    .into_response()
}
