//! All routes, and what every request goes through, in order: a request id, its peer's rate, the route, its handler,
//! counting.
//!
//! Handlers read the snapshot or call one verb of the registry; none knows the store. Errors become statuses in
//! `error` alone.

mod admin;
mod admit;
mod body;
mod clients;
mod drain;
mod ecs;
mod eds;
mod events;
mod explain;
#[cfg(test)]
mod fuzz;
mod legacy;
mod native;
mod operator;
mod path;
mod peer;
mod prometheus;
mod query;
mod rate;
mod sds;
mod services;
mod site;
mod snapshot;
mod state;
mod table;
mod usage;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::{MethodRouter, delete, get, post, put},
};
use http::{HeaderName, HeaderValue, Method, Request, header};
use tokio::time::Instant;
use tower::ServiceExt;

pub use admit::Admission;
pub use peer::{Peer, poller};
pub use rate::Rates;

use crate::{
    address::AddressPolicy,
    auth::Auth,
    drains::Drains,
    ecs::Watch,
    error::ApiError,
    listener::Listener::{self, Admin, Main, Write, Xds},
    metrics::Metrics,
    registry::Registry,
    route::Route,
    xds,
};
use rate::Kind;
use site::Site;

/// What handlers work with.
#[derive(Debug)]
pub struct App {
    /// The registry.
    pub registry: Registry,
    /// What ECS knows, if it is asked.
    pub watch: Option<Watch>,
    /// Counters.
    pub metrics: Metrics,
    /// Discovery streams.
    pub discovery: xds::Discovery,
    /// Who knows of those that drain.
    pub drains: Drains,
    /// How often a peer may ask.
    pub rates: Rates,
    /// And who is known otherwise.
    pub admission: Admission,
    /// Who may write what.
    pub auth: Auth,
    /// Which addresses may be registered.
    pub addresses: AddressPolicy,
    /// The name of the environment, for v1.
    pub env: Arc<str>,
    /// Whether v1 lists the unhealthy when there is nobody else.
    pub fail_open: bool,
    /// Those that are open.
    pub listeners: Arc<[Listener]>,
    /// Whether registrations need a client's certificate.
    pub certified_writes: bool,
    /// Set when the server is about to stop: not ready, and connections end with their next answer.
    pub stopping: AtomicBool,
}

impl App {
    /// Whether the server is about to stop.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

type Shared = axum::extract::State<Arc<App>>;

fn streams(method: MethodRouter<Arc<App>>) -> Router<Arc<App>> {
    Router::new()
        .route("/envoy.service.endpoint.v3.EndpointDiscoveryService/{method}", method.clone())
        .route("/envoy.service.discovery.v3.AggregatedDiscoveryService/{method}", method)
}

fn health() -> Router<Arc<App>> {
    Router::new()
        .route("/livez", get(admin::livez))
        .route("/readyz", get(admin::readyz))
        .route("/hc", get(admin::hc))
        .route("/healthcheck", get(admin::healthcheck))
}

fn routes(app: Arc<App>, here: Listener) -> Router {
    let (open, denied) = (app.listeners.clone(), app.metrics.denied.clone());
    let site = Site { here, open: &open, certified_writes: app.certified_writes, denied: &denied };
    let streams = match site.serves(&[Xds]) {
        true => streams(post(discover)),
        false => {
            let there = Xds.served_at(&open).variable();
            streams(post(move || xds::elsewhere(there)))
        }
    };
    requests(&site)
        .merge(streams)
        .merge(health())
        .fallback(|| async { ApiError::NotFound("no such route, GET / lists them".into()) })
        .method_not_allowed_fallback(|| async { ApiError::Method })
        .with_state(app)
}

/// All other routes, with the listeners that they belong to. A path that two dialects share is told apart by its method and
/// its body.
fn requests(site: &Site<'_>) -> Router<Arc<App>> {
    let polls = |methods| site.only(&[Main], methods);
    let writes = |methods| site.only(&[Write], site.certified(methods));
    // At the same place, and not by certificate: siblings read, and EventBridge has a token and no certificate.
    let machines = |methods| site.only(&[Write], methods);
    let operators = |methods| site.only(&[Admin], methods);
    // Whoever is called at night has one address at hand, that of the operators, and begins with these; and whoever polls
    // may see why a host is missing. Prometheus, too, may be let in at either.
    let lists = |methods| site.only(&[Main, Admin], methods);
    // The sidecar's side of a drain, and a question that is asked by people.
    let receipts = |methods| site.only(&[Write, Admin], methods);
    let registration = polls(get(sds::get)).merge(writes(post(legacy::register)));
    let host = writes(delete(legacy::deregister)).merge(polls(get(native::later)));
    let instance = writes(put(native::put).delete(native::delete)).merge(lists(get(explain::get)));
    let over = operators(put(operator::put).delete(operator::delete));
    Router::new()
        .route("/", operators(get(usage::get)))
        .route("/v1/registration/{service}", registration.clone())
        .route("/v1/registration/{service}/", registration)
        .route("/v1/registration/{service}/{host}", host.clone())
        .route("/v1/registration/{service}/{host}/", host)
        .route("/v1/registration/repo/{repo}", polls(get(legacy::repo)))
        .route("/v1/deregistration/{service}", writes(post(legacy::deregister_list)))
        .route("/v1/loadbalancing/{service}", writes(post(legacy::weigh)))
        .route("/v1/loadbalancing/{service}/{host}", writes(post(legacy::weigh)))
        .route("/v1/services", lists(get(services::services)))
        .route("/v1/services/{service}", lists(get(services::service)))
        .route("/v1/services/{service}/instances/{host}", instance)
        .route("/v1/services/{service}/instances/{host}/override", over)
        .route(
            "/v1/services/{service}/instances/{host}/drain",
            writes(post(native::drain)).merge(receipts(get(drain::get))),
        )
        .route("/v1/prometheus", lists(get(prometheus::all)))
        .route("/v1/prometheus/{service}", lists(get(prometheus::one)))
        .route("/v1/snapshot", machines(get(snapshot::get)))
        .route("/v1/clients", operators(get(clients::get)))
        .route("/v1/events", operators(get(events::get)))
        .route("/v1/ecs/events", machines(post(ecs::events)))
        .route("/v2/discovery:endpoints", polls(post(eds::v2)))
        .route("/v3/discovery:endpoints", polls(post(eds::v3)))
        .route("/metrics", operators(get(admin::metrics)))
}

async fn discover(State(app): Shared, request: Request<Body>) -> Response {
    app.discovery.serve(request).await
}

/// The service that connections hand their requests to.
#[derive(Debug, Clone)]
pub struct Http {
    app: Arc<App>,
    routes: Router,
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

impl Http {
    /// The routes of `app` as a listener has them.
    pub fn new(app: Arc<App>, here: Listener) -> Self {
        Self { routes: routes(app.clone(), here), app }
    }

