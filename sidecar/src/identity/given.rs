//! What the configuration says: about the task as a whole, about each of its instances, and what a host tells of
//! itself. What is given by hand beats every document.
//!
//! The values are validated where they are read, by `config/options` and `config/service`.

use std::net::IpAddr;

use sds_types::{Label, Revision, Tags};

/// Given by hand for the whole task.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// `SDS_HOST`.
    pub host: Option<IpAddr>,
    /// `SDS_REGION`.
    pub region: Option<Label<64>>,
    /// `SDS_AZ`.
    pub zone: Option<Label<64>>,
}

/// Given for one instance.
#[derive(Debug, Clone, Default)]
pub struct Wants {
    /// `SDS_PORT`: the app's port, in its container.
    pub port: u16,
    /// `SDS_CONTAINER`: which container is the app.
    pub container: Option<String>,
    /// `SDS_REVISION`.
    pub revision: Option<Revision>,
    /// `SDS_TAGS`.
    pub tags: Tags,
}

/// The host below the task, where the task's own document lacks it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// Its primary private address.
    pub ip: Option<IpAddr>,
    /// Such as `ap-northeast-1`.
    pub region: String,
    /// Such as `ap-northeast-1a`.
    pub zone: String,
    /// Such as `i-0123456789abcdef0`.
    pub id: String,
}
