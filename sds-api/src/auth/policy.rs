//! The policy as it is written (TOML or JSON, `policy.schema.json`) and as it is asked. Strict on purpose: a key that is
//! misspelt would let somebody in, or lock somebody out, without a word.
//!
//! Of the rules that match a service the most precise one counts. A service that none matches asks for a token: a policy
//! that forgets one does not open it.

mod tasks;
mod tokens;

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;
use serde::Deserialize;

use super::{
    pattern::Pattern,
    token::{Hash, PREFIX},
};
use tasks::{Task, TaskGrant};
use tokens::Token;

pub use tasks::TaskFacts;
pub use tokens::TokenGrant;

/// What the writers of a service must show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Mode {
    /// Nothing: whoever reaches the registry may write.
    Off,
    /// A static token, or what `aws` asks for.
    Token,
    /// The role of their ECS task.
    Aws,
}

/// How a service is guarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guarded {
    /// By which rule, as it names services; empty by none.
    pub rule: Arc<str>,
    /// By what.
    pub mode: Mode,
    /// Whether what it would refuse is only counted.
    pub observe: bool,
}

impl Guarded {
    /// Where no rule matches.
    fn otherwise(mode: Mode) -> Self {
        Self { rule: "".into(), mode, observe: false }
    }
}

/// Who may register which services, and who may operate.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(title = "Policy of sds-api"))]
struct File {
    /// What the writers of services must show. Services that nothing here matches: mode token
    #[serde(default)]
    services: Vec<Services>,
    /// Static tokens
    #[serde(default)]
    tokens: Vec<Token>,
    /// ECS tasks, by their role and place
    #[serde(default)]
    tasks: Vec<Task>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Services {
    /// Names of services, with a trailing * beginnings of names. The most precise match counts
    names: Vec<String>,
    /// What their writers must show
    mode: Mode,
    /// Let through, log and count what would be refused
    #[serde(default)]
    observe: bool,
}

/// A policy, checked.
#[derive(Debug, PartialEq, Eq)]
pub struct Policy {
    services: Vec<(Pattern, Guarded)>,
    otherwise: Guarded,
    tokens: Vec<Arc<TokenGrant>>,
    tasks: Vec<TaskGrant>,
}

impl Policy {
    /// Without a policy: whoever reaches the registry may register, and operators speak from its machine.
    pub fn open() -> Self {
        let otherwise = Guarded::otherwise(Mode::Off);
        Self { services: vec![], otherwise, tokens: vec![], tasks: vec![] }
    }

    /// Whether it is that one: a policy that was written asks for something where it names nothing.
    pub fn asks_nobody(&self) -> bool {
        self.otherwise.mode == Mode::Off
    }

    /// Reads one; text that begins with `{` is JSON, all else TOML. An error is one line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let one_line = |text: &str| without_tokens(text.lines().next().unwrap_or_default());
        let file: File = if text.trim_start().starts_with('{') {
            serde_json::from_str(text).map_err(|error| one_line(&error.to_string()))?
        } else {
            toml::from_str(text).map_err(|error| {
                let line =
                    error.span().map_or(1, |span| text.get(..span.start).unwrap_or_default().lines().count().max(1));
                format!("line {line}: {}", one_line(error.message()))
            })?
        };
        let mut services = vec![];
        for (nth, rule) in file.services.into_iter().enumerate() {
            let at = format!("services[{nth}].names");
            for name in patterns(&at, rule.names)? {
                if services.iter().any(|(known, _)| *known == name) {
                    return Err(format!("{at}: {name} is there twice"));
                }
                let rule_name = name.to_string().into();
                services.push((name, Guarded { rule: rule_name, mode: rule.mode, observe: rule.observe }));
            }
        }
        services.sort_by_key(|(name, _)| std::cmp::Reverse(name.precision()));
        let mut tokens: Vec<Arc<TokenGrant>> = vec![];
        for (nth, token) in file.tokens.into_iter().enumerate() {
            let token = TokenGrant::of(&format!("tokens[{nth}]"), token)?;
            let same = |known: &Arc<TokenGrant>| {
                known.name == token.name || known.hashes.iter().any(|hash| token.hashes.contains(hash))
            };
            if tokens.iter().any(same) {
                return Err(format!("tokens[{nth}]: its name or its sha256 is there twice"));
            }
            tokens.push(Arc::new(token));
        }
        let tasks = file.tasks.into_iter().enumerate();
        let tasks = tasks.map(|(nth, task)| TaskGrant::of(&format!("tasks[{nth}]"), task)).collect::<Result<_, _>>()?;
        Ok(Self { services, otherwise: Guarded::otherwise(Mode::Token), tokens, tasks })
    }

