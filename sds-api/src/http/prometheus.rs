//! `GET /v1/prometheus`, `/v1/prometheus/{service}`: targets for Prometheus, by its HTTP service discovery
//! (`http_sd_configs`, which wants a 200, JSON, and the whole list each time).
//!
//! Prometheus keeps its targets when it is refused, so until the first complete read it is; and what nobody serves is an
//! empty list with 200, as Prometheus asks for it. A refusal instead would leave it scraping the addresses of a service
//! that is gone, where others listen by now. The list is never empty for another reason: the registry serves what it knew
//! while its store is away, and holds many that fall silent at once.
//!
//! All services go out one after the other, each as the bytes that are kept with its version: of a large registry they are
//! tens of megabytes, which nobody who reads slowly is to hold a copy of, and which are not to be rendered at one go.

use std::{convert::Infallible, sync::Arc};

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderValue, header};
use tokio::task::yield_now;

use super::{App, Shared, path::Service as Name, state};
use crate::{
    error::ApiError,
    registry::{Service, Snapshot},
    render::prometheus,
};

/// All services.
pub async fn all(State(app): Shared) -> Result<Response, ApiError> {
    let snapshot = app.registry.snapshot().ok_or(ApiError::NotReady)?;
    let held = snapshot.services.values().map(|service| service.holding()).sum();
    Ok(answer(&app, Body::from_stream(list(&snapshot).map(Ok::<_, Infallible>)), held))
}

/// One.
pub async fn one(State(app): Shared, Name(name): Name) -> Result<Response, ApiError> {
    Ok(match app.registry.service(name.as_str()).ok_or(ApiError::NotReady)? {
        Some(service) => answer(&app, prometheus::of(&service).clone().into(), service.holding()),
        None => answer(&app, prometheus::NONE.into(), 0),
    })
}

/// The targets of all services, by name. Between two of them others have their turn.
fn list(snapshot: &Snapshot) -> impl Stream<Item = Bytes> + use<> {
    let mut services: Vec<Arc<Service>> = snapshot.services.values().cloned().collect();
    services.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let [open, comma, close] = ["[", ",", "]"].map(|mark| Bytes::from_static(mark.as_bytes()));
    let services = stream::iter(services).enumerate().then(async |(nth, service)| {
        yield_now().await;
        (nth > 0, prometheus::inside(&service))
    });
    let services = services
        .flat_map(move |(further, targets)| stream::iter(further.then(|| comma.clone()).into_iter().chain([targets])));
    stream::iter([open]).chain(services).chain(stream::iter([close]))
}

fn answer(app: &App, targets: Body, held: usize) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (state::NAME, state::of(app, held, false)),
    ];
    (headers, targets).into_response()
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;
    use crate::{
        clock::{Stamp, Timestamp},
        instance::{Origin, Status},
        registry::Instance,
    };

    fn instance(at: &&str) -> Instance {
        Instance {
            endpoint: at.parse().unwrap(),
            at: sds_types::Sequence { incarnation: 1, seq: 1 },
            status: Status::Healthy,
            origin: Origin::Native,
            content: Arc::default(),
            operator: None,
            heard: Stamp::new(Timestamp::EPOCH),
            lease: std::time::Duration::from_secs(30),
        }
    }

    async fn told(snapshot: &Snapshot) -> String {
        let pieces: Vec<Bytes> = list(snapshot).collect().await;
        assert!(pieces.iter().all(|piece| !piece.is_empty()), "an empty piece ends an answer");
        String::from_utf8(pieces.concat()).unwrap()
    }

    #[tokio::test]
    async fn the_targets_of_all_are_those_of_each() {
        assert_eq!(told(&Snapshot::default()).await, "[]");
        let service = |name: &str, at: &[&str]| {
            let name: sds_types::ServiceName = name.parse().unwrap();
            (name.clone(), Arc::new(Service::new(name, at.iter().map(instance).collect(), 0)))
        };
        let services = [service("b", &["10.0.0.1:80"]), service("a", &["10.0.0.3:80", "10.0.0.2:80"])];
        let snapshot = Snapshot { services: services.into(), known: Arc::default() };
        let all: serde_json::Value = serde_json::from_str(&told(&snapshot).await).unwrap();
        let targets: Vec<_> =
            all.as_array().unwrap().iter().map(|group| group["targets"][0].as_str().unwrap()).collect();
        assert_eq!(targets, ["10.0.0.2:80", "10.0.0.3:80", "10.0.0.1:80"]);
        for service in snapshot.services.values() {
            service.answers.targets(|| unreachable!("rendered twice"));
        }
    }
}