    /// Answers a request of `peer`; `last` asks the client to close the connection after it.
    pub async fn answer(&self, request: Request<Body>, peer: Peer, last: bool) -> Response {
        let begun = Instant::now();
        let route = Route::of(request.method(), request.uri().path());
        let id = request_id(&request);
        let h1 = request.version() < http::Version::HTTP_2;
        let logged =
            tracing::enabled!(tracing::Level::DEBUG).then(|| (request.method().clone(), request.uri().clone()));
        let mut response = match self.too_soon(route, request.method(), peer) {
            Some(refusal) => refusal,
            None => match peer.asks(begun, self.routes.clone().oneshot(request)).await {
                Ok(response) => response,
                Err(never) => match never {},
            },
        };
        let status = response.status();
        if let Some((method, uri)) = logged {
            tracing::debug!(%method, path = uri.path(), status = status.as_u16(), request_id = ?id, "answered");
        }
        response.headers_mut().insert(REQUEST_ID, id);
        if h1 && (last || self.app.is_stopping()) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        self.app.metrics.answered(route, status.as_u16(), begun.elapsed().as_secs_f64());
        response
    }

    fn too_soon(&self, route: Route, method: &Method, peer: Peer) -> Option<Response> {
        let kind = Kind::of(route, method).filter(|kind| !self.app.rates.take(*kind, peer))?;
        self.app.metrics.rate_limited(kind.name());
        Some(ApiError::TooManyRequests.into_response())
    }
}

/// The client's own id if it is a short and plain word, else a new one.
fn request_id(request: &Request<Body>) -> HeaderValue {
    match request.headers().get(REQUEST_ID) {
        Some(id) if (1..=128).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic) => id.clone(),
        _ => {
            let mut hex = [0; 16];
            let mut bits = fastrand::u64(..);
            for digit in &mut hex {
                *digit = b"0123456789abcdef"[(bits & 15) as usize];
                bits >>= 4;
            }
            HeaderValue::from_bytes(&hex).unwrap_or(HeaderValue::from_static("-"))
        }
    }
}

/// Whether the client holds this version already; only a request that says so with `If-None-Match` is told 304.
fn not_modified(headers: &http::HeaderMap, etag: &HeaderValue) -> Option<Response> {
    let held = headers.get(header::IF_NONE_MATCH)?.to_str().ok()?;
    let ours = etag.to_str().ok()?.trim_start_matches("W/");
    let same = held.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == ours);
    same.then(|| (http::StatusCode::NOT_MODIFIED, [(header::ETAG, etag.clone())]).into_response())
}
