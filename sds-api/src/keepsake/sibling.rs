//! A snapshot from a sibling replica: for a machine that is new, whose disk has none.

use std::{net::SocketAddr, str::FromStr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use sds_types::Secret;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::{Kept, decode};

/// What one may weigh: well above 100,000 rows.
const LIMIT: usize = 256 * 1024 * 1024;
/// All of them together.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where siblings listen: URLs, or names whose every address is one.
#[derive(Debug, Clone, Default)]
pub struct Peers {
    peers: Vec<Peer>,
    /// Whom those over TLS are believed.
    trust: Option<Arc<ClientConfig>>,
    /// What they are shown.
    shown: Option<HeaderValue>,
}

/// A host with a port.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Peer {
    authority: String,
    /// Over TLS, as whom.
    name: Option<ServerName<'static>>,
}

impl FromStr for Peers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        Ok(Self { peers: words.map(str::parse).collect::<Result<_, _>>()?, ..Self::default() })
    }
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let wrong = || format!("'{}' is not http://host:port", word.escape_debug());
        let (secure, plain) = match word.strip_prefix("https://") {
            Some(plain) => (true, plain),
            None => (false, word.strip_prefix("http://").unwrap_or(word)),
        };
        let authority = plain.trim_end_matches('/');
        let parsed: http::uri::Authority = authority.parse().map_err(|_| wrong())?;
        if parsed.port_u16().is_none() {
            return Err(format!("'{}' has no port", word.escape_debug()));
        }
        let host = parsed.host().trim_matches(['[', ']']).to_owned();
        let name = secure.then(|| ServerName::try_from(host).map_err(|_| wrong())).transpose()?;
        Ok(Self { authority: authority.to_owned(), name })
    }
}

impl Peers {
    /// Whether any of them is asked over TLS.
    pub fn are_secure(&self) -> bool {
        self.peers.iter().any(|peer| peer.name.is_some())
    }

    /// The same, believed by what `trust` says.
    pub fn trusting(self, trust: Option<Arc<ClientConfig>>) -> Self {
        Self { trust, ..self }
    }

    /// The same, shown this token; one that fits into no header is shown as none.
    pub fn showing(self, token: Option<&Secret>) -> Self {
        let shown = token.and_then(|token| HeaderValue::try_from(format!("Bearer {}", token.reveal())).ok());
        let shown = shown.map(|mut value| {
            value.set_sensitive(true);
            value
        });
        Self { shown, ..self }
    }
}

/// The freshest snapshot that any of them has.
pub async fn fetch(peers: &Peers) -> Option<Kept> {
    let resolved = peers.peers.iter().map(|peer| async move {
        let found = tokio::time::timeout(PATIENCE, tokio::net::lookup_host(peer.authority.as_str())).await;
        let addrs = found.ok().and_then(Result::ok).map(Vec::from_iter).unwrap_or_default();
        addrs.into_iter().map(move |addr| (peer, addr))
    });
    let all: Vec<_> = join_all(resolved).await.into_iter().flatten().collect();
    let asked = all.into_iter().map(|(peer, addr)| async move {
        match tokio::time::timeout(PATIENCE, ask(peer, addr, peers)).await {
            Ok(Ok(kept)) => Some(kept),
            Ok(Err(reason)) => {
                tracing::debug!(sibling = %addr, reason, "has no snapshot for us");
                None
            }
            Err(_) => None,
        }
    });
    join_all(asked).await.into_iter().flatten().max_by_key(|kept| kept.taken)
}

async fn ask(peer: &Peer, addr: SocketAddr, peers: &Peers) -> Result<Kept, String> {
    let Peers { trust, shown, .. } = peers;
    let stream = TcpStream::connect(addr).await.map_err(|error| error.to_string())?;
    let body = match (&peer.name, trust.clone()) {
        (None, _) => get(stream, &peer.authority, shown.clone()).await,
        (Some(name), Some(trust)) => {
            let stream = TlsConnector::from(trust).connect(name.clone(), stream).await;
            get(stream.map_err(|error| error.to_string())?, &peer.authority, shown.clone()).await
        }
        (Some(_), None) => Err("nobody says whom to believe".to_owned()),
    }?;
    tokio::task::spawn_blocking(move || decode(&body)).await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
}

async fn get<S>(stream: S, host: &str, shown: Option<HeaderValue>) -> Result<Bytes, String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // Ends with the sender, or with its stream.
    tokio::spawn(connection);
    let request = Request::get(Uri::from_static("/v1/snapshot")).header(header::HOST, host);
    let mut request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    request.headers_mut().extend(shown.map(|shown| (header::AUTHORIZATION, shown)));
    let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
    if answer.status() != http::StatusCode::OK {
        return Err(answer.status().to_string());
    }
    let body = Limited::new(answer.into_body(), LIMIT).collect().await.map_err(|error| error.to_string())?;
    Ok(body.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_names_are_siblings() {
        let peers: Peers = "http://10.0.0.1:8080/, sds.internal:8080, https://[::1]:8443".parse().unwrap();
        let authorities: Vec<_> = peers.peers.iter().map(|peer| peer.authority.as_str()).collect();
        assert_eq!(authorities, ["10.0.0.1:8080", "sds.internal:8080", "[::1]:8443"]);
        assert!(peers.are_secure());
        assert!("".parse::<Peers>().unwrap().peers.is_empty());
        for bad in ["ftp://a:1", "a", "http://a", "https://a", "a b:1", "http://a:1/x", "https://a_b$:1"] {
            assert!(bad.parse::<Peers>().is_err(), "{bad}");
        }
    }
}
