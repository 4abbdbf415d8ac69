//! A snapshot from a sibling replica: for a machine that is new, whose disk has none.

use std::{str::FromStr, time::Duration};

use futures_util::future::join_all;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};

use super::{Kept, decode};

/// What one may weigh: well above 100,000 rows.
const LIMIT: usize = 256 * 1024 * 1024;
/// All of them together.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where siblings listen: URLs, or one name whose every address is one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peers(Vec<String>);

impl FromStr for Peers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        let authority = |word: &str| -> Result<String, String> {
            let plain = word.strip_prefix("http://").unwrap_or(word).trim_end_matches('/');
            let parsed: http::uri::Authority =
                plain.parse().map_err(|_| format!("'{}' is not http://host:port", word.escape_debug()))?;
            match parsed.port_u16() {
                Some(_) => Ok(plain.to_owned()),
                None => Err(format!("'{}' has no port", word.escape_debug())),
            }
        };
        words.map(authority).collect::<Result<_, _>>().map(Self)
    }
}

/// The freshest snapshot that any of them has.
pub async fn fetch(peers: &Peers) -> Option<Kept> {
    let resolved = peers.0.iter().map(|peer| async move {
        let found = tokio::time::timeout(PATIENCE, tokio::net::lookup_host(peer.as_str())).await;
        found.ok().and_then(Result::ok).map(Vec::from_iter).unwrap_or_default()
    });
    let addrs: Vec<_> = join_all(resolved).await.into_iter().flatten().collect();
    let asked = addrs.into_iter().map(|addr| async move {
        match tokio::time::timeout(PATIENCE, ask(addr)).await {
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

async fn ask(addr: std::net::SocketAddr) -> Result<Kept, String> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<bytes::Bytes>>();
    let url = format!("http://{addr}/v1/snapshot").parse().map_err(|_| "no URL".to_owned())?;
    let answer = client.get(url).await.map_err(|error| error.to_string())?;
    if answer.status() != http::StatusCode::OK {
        return Err(answer.status().to_string());
    }
    let body = Limited::new(answer.into_body(), LIMIT).collect().await.map_err(|error| error.to_string())?.to_bytes();
    tokio::task::spawn_blocking(move || decode(&body)).await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_names_are_siblings() {
        let peers: Peers = "http://10.0.0.1:8080/, sds.internal:8080".parse().unwrap();
        assert_eq!(peers.0, ["10.0.0.1:8080", "sds.internal:8080"]);
        assert_eq!("".parse::<Peers>().unwrap(), Peers::default());
        for bad in ["https://a:1", "a", "http://a", "a b:1", "http://a:1/x"] {
            assert!(bad.parse::<Peers>().is_err(), "{bad}");
        }
    }
}
