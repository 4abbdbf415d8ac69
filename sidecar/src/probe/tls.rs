//! TLS as a check wants it: the certificate believed or not, one protocol offered, one connection's keys.
//!
//! No session is resumed: a resumed one is spared the certificate, so that an expired one would be found out late.

use std::{fmt, net::IpAddr, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    Probe,
    check::{Host, Target, Tls, Trust},
    connect::Stream,
    failure,
};

/// The system's certificate authorities, loaded if anybody asks and then shared.
#[derive(Default)]
pub struct System(Option<Arc<RootCertStore>>);

impl System {
    fn load(&mut self) -> Result<Arc<RootCertStore>, String> {
        let roots = self.0.get_or_insert_with(|| {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            Arc::new(roots)
        });
        if roots.is_empty() {
            return Err("this system has no certificate authorities: set 'ca' or 'skip_verify'".into());
        }
        Ok(Arc::clone(roots))
    }
}

/// What the probes of one check share.
#[derive(Clone)]
pub struct Client {
    connector: TlsConnector,
    name: Option<ServerName<'static>>,
    protocol: &'static str,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Client {
    /// Offers `protocol` (ALPN) and no other; fails when the system is to be trusted and names nobody.
    pub fn new(tls: &Tls, protocol: &'static str, system: &mut System) -> Result<Self, String> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match &tls.trust {
            Trust::System => builder.with_root_certificates(system.load()?),
            Trust::Only(roots) => builder.with_root_certificates(Arc::clone(roots)),
            Trust::Anybody => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody)),
        };
        let mut config = builder.with_no_client_auth();
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![protocol.into()];
        Ok(Self { connector: Arc::new(config).into(), name: tls.server_name.clone(), protocol })
    }

    /// Agrees on keys with the app at the other end of `stream`.
    pub async fn connect<S: Stream>(&self, target: Target, app: IpAddr, stream: S) -> Result<TlsStream<S>, Probe> {
        let name = match (&self.name, target.host) {
            (Some(name), _) => name.clone(),
            (None, Host::App) => app.into(),
            (None, Host::Ip(ip)) => ip.into(),
            (None, Host::Localhost) => ServerName::try_from("localhost").map_err(|error| failure(&error))?,
        };
        let stream = self.connector.connect(name, stream).await.map_err(|error| explained(&error))?;
        match stream.get_ref().1.alpn_protocol() {
            // HTTP/1.1 is what a server without ALPN speaks.
            None if self.protocol == "http/1.1" => Ok(stream),
            Some(agreed) if agreed == self.protocol.as_bytes() => Ok(stream),
            _ => Err(Probe::Fail(format!("the app does not agree to speak {} over TLS (ALPN)", self.protocol))),
        }
    }
}

/// A wrong certificate stays wrong until somebody acts, so the remedy is named.
fn explained(error: &std::io::Error) -> Probe {
    use CertificateError::{BadSignature, NotValidForName, NotValidForNameContext, Other, UnknownIssuer};
    let remedy = match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(Error::InvalidCertificate(UnknownIssuer | BadSignature)) => "; 'ca' says who signed it",
        Some(Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) => {
            "; 'server_name' says which name it is for"
        }
        // What `openssl req -x509` makes unless told otherwise; only the debug text tells it from the other others.
        Some(Error::InvalidCertificate(Other(other))) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "; it is an authority's (CA:TRUE): make it with basicConstraints=CA:FALSE, or set 'skip_verify'"
        }
        Some(Error::InvalidCertificate(_)) => "; 'skip_verify' believes any",
        _ => "",
    };
    match failure(error) {
        Probe::Fail(reason) => Probe::Fail(format!("TLS: {reason}{remedy}")),
        other => other,
    }
}

/// Believes any certificate.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
