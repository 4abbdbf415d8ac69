//! The messages of a discovery stream (envoy.service.discovery.v3), with the fields that count here.
//!
//! An Envoy describes its whole self in `node`, tens of kilobytes; what is not named here is skipped, not stored. An
//! embedded message is bytes behind a length, so a resource that was encoded once goes out as such bytes.

use bytes::Bytes;
use prost::Message;

/// Who asks.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Node {
    /// The node's own name.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The service cluster that it belongs to.
    #[prost(string, tag = "2")]
    pub cluster: String,
}

/// `google.rpc.Status`: why a response was refused.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Refusal {
    /// In words.
    #[prost(string, tag = "2")]
    pub message: String,
}

/// State of the world: each request names all that is wanted.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct DiscoveryRequest {
    /// What the client holds.
    #[prost(string, tag = "1")]
    pub version_info: String,
    /// Perhaps only with the first request of a stream.
    #[prost(message, optional, tag = "2")]
    pub node: Option<Node>,
    /// All that is wanted.
    #[prost(string, repeated, tag = "3")]
    pub resource_names: Vec<String>,
    /// Of which type.
    #[prost(string, tag = "4")]
    pub type_url: String,
    /// Which response this is the answer to; empty if to none.
    #[prost(string, tag = "5")]
    pub response_nonce: String,
    /// Why that response was refused, if it was.
    #[prost(message, optional, tag = "6")]
    pub error_detail: Option<Refusal>,
}

/// An answer to one, or news for it.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct DiscoveryResponse {
    /// Of all that is wanted.
    #[prost(string, tag = "1")]
    pub version_info: String,
    /// Each a whole `google.protobuf.Any`.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub resources: Vec<Bytes>,
    /// Of which type.
    #[prost(string, tag = "4")]
    pub type_url: String,
    /// To be told back.
    #[prost(string, tag = "5")]
    pub nonce: String,
}

/// Delta: each request names what changes in what is wanted.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct DeltaDiscoveryRequest {
    /// Perhaps only with the first request of a stream.
    #[prost(message, optional, tag = "1")]
    pub node: Option<Node>,
    /// Of which type.
    #[prost(string, tag = "2")]
    pub type_url: String,
    /// Wanted from now on.
    #[prost(string, repeated, tag = "3")]
    pub resource_names_subscribe: Vec<String>,
    /// Not wanted any more.
    #[prost(string, repeated, tag = "4")]
    pub resource_names_unsubscribe: Vec<String>,
    /// What the client holds, in the first request of a stream.
    #[prost(btree_map = "string, string", tag = "5")]
    pub initial_resource_versions: std::collections::BTreeMap<String, String>,
    /// Which response this is the answer to; empty if to none.
    #[prost(string, tag = "6")]
    pub response_nonce: String,
    /// Why that response was refused, if it was.
    #[prost(message, optional, tag = "7")]
    pub error_detail: Option<Refusal>,
}

/// One resource of a delta response.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Resource {
    /// Its own version.
    #[prost(string, tag = "1")]
    pub version: String,
    /// A whole `google.protobuf.Any`.
    #[prost(bytes = "bytes", tag = "2")]
    pub resource: Bytes,
    /// Its name.
    #[prost(string, tag = "3")]
    pub name: String,
}

/// An answer to a delta request, or news for it.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct DeltaDiscoveryResponse {
    /// For people.
    #[prost(string, tag = "1")]
    pub system_version_info: String,
    /// What is new.
    #[prost(message, repeated, tag = "2")]
    pub resources: Vec<Resource>,
    /// Of which type.
    #[prost(string, tag = "4")]
    pub type_url: String,
    /// To be told back.
    #[prost(string, tag = "5")]
    pub nonce: String,
    /// What there is not, or not any more.
    #[prost(string, repeated, tag = "6")]
    pub removed_resources: Vec<String>,
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::{
        envoy::service::discovery::v3 as envoy,
        google::{protobuf::Any, rpc::Status},
    };

    use super::*;

    fn any() -> Any {
        Any { type_url: "type.googleapis.com/x".into(), value: vec![1, 2, 3] }
    }

    #[test]
    fn requests_are_read_as_envoy_writes_them() {
        let refused = Status { code: 3, message: "bad host".into(), details: Vec::new() };
        let whole = envoy::DiscoveryRequest {
            version_info: "v".into(),
            resource_names: vec!["a".into(), "b".into()],
            type_url: "t".into(),
            response_nonce: "7".into(),
            error_detail: Some(refused.clone()),
            ..Default::default()
        };
        let read = DiscoveryRequest::decode(whole.encode_to_vec().as_slice()).unwrap();
        assert_eq!((read.version_info.as_str(), read.type_url.as_str(), read.response_nonce.as_str()), ("v", "t", "7"));
        assert_eq!(
            (read.resource_names, read.error_detail.unwrap().message),
            (whole.resource_names, "bad host".into())
        );
        let delta = envoy::DeltaDiscoveryRequest {
            type_url: "t".into(),
            resource_names_subscribe: vec!["a".into()],
            resource_names_unsubscribe: vec!["b".into()],
            initial_resource_versions: [("c".to_owned(), "9".to_owned())].into(),
            response_nonce: "7".into(),
            error_detail: Some(refused),
            ..Default::default()
        };
        let read = DeltaDiscoveryRequest::decode(delta.encode_to_vec().as_slice()).unwrap();
        assert_eq!((read.type_url.as_str(), read.response_nonce.as_str()), ("t", "7"));
        assert_eq!(read.resource_names_subscribe, ["a"]);
        assert_eq!(read.resource_names_unsubscribe, ["b"]);
        assert_eq!(read.initial_resource_versions["c"], "9");
        assert_eq!(read.error_detail.unwrap().message, "bad host");
    }

    #[test]
    fn responses_are_written_as_envoy_reads_them() {
        let resource = Bytes::from(any().encode_to_vec());
        let sotw = DiscoveryResponse {
            version_info: "v".into(),
            resources: vec![resource.clone(), resource.clone()],
            type_url: "t".into(),
            nonce: "1".into(),
        };
        let read = envoy::DiscoveryResponse::decode(sotw.encode_to_vec().as_slice()).unwrap();
        assert_eq!((read.version_info.as_str(), read.type_url.as_str(), read.nonce.as_str()), ("v", "t", "1"));
        assert_eq!(read.resources, [any(), any()]);
        let delta = DeltaDiscoveryResponse {
            system_version_info: "v".into(),
            resources: vec![Resource { version: "9".into(), resource, name: "a".into() }],
            type_url: "t".into(),
            nonce: "1".into(),
            removed_resources: vec!["b".into()],
        };
        let read = envoy::DeltaDiscoveryResponse::decode(delta.encode_to_vec().as_slice()).unwrap();
        assert_eq!(read.removed_resources, ["b"]);
        let one = &read.resources[0];
        assert_eq!((one.name.as_str(), one.version.as_str(), one.resource.clone()), ("a", "9", Some(any())));
        assert_eq!((read.system_version_info.as_str(), read.type_url.as_str(), read.nonce.as_str()), ("v", "t", "1"));
    }
}
