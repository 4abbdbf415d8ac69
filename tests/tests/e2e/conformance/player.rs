//! Plays one rule's script on a registry. Whatever a response is about, it must be one: a nonce that is new on its stream, the type that was
//! asked for, each name once and with the service as it is now, and a version that is another one if and only if something of what is
//! wanted is.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context, ensure};
use e2e::{api::Api, wait::SOON, xds::EDS};
use serde_json::json;
use tonic::transport::Channel;

use super::{
    client::{Service, Stream, Told, Words, wants},
    rules::Step,
};

/// Longer than changes wait for each other.
const SILENCE: Duration = Duration::from_millis(300);

/// Plays a script, in a world of services whose names begin with `prefix`; how many responses were refused.
pub async fn play(
    api: &Api,
    channel: &Channel,
    service: Service,
    prefix: &str,
    script: &[Step],
) -> anyhow::Result<u32> {
    let mut play = Play { prefix: prefix.to_owned(), ..Play::default() };
    for (nth, (what, expected)) in (1..).zip(script) {
        let step = async {
            let (verb, words) = what.split_once(' ').unwrap_or((what, ""));
            match verb {
                "change" => play.change(api, words, nth).await?,
                "leave" => play.leave(api, words, nth).await?,
                "gone" => play.stream = None,
                _ => play.say(channel, service, verb, words).await?,
            }
            play.expect(expected).await
        };
        step.await.with_context(|| format!("step {nth}, '{what}'"))?;
    }
    Ok(play.refused)
}

#[derive(Debug, Default)]
struct Play {
    prefix: String,
    stream: Option<Stream>,
    /// The nonces of this stream, and whether the latest response was refused.
    nonces: Vec<String>,
    answered: bool,
    refused: u32,
    wanted: BTreeSet<String>,
    /// The version that was told last, and the one that was accepted last.
    version: String,
    accepted: String,
    /// How many hosts each service has.
    hosts: BTreeMap<String, usize>,
    /// How many of each were told, and in which version.
    told: BTreeMap<String, (usize, String)>,
    versions: BTreeMap<Vec<(String, usize)>, String>,
}

impl Play {
    /// A star is one everywhere.
    fn name(&self, short: &str) -> String {
        if short == "*" { short.to_owned() } else { format!("{}-{short}", self.prefix) }
    }

    fn names(&self, words: &str) -> Vec<String> {
        words.split_whitespace().map(|short| self.name(short)).collect()
    }

    /// One host more of each.
    async fn change(&mut self, api: &Api, words: &str, nth: u64) -> anyhow::Result<()> {
        for name in self.names(words) {
            let hosts = self.hosts.entry(name.clone()).or_default();
            *hosts += 1;
            api.put(&name, &format!("10.0.0.{hosts}:80"), (nth, 1), json!({})).await?.expect(200)?;
        }
        Ok(())
    }

    /// The only host.
    async fn leave(&mut self, api: &Api, word: &str, nth: u64) -> anyhow::Result<()> {
        let name = self.name(word);
        ensure!(self.hosts.insert(name.clone(), 0) == Some(1), "a script lets one host leave");
        api.delete(&name, "10.0.0.1:80", (nth, 1)).await?.expect(204).map(drop)
    }

    async fn say(&mut self, channel: &Channel, service: Service, verb: &str, words: &str) -> anyhow::Result<()> {
        let latest = self.nonces.last().cloned().unwrap_or_default();
        let (go, come): (Vec<_>, Vec<_>) = words.split_whitespace().partition(|word| word.starts_with('-'));
        let mut said = Words { come: self.names(&come.join(" ")), ..wants(&[]) };
        said.go = self.names(&go.join(" ").replace('-', ""));
        said.nonce = match verb {
            "ack" | "nack" => latest,
            "old" => self.nonces.iter().rev().nth(1).context("no response before the latest")?.clone(),
            "odd" => "odd".to_owned(),
            _ => String::new(),
        };
        match verb {
            "ack" => self.accepted.clone_from(&self.version),
            "nack" => {
                said.refused = true;
                self.refused += u32::from(!std::mem::replace(&mut self.answered, true));
            }
            "back" => {
                said.held = self.told.iter().map(|(name, (_, version))| (name.clone(), version.clone())).collect()
            }
            _ => {}
        }
        said.version.clone_from(&self.accepted);
        if !service.is_delta() && !["old", "odd"].contains(&verb) {
            self.wanted.clear();
        }
        self.wanted.retain(|name| !said.go.contains(name));
        if service.is_delta() || !["old", "odd"].contains(&verb) {
            self.wanted.extend(said.come.iter().cloned());
        }
        match &self.stream {
            Some(stream) => stream.say(Words { node: None, ..said }).await,
            None => {
                if service.is_delta() {
                    self.wanted = said.come.iter().cloned().collect();
                }
                self.nonces.clear();
                let stream = service.open(channel).await?;
                stream.say(said).await?;
                self.stream = Some(stream);
                Ok(())
            }
        }
    }

    async fn expect(&mut self, names: &str) -> anyhow::Result<()> {
        let mut awaited: BTreeSet<_> = self.names(names).into_iter().collect();
        let Some(stream) = &mut self.stream else { return Ok(()) };
        if awaited.is_empty() {
            return stream.is_silent(SILENCE).await;
        }
        // What changes at once may be told in two.
        while !awaited.is_empty() {
            let stream = self.stream.as_mut().context("no stream")?;
            let told = stream.next(SOON).await.with_context(|| format!("{awaited:?} are not told"))?;
            for (name, ..) in &told.assignments {
                ensure!(awaited.remove(name), "{name} is told");
            }
            self.hear(told)?;
        }
        Ok(())
    }

    fn hear(&mut self, told: Told) -> anyhow::Result<()> {
        ensure!(told.type_url == EDS && told.removed.is_empty() && !told.assignments.is_empty(), "{told:?}");
        ensure!(!told.nonce.is_empty() && !self.nonces.contains(&told.nonce), "not a new nonce: {told:?}");
        self.nonces.push(told.nonce);
        self.answered = false;
        for (name, hosts, version) in told.assignments {
            let there = self.hosts.get(&name).copied().unwrap_or_default();
            ensure!(hosts == there, "{hosts} hosts of {name}, which has {there}");
            self.told.insert(name, (hosts, version));
        }
        let wanted = self.told.iter().filter(|(name, _)| self.wanted.contains(*name));
        let state: Vec<_> = wanted.map(|(name, (hosts, _))| (name.clone(), *hosts)).collect();
        let other = self.versions.iter().find(|(it, version)| **it != state && **version == told.version);
        ensure!(other.is_none(), "{other:?} has the version of {state:?}");
        let version = self.versions.entry(state).or_insert_with(|| told.version.clone());
        ensure!(!told.version.is_empty() && *version == told.version, "{} is not {version}", told.version);
        self.version = told.version;
        Ok(())
    }
}
