//! PROXY protocol v2: a load balancer's connection begins with the address of the client that it speaks for.
//!
//! Only peers in `SDS_TRUSTED_PROXIES` are listened to; from others the same bytes are bad HTTP. A trusted one may also
//! say `LOCAL` (its own health check), give no address, or send no header at all: then it is a [`Peer`] that hides
//! somebody. A header that is neither is no mistake to be lenient with, the connection is closed.
//!
//! Written here because only the sixteen fixed bytes and two kinds of address matter: a parser of both versions with
//! its builder and extensions would still leave to us what takes the care, never to read beyond the header.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use bytes::Bytes;
use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::http::Peer;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Address and extensions; an AWS load balancer sends less than 100 bytes, one that passes a TLS client's name on some
/// hundreds.
const LONGEST: usize = 4096;

/// A trusted proxy's header cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Of a version or a command that does not exist.
    #[error("version and command are {0:#04x}")]
    Command(u8),
    /// For no TCP connection, or its address is cut off.
    #[error("an address of {0} bytes for family and protocol {1:#04x}")]
    Address(usize, u8),
    /// Longer than any that is meant well.
    #[error("{0} bytes are announced")]
    Long(usize),
}

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Not known before so many more have come; they belong to the header, if it is one.
    More(usize),
    /// A whole header, and the client that it names.
    Header(Option<SocketAddr>),
    /// Something else.
    Other,
}

/// Judges the first bytes of a connection. Extensions behind the address are skipped.
pub fn start(bytes: &[u8]) -> Result<Start, Malformed> {
    if bytes.iter().zip(SIGNATURE).any(|(is, ought)| is != ought) {
        return Ok(Start::Other);
    }
    let Some((fixed, rest)) = bytes.split_first_chunk::<16>() else { return Ok(Start::More(16 - bytes.len())) };
    let [.., command, kind, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > LONGEST {
        return Err(Malformed::Long(length));
    }
    let Some(said) = rest.get(..length) else { return Ok(Start::More(length - rest.len())) };
    let client = match (command, kind) {
        // Its own connection, or one of which it knows no address.
        (0x20, _) | (0x21, 0x00) => return Ok(Start::Header(None)),
        (0x21, 0x11) => v4(said),
        (0x21, 0x21) => v6(said),
        (0x21, _) => None,
        _ => return Err(Malformed::Command(command)),
    };
    client.map(|client| Start::Header(Some(client))).ok_or(Malformed::Address(length, kind))
}

/// Source and destination, then their ports.
fn v4(said: &[u8]) -> Option<SocketAddr> {
    let [a, b, c, d, _, _, _, _, high, low, _, _] = *said.first_chunk()?;
    Some(SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), u16::from_be_bytes([high, low])))
}

fn v6(said: &[u8]) -> Option<SocketAddr> {
    let said: &[u8; 36] = said.first_chunk()?;
    let [.., high, low, _, _] = *said;
    let source = Ipv6Addr::from(*said.first_chunk::<16>()?);
    Some(SocketAddr::new(IpAddr::from(source).to_canonical(), u16::from_be_bytes([high, low])))
}

