//! A client of discovery streams that says exactly what a test wants said: Envoy's own messages, over tonic.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, bail, ensure};
use envoy_types::pb::{
    envoy::{
        config::{
            core::v3::{Node, address::Address, socket_address::PortSpecifier},
            endpoint::v3::{ClusterLoadAssignment, lb_endpoint::HostIdentifier},
        },
        service::{
            discovery::v3::{
                DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
                aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
            },
            endpoint::v3::endpoint_discovery_service_client::EndpointDiscoveryServiceClient,
        },
    },
    google::{protobuf::Any, rpc::Status as Refusal},
};
use futures_util::stream;
use prost::Message;
use tokio::{sync::mpsc, time::timeout};
use tonic::{Status, Streaming, transport::Channel};

/// The type of endpoints.
pub const EDS: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";

/// A connection to a registry.
pub async fn connect(addr: SocketAddr) -> anyhow::Result<Channel> {
    Channel::from_shared(format!("http://{addr}"))?.connect().await.context("connecting")
}

/// One stream, of requests and responses of either variant.
#[derive(Debug)]
pub struct Stream<Q, S> {
    requests: mpsc::Sender<Q>,
    responses: Streaming<S>,
}

/// State of the world.
pub type Sotw = Stream<DiscoveryRequest, DiscoveryResponse>;
/// Incremental.
pub type Delta = Stream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;

impl Sotw {
    /// A stream of endpoints alone.
    pub async fn endpoints(channel: &Channel) -> anyhow::Result<Self> {
        let (requests, said) = mpsc::channel(16);
        let mut client = EndpointDiscoveryServiceClient::new(channel.clone());
        Ok(Self { requests, responses: client.stream_endpoints(spoken(said)).await?.into_inner() })
    }

    /// An aggregated stream.
    pub async fn aggregated(channel: &Channel) -> anyhow::Result<Self> {
        let (requests, said) = mpsc::channel(16);
        let mut client = AggregatedDiscoveryServiceClient::new(channel.clone());
        let responses = client.stream_aggregated_resources(spoken(said)).await?.into_inner();
        Ok(Self { requests, responses })
    }
}

impl Delta {
    /// A stream of endpoints alone.
    pub async fn endpoints(channel: &Channel) -> anyhow::Result<Self> {
        let (requests, said) = mpsc::channel(16);
        let mut client = EndpointDiscoveryServiceClient::new(channel.clone());
        Ok(Self { requests, responses: client.delta_endpoints(spoken(said)).await?.into_inner() })
    }

    /// An aggregated stream.
    pub async fn aggregated(channel: &Channel) -> anyhow::Result<Self> {
        let (requests, said) = mpsc::channel(16);
        let mut client = AggregatedDiscoveryServiceClient::new(channel.clone());
        let responses = client.delta_aggregated_resources(spoken(said)).await?.into_inner();
        Ok(Self { requests, responses })
    }
}

fn spoken<Q>(said: mpsc::Receiver<Q>) -> impl stream::Stream<Item = Q> {
    stream::unfold(said, async |mut said| Some((said.recv().await?, said)))
}

impl<Q, S> Stream<Q, S> {
    /// Says something.
    pub async fn say(&self, request: Q) -> anyhow::Result<()> {
        self.requests.send(request).await.ok().context("the stream has ended")
    }

    /// The next response.
    pub async fn next(&mut self, within: Duration) -> anyhow::Result<S> {
        let message = timeout(within, self.responses.message()).await.context("no response in time")?;
        message?.context("the stream has ended")
    }

    /// Nothing comes for a while.
    pub async fn is_silent(&mut self, span: Duration) -> anyhow::Result<()> {
        ensure!(timeout(span, self.responses.message()).await.is_err(), "something came");
        Ok(())
    }

    /// Says that no more requests come; it ends well, and responses before that are passed over.
    pub async fn leave(self, within: Duration) -> anyhow::Result<()> {
        let Self { requests, mut responses } = self;
        drop(requests);
        let end = async {
            while responses.message().await?.is_some() {}
            anyhow::Ok(())
        };
        timeout(within, end).await.context("it goes on")?
    }

    /// How it ends; responses before that are passed over.
    pub async fn end(&mut self, within: Duration) -> anyhow::Result<Status> {
        let end = async {
            loop {
                match self.responses.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => bail!("it ended well"),
                    Err(status) => return Ok(status),
                }
            }
        };
        timeout(within, end).await.context("it goes on")?
    }
}

/// A request of state of the world.
pub fn sotw(names: &[&str], nonce: &str) -> DiscoveryRequest {
    DiscoveryRequest {
        node: Some(Node { id: "test".to_owned(), ..Node::default() }),
        type_url: EDS.to_owned(),
        resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
        response_nonce: nonce.to_owned(),
        ..DiscoveryRequest::default()
    }
}

/// A delta request.
pub fn delta(come: &[&str], go: &[&str], nonce: &str) -> DeltaDiscoveryRequest {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    DeltaDiscoveryRequest {
        type_url: EDS.to_owned(),
        resource_names_subscribe: owned(come),
        resource_names_unsubscribe: owned(go),
        response_nonce: nonce.to_owned(),
        ..DeltaDiscoveryRequest::default()
    }
}

/// Why something is refused.
pub fn refusal(why: &str) -> Option<Refusal> {
    Some(Refusal { code: 3, message: why.to_owned(), details: Vec::new() })
}

/// The cluster's name and its hosts.
pub fn hosts(resource: &Any) -> anyhow::Result<(String, Vec<String>)> {
    ensure!(resource.type_url == EDS, "a {}", resource.type_url);
    let assignment = ClusterLoadAssignment::decode(resource.value.as_slice())?;
    let mut hosts = Vec::new();
    for host in assignment.endpoints.iter().flat_map(|locality| &locality.lb_endpoints) {
        let Some(HostIdentifier::Endpoint(endpoint)) = &host.host_identifier else { bail!("no endpoint") };
        let Some(Address::SocketAddress(at)) = endpoint.address.as_ref().and_then(|at| at.address.as_ref()) else {
            bail!("no address")
        };
        let Some(PortSpecifier::PortValue(port)) = at.port_specifier else { bail!("no port") };
        hosts.push(format!("{}:{port}", at.address));
    }
    Ok((assignment.cluster_name, hosts))
}

/// The clusters of a response and how many hosts each has.
pub fn told<'a>(resources: impl IntoIterator<Item = &'a Any>) -> anyhow::Result<Vec<(String, usize)>> {
    resources.into_iter().map(|resource| hosts(resource).map(|(name, hosts)| (name, hosts.len()))).collect()
}
