//! The gRPC methods: opens a stream for each call, or answers it at once.

use std::{
    future::{Ready, ready},
    marker::PhantomData,
    pin::Pin,
};

use axum::{body::Body, response::Response};
use futures_util::{Stream, stream};
use http::Request;
use tonic::{
    Status, Streaming,
    codec::{BufferSettings, Codec},
    server::{Grpc, StreamingService, UnaryService},
};
use tonic_prost::ProstCodec;

use super::{
    Discovery,
    catalog::{Catalog, Kind},
    stream::{Leaving, Serves, Session},
    subscription::Subscription,
    variant::{Delta, Sotw, Variant},
    wire::{DiscoveryRequest, DiscoveryResponse},
};
use crate::{
    drains::Reads,
    http::{Peer, poller},
};

/// Where all methods are.
pub const PREFIX: &str = "/envoy.service.";

const ENDPOINTS: &str = "endpoint.v3.EndpointDiscoveryService/";
const AGGREGATED: &str = "discovery.v3.AggregatedDiscoveryService/";

impl Discovery {
    /// Serves the method that a request's path names.
    pub async fn serve(&self, request: Request<Body>) -> Response {
        let path = request.uri().path();
        let method = path.strip_prefix(PREFIX).unwrap_or_default();
        let (serves, method) = match (method.strip_prefix(ENDPOINTS), method.strip_prefix(AGGREGATED)) {
            (Some(method), _) => (Serves::Endpoints, method.to_owned()),
            (_, Some(method)) => (Serves::Aggregated, method.to_owned()),
            _ => return unimplemented(),
        };
        match (serves, method.as_str()) {
            (Serves::Endpoints, "StreamEndpoints") | (Serves::Aggregated, "StreamAggregatedResources") => {
                Opens::<Sotw>::new(self, serves).open(request).await
            }
            (Serves::Endpoints, "DeltaEndpoints") | (Serves::Aggregated, "DeltaAggregatedResources") => {
                Opens::<Delta>::new(self, serves).open(request).await
            }
            (Serves::Endpoints, "FetchEndpoints") => {
                Grpc::new(Proto::<Sotw>::default()).unary(Fetch(self.clone()), request).await.map(Body::new)
            }
            _ => unimplemented(),
        }
    }
}

/// Where streams are not served because they have a listener of their own, in words that a gRPC client shows.
pub async fn elsewhere(variable: &'static str) -> Response {
    Status::unimplemented(format!("discovery streams are served at {variable}")).into_http()
}

fn unimplemented() -> Response {
    Status::unimplemented("no such method").into_http()
}

/// Opens streams of a variant.
struct Opens<V> {
    discovery: Discovery,
    serves: Serves,
    variant: PhantomData<fn() -> V>,
}

impl<V: Variant> Opens<V> {
    fn new(discovery: &Discovery, serves: Serves) -> Self {
        Self { discovery: discovery.clone(), serves, variant: PhantomData }
    }

    async fn open(self, request: Request<Body>) -> Response {
        Grpc::new(Proto::<V>::default()).streaming(self, request).await.map(Body::new)
    }
}

impl<V: Variant> StreamingService<V::Request> for Opens<V> {
    type Response = V::Response;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<V::Response, Status>> + Send>>;
    type Future = Ready<Result<tonic::Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, mut request: tonic::Request<Streaming<V::Request>>) -> Self::Future {
        let leaving = request.extensions_mut().remove::<Leaving>();
        let peer = Peer::asking().map(|peer| peer.addr);
        let place = self.discovery.clients.open(peer, V::NAME);
        let session = Session::<V>::new(request.into_inner(), &self.discovery, leaving, self.serves, place);
        let responses = stream::try_unfold(session, |mut session| async move {
            Ok(session.next().await?.map(|response| (response, session)))
        });
        ready(Ok(tonic::Response::new(Box::pin(responses))))
    }
}

/// Answers one request for endpoints.
struct Fetch(Discovery);

impl UnaryService<DiscoveryRequest> for Fetch {
    type Response = DiscoveryResponse;
    type Future = Ready<Result<tonic::Response<DiscoveryResponse>, Status>>;

    fn call(&mut self, request: tonic::Request<DiscoveryRequest>) -> Self::Future {
        ready(self.answer(&request.into_inner()).map(tonic::Response::new))
    }
}

impl Fetch {
    fn answer(&self, request: &DiscoveryRequest) -> Result<DiscoveryResponse, Status> {
        const KIND: Kind = Kind::Endpoints;
        if !["", KIND.type_url()].contains(&request.type_url.as_str()) {
            return Err(Status::invalid_argument("only endpoints are served here"));
        }
        let snapshot = self.0.snapshots.borrow().clone();
        let snapshot = snapshot.ok_or_else(|| Status::unavailable("the first read of the store is not complete"))?;
        let catalog = Catalog { snapshot: &snapshot, gateway: self.0.gateway };
        let mut once = Subscription::default();
        once.hear(&request.resource_names, "", false, false)
            .map_err(|_| Status::resource_exhausted("too many names in one request"))?;
        let push = Sotw::push(KIND, &mut once, catalog).ok_or_else(|| Status::invalid_argument("no names"))?;
        let poller = poller(None);
        for (name, version) in &push.resources {
            if let Some(version) = version.filter(|_| snapshot.services.contains_key(name.as_ref())) {
                self.0.pollers.answered(poller, Reads::Health, name, version);
            }
        }
        Ok(Sotw::spell(KIND, push, catalog))
    }
}

/// prost's codec with small buffers: there is one of each for every stream, and most of them are silent.
struct Proto<V>(PhantomData<fn() -> V>);

impl<V> Default for Proto<V> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

fn buffers() -> BufferSettings {
    BufferSettings::new(1024, 32 * 1024)
}

impl<V: Variant> Codec for Proto<V> {
    type Encode = V::Response;
    type Decode = V::Request;
    type Encoder = <ProstCodec<V::Response, V::Request> as Codec>::Encoder;
    type Decoder = <ProstCodec<V::Response, V::Request> as Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<V::Response, V::Request>::raw_encoder(buffers())
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<V::Response, V::Request>::raw_decoder(buffers())
    }
}
