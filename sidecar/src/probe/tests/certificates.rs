//! An app with a certificate: one authority for all, leaves for any names.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
use tokio::sync::mpsc;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::*;

/// An authority, and what it signs.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// For the option `ca`.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// For these names and addresses.
    pub fn leaf(&self, names: &[&str], age: Age) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        if age == Age::Expired {
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        }
        (params.signed_by(&key, &self.0).unwrap(), key)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    Good,
    Expired,
}

/// An app that speaks TLS with this certificate and one of `protocols`, then treats the connection by `script`; hands
/// over the SNI of each connection that got so far.
pub async fn secured<F>(
    (certificate, key): (rcgen::Certificate, KeyPair),
    protocols: &[&str],
    script: impl Fn(TlsStream<TcpStream>) -> F + Clone + Send + Sync + 'static,
) -> (SocketAddr, mpsc::Receiver<Option<String>>)
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.into()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|&protocol| protocol.into()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (sender, heard) = mpsc::channel(8);
    let (address, _) = app(move |stream| {
        let (acceptor, sender, script) = (acceptor.clone(), sender.clone(), script.clone());
        async move {
            let stream = acceptor.accept(stream).await?;
            sender.send(stream.get_ref().1.server_name().map(str::to_owned)).await.unwrap();
            script(stream).await
        }
    })
    .await;
    (address, heard)
}
