//! The policy's file: read at the start, and again when it changes. A bad one, or one that would open what must not be
//! open, keeps the old one: a slip of the pen at night must neither let the world in nor lock the fleet out.

use std::{io::Read as _, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;

use super::policy::Policy;
use crate::{clock::Timestamp, metrics::PolicyMetrics};

/// How often the file is looked at. Its content counts, not its date: a mounted secret's may be anything. What two looks find
/// is taken: a file that is being written may be a policy at any line's end.
const LOOK: Duration = Duration::from_secs(1);
/// The longest policy.
const LONGEST: u64 = 1024 * 1024;

/// Where the policy is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The text itself, as ECS hands a secret to a container.
    Text(String),
    /// A file.
    File(PathBuf),
}

impl FromStr for Source {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_text = text.trim_start().starts_with(['{', '[']) || text.contains('\n');
        Ok(if is_text { Self::Text(text.to_owned()) } else { Self::File(text.into()) })
    }
}

/// What a policy may ask of this server.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Whether something may be left open to all who reach the registry.
    pub open: bool,
    /// Whether tasks can be asked for their role.
    pub aws: bool,
}

/// Reads a policy and holds it against the terms; the reason is one line.
pub fn load(source: &Source, terms: Terms) -> Result<Policy, String> {
    judge(&read(source)?, terms)
}

/// What is in a policy, and what it needs of the server.
pub fn check(source: &Source) -> Result<String, String> {
    let policy = parse(&read(source)?)?;
    let aws = if policy.asks_aws() { "; needs SDS_AUDIENCE and SDS_TOKEN_KEYS" } else { "" };
    Ok(format!("good: {}{aws}", policy.summary()))
}

fn read(source: &Source) -> Result<String, String> {
    let path = match source {
        Source::Text(text) => return Ok(text.clone()),
        Source::File(path) => path,
    };
    let wrong = |reason: &dyn std::fmt::Display| format!("{}: {reason}", path.display());
    // A pipe would be waited for.
    if !std::fs::metadata(path).map_err(|error| wrong(&error))?.is_file() {
        return Err(wrong(&"not a file"));
    }
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| wrong(&error))?;
    let read = file.take(LONGEST + 1).read_to_string(&mut text).map_err(|error| wrong(&error))?;
    if read as u64 > LONGEST { Err(wrong(&format!("longer than {LONGEST} bytes"))) } else { Ok(text) }
}

fn parse(text: &str) -> Result<Policy, String> {
    let policy = Policy::parse(text)?;
    if policy.is_empty() { Err("there is nothing in it".into()) } else { Ok(policy) }
}

fn judge(text: &str, terms: Terms) -> Result<Policy, String> {
    let policy = parse(text)?;
    if policy.is_open() && !terms.open {
        return Err(format!(
            "it leaves services open (mode off, or observe) where others than this machine can write; set \
             SDS_ALLOW_OPEN_WRITES=true if the network alone decides who may register those, or SDS_TLS_CLIENT_CA ({})",
            policy.summary()
        ));
    }
    if policy.asks_aws() && !terms.aws {
        return Err("it asks tasks for their role, which needs SDS_AUDIENCE and SDS_TOKEN_KEYS".into());
    }
    Ok(policy)
}

/// Looks after the file for ever; a text never changes.
pub async fn watch(source: Source, terms: Terms, policy: Arc<ArcSwap<Policy>>, metrics: PolicyMetrics) {
    metrics.loaded.set(seconds());
    if matches!(source, Source::Text(_)) {
        return;
    }
    let (mut last, mut settled) = (None, None);
    let mut every = tokio::time::interval(LOOK);
    loop {
        every.tick().await;
        let source = source.clone();
        let read = tokio::task::spawn_blocking(move || read(&source)).await;
        let read = read.unwrap_or_else(|_| Err("it cannot be read".into()));
        if last.as_ref() != Some(&read) || settled == last {
            last = Some(read);
            continue;
        }
        match read.as_deref().map_err(Clone::clone).and_then(|text| judge(text, terms)) {
            Ok(new) => {
                metrics.bad.set(0);
                if **policy.load() != new {
                    tracing::info!(policy = new.summary(), "the policy was changed");
                    metrics.loaded.set(seconds());
                    policy.store(Arc::new(new));
                }
            }
            Err(reason) => {
                metrics.bad.set(1);
                tracing::error!(reason, "the policy's file is not taken, the last good policy stays");
            }
        }
        settled = Some(read);
    }
}

fn seconds() -> i64 {
    Timestamp::now().seconds().try_into().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_not_be_open_is_refused() {
        let open = "[[services]]\nnames = ['*']\nmode = 'off'";
        let observed = "[[services]]\nnames = ['*']\nmode = 'token'\nobserve = true";
        let aws = "[[services]]\nnames = ['*']\nmode = 'aws'";
        let strict = Terms { open: false, aws: false };
        for (text, terms, ok) in [
            (open, Terms { open: true, aws: false }, true),
            (open, strict, false),
            (observed, strict, false),
            (aws, strict, false),
            (aws, Terms { open: false, aws: true }, true),
            ("", strict, false),
            ("[[services]]\nnames = ['*']\nmode = 'token'", strict, true),
        ] {
            assert_eq!(judge(text, terms).is_ok(), ok, "{text}");
        }
    }

    #[test]
    fn a_text_is_told_from_a_path() {
        for (text, is_file) in
            [("/etc/sds/policy.toml", true), ("policy.json", true), ("{}", false), ("[[tokens]]\nname = 'a'", false)]
        {
            assert_eq!(matches!(text.parse(), Ok(Source::File(_))), is_file, "{text}");
        }
    }
}
