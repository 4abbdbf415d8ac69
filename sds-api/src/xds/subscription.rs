//! What one stream wants of one type, what it holds, and what it is therefore to be sent: both variants of the protocol
//! as one state machine without messages, time or I/O.
//!
//! - Whatever is newly asked for is answered, also if it is unchanged or unknown: an Envoy adds a cluster and waits.
//! - What was sent is not sent again before it changes, however it was received: a refusal (NACK) that were answered with
//!   the same content would be refused again, in a circle.
//! - State of the world: a request that answers a response which is not the latest is ignored, the one for the latest
//!   comes. A second request for a response that was accepted already, with the same names, asks for all of them anew:
//!   that is how a cluster looks that was taken away and added again in one breath.
//! - Delta: names come and go whatever response a request answers. What the client says that it holds from before this
//!   stream is not sent if it is current.
//! - Of some types all can be asked for: by `*`, or by a subscription that has never named anything. That is answered also
//!   if there is nothing.
//!
//! The rules are those of "xDS REST and gRPC protocol" in Envoy's documentation.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::registry::Version;

/// The names that one stream may want.
pub const NAMES: usize = 20_000;
/// The longest of them, in bytes: far beyond any that a service can have.
pub const LONGEST: usize = 512;

/// What a request turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Of an older response, or of a refusal that was told already.
    Stale,
    /// A subscription, or a change of one.
    Asked,
    /// The latest response was accepted.
    Accepted,
    /// The latest response was refused.
    Refused,
}

/// More names than one stream may want, or longer ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMuch;

/// What is to be sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Push {
    /// To be told back.
    pub nonce: String,
    /// Of all that is wanted.
    pub version: Version,
    /// What is new or, if all must be told, all; in order. None stands for what there is not.
    pub resources: Vec<(Arc<str>, Option<Version>)>,
}

/// What was said to the latest response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Nothing yet.
    Awaited,
    /// ACK.
    Accepted,
    /// NACK.
    Refused,
}

/// What a client holds of one name, as far as it has said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// It wants no such thing.
    Unwanted,
    /// It was told nothing yet, has not answered, or has refused.
    Unknown,
    /// This version.
    Version(Version),
}

/// The version of what was sent, or that there is none.
type Sent = Option<Version>;

/// One name.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    /// What was sent since it is wanted.
    sent: Option<Sent>,
    /// With which response: 0 is from before this stream, [`REFUSED`] with one that was refused.
    told: u64,
    /// Asked for by its name, and not by the wildcard alone.
    named: bool,
}

/// No response has this number.
const REFUSED: u64 = u64::MAX;

/// A subscription; the first request begins it.
#[derive(Debug, Clone)]
pub struct Subscription {
    names: BTreeMap<Arc<str>, Entry>,
    /// All that there is, is wanted.
    wild: bool,
    /// That is to be answered, with whatever there is.
    fresh: bool,
    /// Names were asked for at some time: to ask for none then means none.
    named: bool,
    begun: bool,
    /// The number of the latest response, 0 before the first.
    sent: u64,
    /// That of the latest one that was accepted.
    accepted: u64,
    answer: Answer,
}

impl Default for Subscription {
    fn default() -> Self {
        Self {
            names: BTreeMap::new(),
            wild: false,
            fresh: false,
            named: false,
            begun: false,
            sent: 0,
            accepted: 0,
            answer: Answer::Awaited,
        }
    }
}

/// All that there is.
pub const WILDCARD: &str = "*";

impl Subscription {
    /// A request of the state-of-the-world variant; `wildcards` says whether all can be asked for.
    pub fn hear(&mut self, names: &[String], nonce: &str, refused: bool, wildcards: bool) -> Result<Heard, TooMuch> {
        self.takes(nonce, refused);
        // Without a nonce it is the first of a stream, or of a client that begins anew.
        if !nonce.is_empty() && !self.is_latest(nonce) {
            return Ok(Heard::Stale);
        }
        if names.iter().any(|name| name.len() > LONGEST) {
            return Err(TooMuch);
        }
        let answers = !nonce.is_empty();
        self.named |= !names.is_empty();
        let wild = wildcards && (!self.named || names.iter().any(|name| name == WILDCARD));
        self.fresh |= wild && !(self.wild && answers);
        self.wild = wild;
        let again = answers && !refused && !wild && self.answer == Answer::Accepted;
        let mut wanted = BTreeMap::new();
        let mut news = 0;
        for name in names.iter().filter(|name| !wild || *name != WILDCARD) {
            let (name, entry) = match self.names.remove_entry(name.as_str()) {
                Some(known) => known,
                None if wanted.contains_key(name.as_str()) => continue,
                None => {
                    news += 1;
                    (name.as_str().into(), Entry::default())
                }
            };
            wanted.insert(name, Entry { sent: entry.sent.filter(|_| answers), named: true, ..entry });
        }
        let same = news == 0 && self.names.is_empty();
        if wild && answers {
            wanted.extend(std::mem::take(&mut self.names).into_iter().filter(|(_, entry)| !entry.named));
        }
        self.names = wanted;
        if self.names.len() > NAMES {
            return Err(TooMuch);
        }
        if again && same {
            self.names.values_mut().for_each(|entry| entry.sent = None);
        }
        Ok(self.answered(answers, refused))
    }

