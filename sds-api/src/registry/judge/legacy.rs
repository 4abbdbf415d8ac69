//! What a registration means whose client knows no incarnation: the registry finds it a place in the order of writes.
//!
//! A change keeps the incarnation that stands there, because the client is most likely the one that wrote it. What is
//! gone, another registry's, or a sidecar's that fell silent is ended by the next incarnation. Next to a living sidecar such
//! a client has no say: two that speak for one host, of which one cannot be told from its own past, would only fight.
//!
//! The price of not having an incarnation: a registration that was delayed until after the deregistration is taken for a
//! new one, and lives for one lease.

use std::collections::BTreeMap;

use sds_types::{Invalid, Sequence, Tags};

use super::Verdict;
use crate::{
    instance::{Content, Origin},
    registry::fold::Known,
};

/// What such a client says of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The dialect.
    pub origin: Origin,
    /// All that it says, as if nothing were registered there.
    pub content: Content,
    /// In lyft/discovery's dialect what a client does not say stays as it is; the others replace all.
    pub unsaid: Option<Unsaid>,
}

/// Which tags of what is registered a client leaves as they are: all other tags, but those that it takes away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unsaid {
    /// The weight.
    pub weight: bool,
    /// Whether it is a canary.
    pub canary: bool,
    /// Other tags that it takes away, by name.
    pub but: Vec<String>,
}

impl Said {
    /// The content after it was said of a host with this one; an error if they are too much together.
    pub fn onto(&self, standing: Option<&Content>) -> Result<Content, Invalid> {
        let (Some(unsaid), Some(standing)) = (&self.unsaid, standing) else { return Ok(self.content.clone()) };
        let kept = standing.tags.iter().filter(|(name, _)| !unsaid.but.iter().any(|but| but == name));
        let tags = kept.chain(self.content.tags.iter()).map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(Content {
            weight: if unsaid.weight { standing.weight } else { self.content.weight },
            canary: if unsaid.canary { standing.canary } else { self.content.canary },
            tags: Tags::parse(tags.collect::<BTreeMap<_, _>>())?,
            ..self.content.clone()
        })
    }
}

/// Judges it by what is known of its ip:port; `former` is what the client's host was before it moved to this port.
/// The content goes with the verdict: what is to be written, if it is.
pub fn legacy(known: Option<&Known>, former: Option<&Content>, said: &Said) -> Result<(Verdict, Content), Invalid> {
    let living = known.filter(|known| known.served).and_then(|known| known.row.registration());
    let content = said.onto(living.map(|standing| &*standing.content).or(former))?;
    let verdict = match (known, living) {
        (None, _) => Verdict::Write(Sequence { incarnation: 1, seq: 1 }),
        (Some(_), Some(standing)) if standing.origin == Origin::Native => Verdict::Ignored,
        (Some(known), _) if is_ended(known) => Verdict::Write(next_incarnation(known.row.at)),
        (Some(known), living) => {
            let next = Sequence { seq: known.row.at.seq.saturating_add(1), ..known.row.at };
            match living {
                Some(standing) if standing.origin == said.origin && *standing.content == content => {
                    if standing.lost || known.dirty || known.owed { Verdict::Rewrite(next) } else { Verdict::Heard }
                }
                _ => Verdict::Write(next),
            }
        }
    };
    Ok((verdict, content))
}

/// The place of a new tenant after what stands there.
pub fn next_incarnation(after: Sequence) -> Sequence {
    Sequence { incarnation: after.incarnation.saturating_add(1), seq: 1 }
}

/// Whether what stands there has no claim left: gone, another registry's, or a sidecar's. (A living sidecar's was
/// seen to before.)
fn is_ended(known: &Known) -> bool {
    known.row.is_foreign() || known.row.registration().is_none_or(|standing| standing.origin == Origin::Native)
}
