//! A listener where statsd_exporter would be: it reads what Envoy's dog_statsd sink sends as strictly as that would, and
//! keeps each name with its tags. statsd_exporter itself is in no package registry that the tests know.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, bail, ensure};
use tokio::{net::UdpSocket, task::JoinHandle};

/// A metric by its name and tags, the latter by name.
pub type Key = (String, BTreeMap<String, String>);

/// What was sent of one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sent {
    /// `c`, `g`, `ms` or `h`.
    pub kind: &'static str,
    /// All values of a counter added up, else the last one.
    pub value: f64,
}

/// All that arrived.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    /// What could be read.
    pub metrics: BTreeMap<Key, Sent>,
    /// The first line that could not.
    pub bad: Option<String>,
}

/// A running listener.
#[derive(Debug)]
pub struct Statsd {
    /// Where it listens, UDP.
    pub addr: SocketAddr,
    heard: Arc<Mutex<Heard>>,
    task: JoinHandle<()>,
}

impl Statsd {
    /// Starts one.
    pub async fn start() -> anyhow::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let (addr, heard) = (socket.local_addr()?, Arc::<Mutex<Heard>>::default());
        let task = tokio::spawn(listen(socket, heard.clone()));
        Ok(Self { addr, heard, task })
    }

    /// What has arrived so far; a line that cannot be read is an error.
    pub fn heard(&self) -> anyhow::Result<BTreeMap<Key, Sent>> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ensure!(heard.bad.is_none(), "not dog_statsd: {}", heard.bad.unwrap_or_default());
        Ok(heard.metrics)
    }

    /// Those of a name, with their tags.
    pub fn named(&self, name: &str) -> anyhow::Result<Vec<(BTreeMap<String, String>, Sent)>> {
        Ok(self
            .heard()?
            .into_iter()
            .filter(|((own, _), _)| own == name)
            .map(|((_, tags), sent)| (tags, sent))
            .collect())
    }
}

impl Drop for Statsd {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(socket: UdpSocket, heard: Arc<Mutex<Heard>>) {
    let mut packet = vec![0; 65536];
    while let Ok(length) = socket.recv(&mut packet).await {
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        // Several lines in one packet, as Envoy sends them when it may.
        for line in packet[..length].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match read(line) {
                Ok((key, sent)) => {
                    let kept = heard.metrics.entry(key).or_insert(Sent { value: 0.0, ..sent });
                    kept.value = if sent.kind == "c" { kept.value + sent.value } else { sent.value };
                }
                Err(error) => {
                    let bad = format!("{}: {error:#}", String::from_utf8_lossy(line));
                    heard.bad.get_or_insert(bad);
                }
            }
        }
    }
}

/// `name:value|kind|#tag:value,tag:value`.
fn read(line: &[u8]) -> anyhow::Result<(Key, Sent)> {
    let line = std::str::from_utf8(line)?;
    let (name, rest) = line.split_once(':').context("no value")?;
    let mut parts = rest.split('|');
    let value = parts.next().unwrap_or_default().parse().context("no number")?;
    let kind = match parts.next() {
        Some("c") => "c",
        Some("g") => "g",
        Some("ms") => "ms",
        Some("h") => "h",
        other => bail!("the kind {other:?}"),
    };
    let mut tags = BTreeMap::new();
    for part in parts {
        for tag in part.strip_prefix('#').context("something that is no tag")?.split(',') {
            let (name, value) = tag.split_once(':').context("a tag without a value")?;
            ensure!(tags.insert(name.to_owned(), value.to_owned()).is_none(), "{name} twice");
        }
    }
    ensure!(!name.is_empty(), "no name");
    Ok(((name.to_owned(), tags), Sent { kind, value }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let ((name, tags), sent) =
            read(b"envoy.cluster.upstream_rq_xx:3|c|#envoy.response_code_class:5,a:b:c").unwrap();
        assert_eq!((name.as_str(), sent), ("envoy.cluster.upstream_rq_xx", Sent { kind: "c", value: 3.0 }));
        let tags: Vec<_> = tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(tags, ["a=b:c", "envoy.response_code_class=5"]);
        for bad in ["", "x", "x:|c", "x:1", "x:1|q", "x:1|c|@0.5", "x:1|c|#a", "x:1|c|#a:1,a:2", ":1|c"] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
