//! Whom a check over TLS believes.
//!
//! By default a certificate must be good for the host as written and signed by an authority of the system. An app's
//! certificate seldom names an address, so `server_name` says which name it has; `ca` says who signed it (itself, if it
//! is no authority's), and is read here, so that a wrong file stops the start and not the first probe. `skip_verify`
//! believes anybody, which within one task is seldom a risk: then there is nothing left for `ca` to decide.

use std::{borrow::Cow, sync::Arc};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};

/// How TLS is spoken.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Sent as SNI if it is a name, and verified; unset, it is the target's host.
    pub server_name: Option<ServerName<'static>>,
    /// Whose word counts.
    pub trust: Trust,
}

/// Whose word counts about a certificate.
#[derive(Debug, Clone)]
pub enum Trust {
    /// The system's authorities.
    System,
    /// These alone.
    Only(Arc<RootCertStore>),
    /// Nothing is verified.
    Anybody,
}

impl Tls {
    /// From the options of the same names.
    pub fn new(ca: Option<&str>, skip_verify: bool, server_name: Option<String>) -> Result<Self, String> {
        let trust = match (ca, skip_verify) {
            (Some(_), true) => return Err("'skip_verify' leaves nothing for 'ca' to decide: take one out".into()),
            (None, true) => Trust::Anybody,
            (Some(ca), false) => Trust::Only(Arc::new(authorities(ca)?)),
            (None, false) => Trust::System,
        };
        let name = |name: String| {
            let wrong = format!("server_name: '{}' is not a DNS name", name.escape_debug());
            ServerName::try_from(name).map_err(|_| wrong)
        };
        Ok(Self { server_name: server_name.map(name).transpose()?, trust })
    }
}

/// Reads PEM, as text or from the file at a path.
fn authorities(ca: &str) -> Result<RootCertStore, String> {
    let (pem, place) = match ca.contains("-----BEGIN") {
        true => (Cow::from(ca.as_bytes()), "the text".to_owned()),
        false => {
            let place = format!("'{}'", ca.escape_debug());
            let hint = "it is to be PEM text or the path of a PEM file in the sidecar's container";
            (std::fs::read(ca).map_err(|error| format!("ca: {place}: {error}; {hint}"))?.into(), place)
        }
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| format!("ca: {place} is not PEM: {error}"))?;
        roots.add(certificate).map_err(|error| format!("ca: {place} has a certificate that is none: {error}"))?;
    }
    if roots.is_empty() { Err(format!("ca: {place} has no certificate in it")) } else { Ok(roots) }
}