    /// Whether it says nothing at all, as a file does that is being written.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty() && self.tokens.is_empty() && self.tasks.is_empty()
    }

    /// What is in it, and the names of services that it leaves open.
    pub fn summary(&self) -> String {
        let open = self.services.iter().filter(|(_, guarded)| guarded.mode == Mode::Off || guarded.observe);
        let open: Vec<_> = open.map(|(name, _)| name.to_string()).collect();
        let open = if open.is_empty() { String::new() } else { format!("; open: {}", open.join(", ")) };
        let (services, tokens, tasks) = (self.services.len(), self.tokens.len(), self.tasks.len());
        format!("{services} names of services, {tokens} tokens, {tasks} roles{open}")
    }

    /// How a service is guarded.
    pub fn guards(&self, service: &str) -> &Guarded {
        self.services.iter().find(|(name, _)| name.matches(service)).map_or(&self.otherwise, |(_, guarded)| guarded)
    }

    /// Whether somebody without credentials may register something.
    pub fn is_open(&self) -> bool {
        let open = |guarded: &Guarded| guarded.mode == Mode::Off || guarded.observe;
        open(&self.otherwise) || self.services.iter().any(|(_, guarded)| open(guarded))
    }

    /// Whether tasks are asked for their role.
    pub fn asks_aws(&self) -> bool {
        !self.tasks.is_empty() || self.services.iter().any(|(_, guarded)| guarded.mode == Mode::Aws)
    }

    /// Whose token it is.
    pub fn token(&self, token: &str) -> Option<Arc<TokenGrant>> {
        // A word that somebody made up is in some list of hashes.
        if !token.starts_with(PREFIX) {
            return None;
        }
        let hash = Hash::of(token);
        self.tokens.iter().find(|grant| grant.hashes.iter().any(|known| known.is(&hash))).cloned()
    }

    /// Whether tasks of this role may register anything at all: asked before ECS is.
    pub fn knows_role(&self, role: &str) -> bool {
        self.tasks.iter().any(|task| task.role.matches(role))
    }

    /// Whether tasks of a cluster may register `service` at `ip` with any role: asked before STS is.
    pub fn knows_place(&self, cluster: &str, service: &str, ip: IpAddr) -> bool {
        let fits = |task: &TaskGrant| task.is_in(cluster) && any(&task.register, service) && within(&task.cidrs, ip);
        self.tasks.iter().any(fits)
    }

    /// Whether a task may register `service` at `ip`.
    pub fn task_may(&self, task: TaskFacts<'_>, service: &str, ip: IpAddr) -> bool {
        self.tasks.iter().any(|grant| grant.is_of(task) && any(&grant.register, service) && within(&grant.cidrs, ip))
    }
}

/// A message of the parser repeats what it found, which may be a token that stands in the wrong place.
fn without_tokens(message: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let mut parts = message.split(PREFIX);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + PREFIX + "***" + part.trim_start_matches(is_part))
}

fn patterns(at: &str, names: Vec<String>) -> Result<Vec<Pattern>, String> {
    names.into_iter().map(|name| name.parse().map_err(|reason| format!("{at}: {reason}"))).collect()
}

fn any(patterns: &[Pattern], name: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(name))
}

fn within(networks: &[IpNet], ip: IpAddr) -> bool {
    networks.is_empty() || networks.iter().any(|network| network.contains(&ip))
}

#[cfg(test)]
mod tests;
