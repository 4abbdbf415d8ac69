//! The least that can tell an Envoy of a host: tonic's own server, one service, and no registry behind it.
//!
//! It is what a push costs when nothing is stored, compared, versioned or shared. It trusts its client: the first request
//! for endpoints opens the stream's mouth, and whatever is said later is read and ignored.

use std::{net::SocketAddr, pin::Pin};

use envoy_types::pb::{
    envoy::{
        config::{
            core::v3::{Address, SocketAddress, address, socket_address::PortSpecifier},
            endpoint::v3::{
                ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier,
            },
        },
        service::discovery::v3::{
            DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource,
            aggregated_discovery_service_server::{AggregatedDiscoveryService, AggregatedDiscoveryServiceServer},
        },
    },
    google::protobuf::Any,
};
use futures_util::{Stream, stream};
use prost::Message;
use tokio::{sync::watch, task::JoinSet};
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Server, server::TcpIncoming},
};

use crate::xds::EDS;

/// A running server of one cluster.
#[derive(Debug)]
pub struct Push {
    /// Where it listens.
    pub addr: SocketAddr,
    cluster: String,
    told: watch::Sender<ClusterLoadAssignment>,
    _tasks: JoinSet<()>,
}

impl Push {
    /// Starts one whose cluster has no host.
    pub fn start(cluster: &str) -> anyhow::Result<Self> {
        let incoming = TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?.with_nodelay(Some(true));
        let addr = incoming.local_addr()?;
        let (told, telling) = watch::channel(assignment(cluster, &[]));
        let mut tasks = JoinSet::new();
        let service = AggregatedDiscoveryServiceServer::new(Service(telling));
        tasks.spawn(async move { drop(Server::builder().serve_with_incoming(service, incoming).await) });
        Ok(Self { addr, cluster: cluster.to_owned(), told, _tasks: tasks })
    }

    /// Tells all streams that the cluster has these hosts.
    pub fn tell(&self, hosts: &[SocketAddr]) {
        self.told.send_replace(assignment(&self.cluster, hosts));
    }
}

fn assignment(cluster: &str, hosts: &[SocketAddr]) -> ClusterLoadAssignment {
    let lb_endpoints = hosts.iter().map(|host| endpoint(*host)).collect();
    let endpoints = vec![LocalityLbEndpoints { lb_endpoints, ..Default::default() }];
    ClusterLoadAssignment { cluster_name: cluster.to_owned(), endpoints, ..Default::default() }
}

fn endpoint(host: SocketAddr) -> LbEndpoint {
    let port = Some(PortSpecifier::PortValue(u32::from(host.port())));
    let at = SocketAddress { address: host.ip().to_string(), port_specifier: port, ..Default::default() };
    let address = Some(Address { address: Some(address::Address::SocketAddress(at)) });
    let endpoint = Endpoint { address, ..Default::default() };
    LbEndpoint { host_identifier: Some(HostIdentifier::Endpoint(endpoint)), ..Default::default() }
}

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

struct Service(watch::Receiver<ClusterLoadAssignment>);

#[tonic::async_trait]
impl AggregatedDiscoveryService for Service {
    type StreamAggregatedResourcesStream = Responses<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        _: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("only the incremental variant is here"))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let session = Session { requests: request.into_inner(), told: self.0.clone(), version: 0 };
        let responses = stream::try_unfold(session, async |mut session: Session| {
            Ok(session.next().await?.map(|response| (response, session)))
        });
        Ok(Response::new(Box::pin(responses)))
    }
}

struct Session {
    requests: Streaming<DeltaDiscoveryRequest>,
    told: watch::Receiver<ClusterLoadAssignment>,
    /// Of the last response; 0 before the subscription.
    version: u64,
}

impl Session {
    async fn next(&mut self) -> Result<Option<DeltaDiscoveryResponse>, Status> {
        loop {
            tokio::select! {
                request = self.requests.message() => match request? {
                    None => return Ok(None),
                    Some(request) if self.version == 0 && request.type_url == EDS => return Ok(Some(self.respond())),
                    Some(_) => {}
                },
                changed = self.told.changed(), if self.version > 0 => {
                    changed.map_err(|_| Status::unavailable("it ends"))?;
                    return Ok(Some(self.respond()));
                }
            }
        }
    }

    fn respond(&mut self) -> DeltaDiscoveryResponse {
        self.version += 1;
        let version = self.version.to_string();
        let told = self.told.borrow_and_update();
        let content = Any { type_url: EDS.to_owned(), value: told.encode_to_vec() };
        let name = told.cluster_name.clone();
        let resource = Resource { name, version: version.clone(), resource: Some(content), ..Default::default() };
        DeltaDiscoveryResponse {
            type_url: EDS.to_owned(),
            resources: vec![resource],
            nonce: version,
            ..Default::default()
        }
    }
}
