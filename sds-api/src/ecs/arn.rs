//! The names of tasks and clusters, read from their ARNs, and which clusters this registry asks about.
//!
//! A registrant says its task's ARN itself, so it may be any text. Only one that is spelled as ECS spells it is ever asked
//! about: one bad name makes ECS refuse a call for a hundred tasks. The short form of before 2021, without the cluster's
//! name, tells too little and counts as none.

use std::{fmt, str::FromStr};

/// A task's name, in its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TaskName<'a> {
    /// The AWS region.
    pub region: &'a str,
    /// The account, twelve digits.
    pub account: &'a str,
    /// The cluster's name.
    pub cluster: &'a str,
    /// What names it within its cluster.
    pub id: &'a str,
}

impl<'a> TaskName<'a> {
    /// Reads `arn:aws:ecs:<region>:<account>:task/<cluster>/<id>`.
    pub fn parse(arn: &'a str) -> Option<Self> {
        let (region, account, rest) = parts(arn)?;
        let (cluster, id) = rest.strip_prefix("task/")?.split_once('/')?;
        (is_name(cluster) && is_id(id)).then_some(Self { region, account, cluster, id })
    }
}

/// Region, account and what is named there.
fn parts(arn: &str) -> Option<(&str, &str, &str)> {
    let mut parts = arn.splitn(6, ':');
    let mut next = || parts.next();
    let (scheme, partition, service) = (next()?, next()?, next()?);
    let (region, account, rest) = (next()?, next()?, next()?);
    let ours = scheme == "arn" && partition.starts_with("aws") && service == "ecs";
    let placed = !region.is_empty() && account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    (ours && placed).then_some((region, account, rest))
}

/// A cluster's name: up to 255 letters, digits, underscores and hyphens (`CreateCluster`).
fn is_name(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// 32 hex digits, or a UUID as older tasks have it; ECS refuses any other length.
fn is_id(text: &str) -> bool {
    matches!(text.len(), 32 | 36) && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

/// A cluster that is asked about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cluster {
    /// As it was configured, and as ECS is asked: a name or an ARN.
    pub said: String,
    /// Its name.
    pub name: String,
    /// Region and account, if it was given by its ARN. A plain name is of the region and account that answers.
    pub home: Option<(String, String)>,
}

/// The clusters whose tasks this registry asks about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clusters(Vec<Cluster>);

impl Clusters {
    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Cluster> {
        self.0.iter()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one that a task runs in.
    pub fn of(&self, task: TaskName) -> Option<&Cluster> {
        self.0.iter().find(|cluster| {
            let at_home = |(region, account): &(String, String)| region == task.region && account == task.account;
            cluster.name == task.cluster && cluster.home.as_ref().is_none_or(at_home)
        })
    }
}

impl FromStr for Cluster {
    type Err = String;

    fn from_str(said: &str) -> Result<Self, String> {
        let wrong = || format!("'{}' is no cluster's name or ARN", said.escape_debug());
        let (name, home) = match parts(said) {
            Some((region, account, rest)) => {
                (rest.strip_prefix("cluster/").ok_or_else(wrong)?, Some((region.to_owned(), account.to_owned())))
            }
            None => (said, None),
        };
        if !is_name(name) {
            return Err(wrong());
        }
        Ok(Self { said: said.to_owned(), name: name.to_owned(), home })
    }
}

impl FromStr for Clusters {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let said = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        said.map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: &str = "arn:aws:ecs:eu-west-1:123456789012:task/prod/0123456789abcdef0123456789abcdef";

    #[test]
    fn only_what_ecs_spells_is_a_task() {
        let task = TaskName::parse(TASK).unwrap();
        assert_eq!((task.region, task.account, task.cluster), ("eu-west-1", "123456789012", "prod"));
        assert_eq!(task.id, "0123456789abcdef0123456789abcdef");
        assert!(TaskName::parse(&TASK.replace("aws:", "aws-cn:")).is_some());
        for bad in [
            "",
            "task",
            &TASK.replace("/prod", ""),
            &TASK.replace("/prod/", "/prod/x/"),
            &TASK.replace("123456789012", ""),
            &TASK.replace("ecs", "ec2"),
            &TASK[..TASK.len() - 1],
            &TASK.replace("abcdef", "abcde!"),
            &TASK.replace("prod", "pr od"),
        ] {
            assert_eq!(TaskName::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_name_is_of_any_home_and_an_arn_of_its_own() {
        let task = TaskName::parse(TASK).unwrap();
        let of = |text: &str| text.parse::<Clusters>().unwrap().of(task).map(|cluster| cluster.said.clone());
        assert_eq!(of("test, prod"), Some("prod".into()));
        assert!(of("arn:aws:ecs:eu-west-1:123456789012:cluster/prod").is_some());
        assert_eq!(of("arn:aws:ecs:eu-west-1:999999999999:cluster/prod"), None);
        assert_eq!(of("product"), None);
        for bad in ["pr od", "a/b", "arn:aws:ecs:eu-west-1:123456789012:service/prod", TASK] {
            assert!(bad.parse::<Clusters>().is_err(), "{bad}");
        }
        assert!("".parse::<Clusters>().unwrap().is_empty());
    }
}
