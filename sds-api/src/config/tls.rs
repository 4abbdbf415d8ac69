//! The options of TLS, and which of them make no sense without others. What is in the files is judged at the start
//! (`tls/material`).

use std::sync::Arc;

use rustls::ClientConfig;
use sds_types::{Pem, command::Misconfigured};

use crate::{
    listener::Listener,
    tls::{self, Files},
};

/// TLS on the listeners.
#[derive(Debug, Clone, clap::Args)]
pub struct Tls {
    /// Certificate of the listeners and its chain: a PEM file, which is read again when it changes, or the PEM text
    /// [default: no TLS]
    #[arg(long, env = "SDS_TLS_CERT", value_name = "PEM")]
    pub tls_cert: Option<Pem>,
    /// Its key, likewise
    #[arg(long, env = "SDS_TLS_KEY", value_name = "PEM")]
    pub tls_key: Option<Pem>,
    /// The listeners that speak TLS alone: main, write, admin, xds, comma-separated [default: all that are open]
    #[arg(long, env = "SDS_TLS_LISTENERS", value_name = "LIST", value_delimiter = ',')]
    pub tls_listeners: Vec<Listener>,
    /// Who signs clients' certificates, likewise; registrations are then taken only over connections with one
    #[arg(long, env = "SDS_TLS_CLIENT_CA", value_name = "PEM")]
    pub tls_client_ca: Option<Pem>,
    /// Who signs the certificates of siblings whose URL in SDS_PEERS is https, read at the start
    #[arg(long, env = "SDS_PEERS_CA", value_name = "PEM")]
    pub peers_ca: Option<Pem>,
}

impl Tls {
    /// Whether the options fit together, the listeners that are open, and whether a sibling is asked over TLS; `writes` is
    /// where registrations come in.
    pub fn check(&self, open: &[Listener], writes: Listener, secure_peers: bool) -> Result<(), Misconfigured> {
        let wrong = |variable: &str, reason: String| Err(Misconfigured::new(variable, reason));
        match self.peers_ca.is_some() {
            true if !secure_peers => return wrong("SDS_PEERS_CA", "is of no use, no URL in SDS_PEERS is https".into()),
            false if secure_peers => return wrong("SDS_PEERS_CA", "is required with https in SDS_PEERS".into()),
            _ => {}
        }
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => return wrong("SDS_TLS_KEY", "is required with SDS_TLS_CERT".into()),
            (None, Some(_)) => return wrong("SDS_TLS_CERT", "is required with SDS_TLS_KEY".into()),
            (None, None) if !self.tls_listeners.is_empty() => {
                return wrong("SDS_TLS_LISTENERS", "is of no use without SDS_TLS_CERT and SDS_TLS_KEY".into());
            }
            _ => {}
        }
        if let Some(closed) = self.tls_listeners.iter().find(|named| !open.contains(named)) {
            let reason = format!("'{}' is not open, set {}", closed.name(), closed.variable());
            return wrong("SDS_TLS_LISTENERS", reason);
        }
        if self.tls_client_ca.is_some() && !self.is_at(writes) {
            let reason =
                format!("registrations come in without TLS at {}, so no client can show one", writes.variable());
            return wrong("SDS_TLS_CLIENT_CA", reason);
        }
        Ok(())
    }

    /// Whether a listener that is open speaks TLS.
    pub fn is_at(&self, listener: Listener) -> bool {
        self.tls_cert.is_some() && (self.tls_listeners.is_empty() || self.tls_listeners.contains(&listener))
    }

    /// Whom siblings over TLS are believed.
    pub fn peers(&self) -> Result<Option<Arc<ClientConfig>>, Misconfigured> {
        self.peers_ca.as_ref().map(|ca| tls::client("SDS_PEERS_CA", ca)).transpose()
    }

    /// What has to be read, if anything.
    pub fn files(&self) -> Option<Files> {
        let (cert, key) = self.tls_cert.clone().zip(self.tls_key.clone())?;
        Some(Files { cert, key, client_ca: self.tls_client_ca.clone() })
    }
}
