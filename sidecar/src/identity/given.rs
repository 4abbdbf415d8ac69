//! What the configuration says about this instance; each of it beats the metadata.
//!
//! The address given by hand is also the only way outside of ECS's awsvpc mode. The values are validated where they
//! are read, by `config/options`.

use std::net::IpAddr;

use sds_types::{Label, Revision};

/// Given by hand; the port always is.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// `SDS_HOST`.
    pub host: Option<IpAddr>,
    /// `SDS_PORT`.
    pub port: u16,
    /// `SDS_REGION`.
    pub region: Option<Label<64>>,
    /// `SDS_AZ`.
    pub zone: Option<Label<64>>,
    /// `SDS_REVISION`.
    pub revision: Option<Revision>,
}