/// Who is at the other end of `stream`, and what was read of HTTP already. [`Malformed`] comes as invalid data.
pub async fn introduce(
    stream: &mut (impl AsyncRead + Unpin),
    from: SocketAddr,
    trusted: &[IpNet],
) -> io::Result<(Peer, Bytes)> {
    let addr = SocketAddr::new(from.ip().to_canonical(), from.port());
    if !trusted.iter().any(|network| network.contains(&addr.ip())) {
        return Ok((Peer { addr, hidden: false, certified: false }, Bytes::new()));
    }
    let mut bytes = Vec::new();
    loop {
        match start(&bytes).map_err(|malformed| io::Error::new(io::ErrorKind::InvalidData, malformed))? {
            Start::More(missing) => {
                if (&mut *stream).take(missing as u64).read_buf(&mut bytes).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            Start::Header(client) => {
                // Nobody comes from loopback through a network: who is on this machine is not for a header to say.
                let client = client.filter(|client| !client.ip().is_loopback() && !client.ip().is_unspecified());
                return Ok((
                    Peer { addr: client.unwrap_or(addr), hidden: client.is_none(), certified: false },
                    Bytes::new(),
                ));
            }
            Start::Other => return Ok((Peer { addr, hidden: true, certified: false }, bytes.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: &str = "10.0.0.9:4000";

    /// A header with extensions of so many bytes.
    fn header(command: u8, kind: u8, address: &[u8], extensions: usize) -> Vec<u8> {
        let length = u16::try_from(address.len() + extensions).unwrap().to_be_bytes();
        [SIGNATURE, &[command, kind][..], &length, address, &vec![0xff; extensions]].concat()
    }

    fn v4_header(extensions: usize) -> Vec<u8> {
        header(0x21, 0x11, &[192, 0, 2, 1, 10, 0, 0, 5, 0x1f, 0x90, 0, 80], extensions)
    }

    fn v6_header(source: Ipv6Addr) -> Vec<u8> {
        let ports = [0x1f, 0x90, 0, 80];
        header(0x21, 0x21, &[&source.octets()[..], &Ipv6Addr::LOCALHOST.octets(), &ports].concat(), 0)
    }

    /// `ADDRESS`, `hidden ADDRESS` or `closed`, and what is left for HTTP.
    async fn introduced(sent: &[u8], from: &str) -> (String, Vec<u8>) {
        let (mut client, mut server) = tokio::io::duplex(8);
        let sent = sent.to_vec();
        // Byte by byte through a small pipe; then the client closes its end.
        tokio::spawn(async move {
            for byte in sent {
                let _ = tokio::io::AsyncWriteExt::write_all(&mut client, &[byte]).await;
            }
        });
        let trusted = ["10.0.0.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        match introduce(&mut server, from.parse().unwrap(), &trusted).await {
            Err(_) => ("closed".to_owned(), Vec::new()),
            Ok((Peer { addr, hidden, .. }, first)) => {
                let mut http = first.to_vec();
                server.read_to_end(&mut http).await.unwrap();
                (format!("{}{addr}", if hidden { "hidden " } else { "" }), http)
            }
        }
    }

    #[tokio::test]
    async fn a_trusted_proxy_names_its_client() {
        let v6 = "2001:db8::7".parse().unwrap();
        let mapped = "::ffff:192.0.2.1".parse().unwrap();
        for (header, peer) in [
            (v4_header(0), "192.0.2.1:8080"),
            (v4_header(84), "192.0.2.1:8080"),
            (v6_header(v6), "[2001:db8::7]:8080"),
            (v6_header(mapped), "192.0.2.1:8080"),
            (header(0x20, 0x00, &[], 0), "hidden 10.0.0.9:4000"),
            (header(0x20, 0x11, &[1; 12], 4), "hidden 10.0.0.9:4000"),
            (header(0x21, 0x00, &[], 9), "hidden 10.0.0.9:4000"),
            (Vec::new(), "hidden 10.0.0.9:4000"),
        ] {
            let sent = [&header[..], b"GET / HTTP/1.1\r\n\r\n"].concat();
            let (is, http) = introduced(&sent, FROM).await;
            assert_eq!((is.as_str(), &http[..]), (peer, &b"GET / HTTP/1.1\r\n\r\n"[..]), "{header:?}");
        }
        let (is, _) = introduced(&v4_header(0), "[::ffff:10.0.0.9]:4000").await;
        assert_eq!(is, "192.0.2.1:8080", "trusted by its IPv4 address");
    }

    #[test]
    fn fuzz_proxy() {
        crate::corpus::play("proxy", |bytes| {
            let judged = start(bytes);
            match judged {
                Ok(Start::More(missing)) => assert!(missing > 0 && missing <= 16 + LONGEST),
                Ok(Start::Header(_)) => assert!(bytes.starts_with(SIGNATURE)),
                Ok(Start::Other) | Err(_) => {}
            }
            // More bytes change nothing once it is judged, and nobody is asked for less than what is missing.
            let more = [bytes, b"GET /"].concat();
            match judged {
                Ok(Start::More(missing)) if missing > 5 => assert!(start(&more) != Ok(Start::Header(None))),
                Ok(Start::More(_)) => {}
                judged => assert_eq!(start(&more), judged),
            }
        });
    }

    #[tokio::test]
    async fn others_name_nobody() {
        let sent = v4_header(0);
        assert_eq!(introduced(&sent, "10.0.1.9:4000").await, ("10.0.1.9:4000".to_owned(), sent));
    }

    #[tokio::test]
    async fn a_malformed_header_closes() {
        for bad in [
            header(0x11, 0x11, &[1; 12], 0),
            header(0x22, 0x11, &[1; 12], 0),
            header(0x21, 0x11, &[1; 11], 0),
            header(0x21, 0x21, &[1; 35], 0),
            header(0x21, 0x12, &[1; 12], 0),
            header(0x21, 0x31, &[1; 216], 0),
            v4_header(LONGEST),
            v4_header(0)[..20].to_vec(),
            SIGNATURE[..5].to_vec(),
            Vec::new(),
        ] {
            assert_eq!(introduced(&bad, FROM).await.0, "closed", "{bad:?}");
        }
    }
}
