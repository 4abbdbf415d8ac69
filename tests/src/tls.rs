//! A connection over TLS whose bytes are the test's own: for what was agreed on, and for one that stays open while the
//! other side changes.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    http::Answer,
    pki::Pair,
    wire::{Message, Reader},
};

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    reader: Reader<TlsStream<TcpStream>>,
}

impl Connection {
    /// Connects to `addr` as to localhost, trusting `authority` alone, and showing `shown` if the other side asks.
    pub async fn open(addr: SocketAddr, authority: &str, shown: Option<&Pair>) -> anyhow::Result<Self> {
        Self::over(TcpStream::connect(addr).await?, authority, shown, "http/1.1").await
    }

    /// The same over a stream on which something else was said before, to speak `protocol`.
    pub async fn over(
        stream: TcpStream,
        authority: &str,
        shown: Option<&Pair>,
        protocol: &str,
    ) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.as_bytes())?)?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let mut config = match shown {
            None => config.with_no_client_auth(),
            Some(pair) => config.with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(pair.cert.as_bytes())?],
                PrivateKeyDer::from_pem_slice(pair.key.as_bytes())?,
            )?,
        };
        config.alpn_protocols = vec![protocol.into()];
        let name = ServerName::try_from("localhost")?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        Ok(Self { reader: Reader::new(stream) })
    }

    /// Whether the other side is this one.
    pub fn is_of(&self, pair: &Pair) -> anyhow::Result<bool> {
        let shown = self.reader.stream.get_ref().1.peer_certificates().context("no certificate")?;
        Ok(shown.first() == Some(&CertificateDer::from_pem_slice(pair.cert.as_bytes())?))
    }

    /// What both sides speak.
    pub fn protocol(&self) -> Option<String> {
        let agreed = self.reader.stream.get_ref().1.alpn_protocol();
        agreed.map(|agreed| String::from_utf8_lossy(agreed).into_owned())
    }

    /// Sends bytes as they are.
    pub async fn say(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        Ok(self.reader.stream.write_all(bytes).await?)
    }

    /// One request; the connection stays open.
    pub async fn ask(&mut self, method: &str, path: &str, body: &str) -> anyhow::Result<Answer> {
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n");
        let request = Message::new([head.as_bytes(), body.as_bytes()].concat())?;
        self.reader.stream.write_all(&request.bytes).await?;
        Ok(self.reader.answer(&request).await?.answer()?)
    }
}