    /// A request of the delta variant; `held` is what the client has from before this stream.
    pub fn hear_delta(
        &mut self,
        (come, go): (&[String], &[String]),
        held: &BTreeMap<String, String>,
        nonce: &str,
        refused: bool,
        wildcards: bool,
        current: impl Fn(&str) -> Sent,
    ) -> Result<Heard, TooMuch> {
        if come.iter().chain(held.keys()).any(|name| name.len() > LONGEST) {
            return Err(TooMuch);
        }
        self.takes(nonce, refused);
        // What it holds counts as sent; what that is not any more, or not in this version, is news.
        let holds = |name: &str| {
            let held = held.get(name)?;
            Some(Some(current(name).filter(|current| current.is(held)).unwrap_or_else(|| Version::of("", &[]))))
        };
        let first = !std::mem::replace(&mut self.begun, true);
        for name in go {
            if name == WILDCARD {
                self.wild = false;
                self.names.retain(|_, entry| entry.named);
            } else if !self.wild {
                self.names.remove(name.as_str());
            } else if let Some(entry) = self.names.get_mut(name.as_str()).filter(|entry| entry.named) {
                // Its client cannot know whether the wildcard has it too: the push says it, one way or the other.
                *entry = Entry::default();
            }
        }
        let star = come.iter().any(|name| name == WILDCARD);
        if wildcards && (star || (first && come.is_empty())) {
            (self.wild, self.fresh) = (true, true);
            let held = held.keys().map(|name| (name.as_str().into(), Entry { sent: holds(name), ..Entry::default() }));
            self.names.extend(held);
        }
        for name in come.iter().filter(|name| !wildcards || *name != WILDCARD) {
            self.names.insert(name.as_str().into(), Entry { sent: holds(name), named: true, told: 0 });
        }
        if self.names.len() > NAMES {
            return Err(TooMuch);
        }
        if !nonce.is_empty() && !self.is_latest(nonce) {
            return Ok(if come.is_empty() && go.is_empty() { Heard::Stale } else { Heard::Asked });
        }
        Ok(self.answered(!nonce.is_empty(), refused))
    }

    /// What becomes of a response, also of one that is not the latest any more.
    fn takes(&mut self, nonce: &str, refused: bool) {
        let Some(number) = nonce.parse().ok().filter(|number| (1..=self.sent).contains(number)) else { return };
        if refused {
            let told = self.names.values_mut().filter(|entry| entry.told == number);
            told.for_each(|entry| entry.told = REFUSED);
        } else {
            self.accepted = self.accepted.max(number);
        }
    }

    fn answered(&mut self, answers: bool, refused: bool) -> Heard {
        if !answers {
            return Heard::Asked;
        }
        if refused {
            let told = std::mem::replace(&mut self.answer, Answer::Refused) == Answer::Refused;
            return if told { Heard::Stale } else { Heard::Refused };
        }
        let first = self.answer == Answer::Awaited;
        self.answer = Answer::Accepted;
        if first { Heard::Accepted } else { Heard::Asked }
    }

    /// What is to be sent now, if anything; it counts as sent. `all` is what there is, for who wants all. With `whole`,
    /// whoever leaves something out says that there is no such thing any more, so all that is wanted goes along.
    pub fn push(
        &mut self,
        whole: bool,
        all: impl FnOnce() -> BTreeSet<Arc<str>>,
        current: impl Fn(&str) -> Sent,
    ) -> Option<Push> {
        let mut resources = Vec::new();
        if self.wild {
            let all = all();
            self.names.retain(|name, entry| {
                let stays = entry.named || all.contains(name);
                if !stays {
                    resources.push((name.clone(), None));
                }
                stays
            });
            for name in all {
                self.names.entry(name).or_default();
            }
        }
        for (name, entry) in &mut self.names {
            let version = current(name);
            if entry.sent != Some(version) {
                (entry.sent, entry.told) = (Some(version), self.sent + 1);
                resources.push((name.clone(), version));
            }
        }
        if resources.is_empty() && !self.fresh {
            return None;
        }
        self.fresh = false;
        self.sent += 1;
        self.answer = Answer::Awaited;
        if whole {
            resources = self.names.iter().map(|(name, entry)| (name.clone(), entry.sent.flatten())).collect();
        }
        let wanted = self.names.iter();
        let mut all: Vec<_> = wanted.filter_map(|(name, entry)| Some((name.as_ref(), entry.sent.flatten()?))).collect();
        Some(Push { nonce: self.sent.to_string(), version: Version::of_all(&mut all), resources })
    }

    /// What is wanted.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.names.keys()
    }

    /// What the client holds of this name.
    pub fn held(&self, name: &str) -> Held {
        match self.names.get(name) {
            None => Held::Unwanted,
            Some(Entry { sent: Some(Some(version)), told, .. }) if *told <= self.accepted => Held::Version(*version),
            Some(_) => Held::Unknown,
        }
    }

    /// What was said to the latest response.
    pub fn answer(&self) -> Answer {
        self.answer
    }

    fn is_latest(&self, nonce: &str) -> bool {
        nonce.parse() == Ok(self.sent) && self.sent > 0
    }
}

#[cfg(test)]
mod tests;
