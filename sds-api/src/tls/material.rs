//! What the files hold, and the keys that are made of it. What is wrong names its variable, and never what is in it.

use std::{fmt, io, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use sds_types::{Pem, command::Misconfigured};

use super::expiry::not_after;
use crate::{clock::Timestamp, metrics::Metrics};

const CERT: &str = "SDS_TLS_CERT";
const KEY: &str = "SDS_TLS_KEY";
const CLIENT_CA: &str = "SDS_TLS_CLIENT_CA";

/// Where it is.
#[derive(Debug, Clone)]
pub struct Files {
    /// The certificate and its chain.
    pub cert: Pem,
    /// Its key.
    pub key: Pem,
    /// Who signs clients' certificates.
    pub client_ca: Option<Pem>,
}

/// What they hold.
#[derive(Clone, PartialEq, Eq)]
pub struct Material {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// What handshakes are made with.
#[derive(Clone)]
pub struct Keys {
    plain: Arc<ServerConfig>,
    asking: Arc<ServerConfig>,
    /// When the first certificate of the chain ends, and the first of the clients' authorities.
    expires: Option<Timestamp>,
    client_ca_expires: Option<Timestamp>,
}

impl Files {
    /// Whether another look may find something else.
    pub fn may_change(&self) -> bool {
        [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()].into_iter().flatten().any(Pem::may_change)
    }

    /// Reads them.
    pub fn read(&self) -> Result<Material, Misconfigured> {
        Ok(Material {
            cert: read(CERT, &self.cert)?,
            key: read(KEY, &self.key)?,
            client_ca: self.client_ca.as_ref().map(|ca| read(CLIENT_CA, ca)).transpose()?,
        })
    }
}

fn read(variable: &str, pem: &Pem) -> Result<Vec<u8>, Misconfigured> {
    let unread = |error: io::Error| Misconfigured::new(variable, format!("is no PEM text, and as a file: {error}"));
    pem.read().map_err(unread)
}

impl Material {
    /// Makes keys of it, if all of it is right.
    pub fn keys(&self) -> Result<Keys, Misconfigured> {
        let chain = certificates(CERT, &self.cert)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| match error {
            pem::Error::NoItemsFound => Misconfigured::new(KEY, "holds no key in PEM"),
            _ => Misconfigured::new(KEY, "is not PEM"),
        })?;
        let authorities = self.client_ca.as_deref().map(|pem| certificates(CLIENT_CA, pem)).transpose()?;
        let verifier = authorities.as_deref().map(verifier).transpose()?;
        let expires = chain.first().and_then(|leaf| not_after(leaf));
        let client_ca_expires = authorities.iter().flatten().filter_map(|ca| not_after(ca)).min();
        let plain = server(chain.clone(), key.clone_key(), None)?;
        let asking = match verifier {
            Some(verifier) => server(chain, key, Some(verifier))?,
            None => plain.clone(),
        };
        Ok(Keys { plain, asking, expires, client_ca_expires })
    }
}

impl Keys {
    /// For a listener that asks clients for a certificate, or one that does not.
    pub fn of(&self, asking: bool) -> Arc<ServerConfig> {
        if asking { self.asking.clone() } else { self.plain.clone() }
    }

    /// Tells when they end.
    pub fn count(&self, metrics: &Metrics) {
        for (of, expires) in [("certificate", self.expires), ("client_ca", self.client_ca_expires)] {
            if let Some(at) = expires {
                metrics.expires(of, at.seconds());
            }
        }
    }
}

/// A client that believes the authorities in `pem` alone and shows no certificate.
pub fn client(variable: &str, pem: &Pem) -> Result<Arc<ClientConfig>, Misconfigured> {
    let wrong = |error: rustls::Error| Misconfigured::new(variable, error.to_string());
    let mut roots = RootCertStore::empty();
    for authority in certificates(variable, &read(variable, pem)?)? {
        roots.add(authority).map_err(wrong)?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(wrong)?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

fn certificates(variable: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Misconfigured> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(none) if none.is_empty() => Err(Misconfigured::new(variable, "holds no certificate in PEM")),
        Ok(some) => Ok(some),
        Err(error) => Err(Misconfigured::new(variable, format!("is not PEM: {error}"))),
    }
}

fn verifier(authorities: &[CertificateDer<'static>]) -> Result<Arc<dyn ClientCertVerifier>, Misconfigured> {
    let wrong = |error: &dyn fmt::Display| Misconfigured::new(CLIENT_CA, error.to_string());
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone()).map_err(|error| wrong(&error))?;
    }
    let provider = Arc::new(ring::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    builder.allow_unauthenticated().build().map_err(|error| wrong(&error))
}

fn server(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<Arc<ServerConfig>, Misconfigured> {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Misconfigured::new(CERT, error.to_string()))?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => Misconfigured::new(KEY, "is not the key of SDS_TLS_CERT"),
        rustls::Error::InvalidCertificate(_) => Misconfigured::new(CERT, error.to_string()),
        _ => Misconfigured::new(KEY, error.to_string()),
    })?;
    config.alpn_protocols = vec!["h2".into(), "http/1.1".into()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material").finish_non_exhaustive()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("expires", &self.expires).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
