//! TLS on the listeners (rustls with ring): HTTP/2 or HTTP/1.1 by ALPN, TLS 1.2 and 1.3.
//!
//! ```text
//!   files -- every 2 s --> reload (pure) -- a whole new set --> keys (watched) --> handshakes from now on
//! ```
//!
//! Certificate, key and the clients' authorities are one set: a file that is half written, or a pair that does not fit,
//! leaves the former set in service. Who is connected stays so. No session is resumed: a resumed one would be spared
//! its client's certificate, and connections here live for minutes, so there is little to save.
//!
//! A client is asked for a certificate only where registrations come in, and may have none: reads need none. What a
//! connection without one may not do is `http`'s to say.

mod expiry;
mod material;
mod reload;

use std::{io, sync::Arc, time::Duration};

use sds_types::command::Misconfigured;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::sleep,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::metrics::Metrics;
use material::Keys;
pub use material::{Files, client};
use reload::{Reload, Verdict};

/// Between two looks at the files.
const EVERY: Duration = Duration::from_secs(2);

/// The server's side of handshakes; clones share the keys.
#[derive(Debug, Clone)]
pub struct Tls {
    keys: watch::Receiver<Keys>,
}

/// How one listener shakes hands.
#[derive(Debug, Clone)]
pub struct Handshake {
    keys: watch::Receiver<Keys>,
    /// Whether clients are asked who they are.
    asks: bool,
}

impl Tls {
    /// Reads the files, and follows them from now on.
    pub fn start(files: Files, metrics: Metrics) -> Result<Self, Misconfigured> {
        let material = files.read()?;
        let keys = material.keys()?;
        keys.count(&metrics);
        let (publish, watched) = watch::channel(keys);
        if files.may_change() {
            tokio::spawn(follow(files, Reload::new(material), publish, metrics));
        }
        Ok(Self { keys: watched })
    }

    /// The handshake of a listener; whether it `asks` clients for a certificate, if there is an authority to sign them.
    pub fn handshake(&self, asks: bool) -> Handshake {
        Handshake { keys: self.keys.clone(), asks }
    }
}

impl Handshake {
    /// Agrees on keys with the client; and whether it showed a certificate of the right authority. A client that speaks
    /// something else, or refuses, is invalid data.
    pub async fn shake<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<(TlsStream<S>, bool)> {
        let config = self.keys.borrow().of(self.asks);
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        // One that does not verify has ended the handshake.
        let certified = stream.get_ref().1.peer_certificates().is_some_and(|chain| !chain.is_empty());
        Ok((stream, certified))
    }
}

/// Looks at the files as long as anybody shakes hands.
async fn follow(files: Files, mut reload: Reload<material::Material>, publish: watch::Sender<Keys>, metrics: Metrics) {
    let files = Arc::new(files);
    while !publish.is_closed() {
        sleep(EVERY).await;
        let asked = files.clone();
        let Ok(read) = tokio::task::spawn_blocking(move || asked.read()).await else { continue };
        match reload.look(read, material::Material::keys) {
            Verdict::Same | Verdict::Awaited => {}
            Verdict::Taken(keys) => {
                tracing::info!("a new certificate is served from now on");
                keys.count(&metrics);
                publish.send_replace(keys);
            }
            Verdict::Refused(wrong) => {
                tracing::error!(variable = wrong.variable, reason = wrong.reason, "the former certificate stays");
            }
        }
        metrics.tls_refused.set(i64::from(reload.is_refused()));
    }
}
