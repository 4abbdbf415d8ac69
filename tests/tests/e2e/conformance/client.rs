//! A client of any of the four services: what it says and what it is told, without the variant.

use std::{collections::HashMap, time::Duration};

use anyhow::ensure;
use e2e::xds::{Delta, EDS, Sotw, delta, refusal, sotw, told};
use envoy_types::pb::{envoy::config::core::v3::Node, google::protobuf::Any};
use tonic::{Status, transport::Channel};

/// A service and the variant that it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    StreamEndpoints,
    DeltaEndpoints,
    StreamAggregatedResources,
    DeltaAggregatedResources,
}

impl Service {
    pub const ALL: [Self; 4] =
        [Self::StreamEndpoints, Self::DeltaEndpoints, Self::StreamAggregatedResources, Self::DeltaAggregatedResources];
    pub const AGGREGATED: [Self; 2] = [Self::StreamAggregatedResources, Self::DeltaAggregatedResources];

    pub fn is_delta(self) -> bool {
        matches!(self, Self::DeltaEndpoints | Self::DeltaAggregatedResources)
    }

    pub async fn open(self, channel: &Channel) -> anyhow::Result<Stream> {
        Ok(match self {
            Self::StreamEndpoints => Stream::Sotw(Sotw::endpoints(channel).await?),
            Self::DeltaEndpoints => Stream::Delta(Delta::endpoints(channel).await?),
            Self::StreamAggregatedResources => Stream::Sotw(Sotw::aggregated(channel).await?),
            Self::DeltaAggregatedResources => Stream::Delta(Delta::aggregated(channel).await?),
        })
    }
}

/// What a client says.
#[derive(Debug, Clone)]
pub struct Words {
    /// Who it is, which it need not say twice.
    pub node: Option<Node>,
    pub type_url: String,
    /// In state of the world, all that it wants.
    pub come: Vec<String>,
    pub go: Vec<String>,
    pub nonce: String,
    pub refused: bool,
    /// In state of the world, the version that it accepted last.
    pub version: String,
    /// In delta, versions that it has from another stream.
    pub held: HashMap<String, String>,
}

/// The first request of a client that wants endpoints of these.
pub fn wants(names: &[&str]) -> Words {
    Words {
        node: Some(Node { id: "test".to_owned(), ..Node::default() }),
        type_url: EDS.to_owned(),
        come: names.iter().map(|name| (*name).to_owned()).collect(),
        go: Vec::new(),
        nonce: String::new(),
        refused: false,
        version: String::new(),
        held: HashMap::new(),
    }
}

/// What it is told.
#[derive(Debug)]
pub struct Told {
    pub nonce: String,
    pub type_url: String,
    pub version: String,
    /// Of endpoints: whose, how many, and in delta the version.
    pub assignments: Vec<(String, usize, String)>,
    pub removed: Vec<String>,
}

/// A stream.
#[derive(Debug)]
pub enum Stream {
    Sotw(Sotw),
    Delta(Delta),
}

impl Stream {
    pub async fn say(&self, words: Words) -> anyhow::Result<()> {
        let Words { node, type_url, come, go, nonce, refused, version, held } = words;
        let error_detail = if refused { refusal("no") } else { None };
        match self {
            Self::Sotw(stream) => {
                let mut request = sotw(&[], &nonce);
                (request.node, request.type_url, request.resource_names) = (node, type_url, come);
                (request.version_info, request.error_detail) = (version, error_detail);
                stream.say(request).await
            }
            Self::Delta(stream) => {
                let mut request = delta(&[], &[], &nonce);
                (request.node, request.type_url, request.error_detail) = (node, type_url, error_detail);
                (request.resource_names_subscribe, request.resource_names_unsubscribe) = (come, go);
                request.initial_resource_versions = held;
                stream.say(request).await
            }
        }
    }

    pub async fn next(&mut self, within: Duration) -> anyhow::Result<Told> {
        match self {
            Self::Sotw(stream) => {
                let it = stream.next(within).await?;
                let unversioned = it.resources.iter().map(|resource| (resource, String::new()));
                let assignments = assignments(&it.type_url, unversioned)?;
                let removed = Vec::new();
                Ok(Told { nonce: it.nonce, type_url: it.type_url, version: it.version_info, assignments, removed })
            }
            Self::Delta(stream) => {
                let it = stream.next(within).await?;
                let versioned = it.resources.iter().filter_map(|it| Some((it.resource.as_ref()?, it.version.clone())));
                let assignments = assignments(&it.type_url, versioned)?;
                let named = it.resources.iter().zip(&assignments).all(|(it, (name, ..))| it.name == *name);
                ensure!(named, "names differ from what they stand for: {assignments:?}");
                let (version, removed) = (it.system_version_info, it.removed_resources);
                Ok(Told { nonce: it.nonce, type_url: it.type_url, version, assignments, removed })
            }
        }
    }

    pub async fn is_silent(&mut self, span: Duration) -> anyhow::Result<()> {
        match self {
            Self::Sotw(stream) => stream.is_silent(span).await,
            Self::Delta(stream) => stream.is_silent(span).await,
        }
    }

    pub async fn leave(self, within: Duration) -> anyhow::Result<()> {
        match self {
            Self::Sotw(stream) => stream.leave(within).await,
            Self::Delta(stream) => stream.leave(within).await,
        }
    }

    pub async fn end(&mut self, within: Duration) -> anyhow::Result<Status> {
        match self {
            Self::Sotw(stream) => stream.end(within).await,
            Self::Delta(stream) => stream.end(within).await,
        }
    }
}

fn assignments<'a>(
    type_url: &str,
    resources: impl Iterator<Item = (&'a Any, String)>,
) -> anyhow::Result<Vec<(String, usize, String)>> {
    if type_url != EDS {
        return Ok(Vec::new());
    }
    let (resources, versions): (Vec<_>, Vec<_>) = resources.unzip();
    Ok(told(resources)?.into_iter().zip(versions).map(|((name, hosts), version)| (name, hosts, version)).collect())
}
