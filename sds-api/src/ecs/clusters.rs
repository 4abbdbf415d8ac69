//! Which clusters this registry asks about.

use std::{fmt, str::FromStr};

use sds_types::{EcsArn, TaskArnParts};

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
    pub fn of(&self, task: TaskArnParts<'_>) -> Option<&Cluster> {
        self.0.iter().find(|cluster| {
            let at_home =
                |(region, account): &(String, String)| region == task.arn.region && account == task.arn.account;
            cluster.name == task.cluster && cluster.home.as_ref().is_none_or(at_home)
        })
    }
}

impl FromStr for Cluster {
    type Err = String;

    fn from_str(said: &str) -> Result<Self, String> {
        let wrong = || format!("'{}' is no cluster's name or ARN", said.escape_debug());
        let (name, home) = match EcsArn::parse(said) {
            Some(EcsArn { region, account, resource, .. }) => {
                (resource.strip_prefix("cluster/").ok_or_else(wrong)?, Some((region.to_owned(), account.to_owned())))
            }
            None => (said, None),
        };
        if !EcsArn::is_cluster_name(name) {
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
    fn a_name_is_of_any_home_and_an_arn_of_its_own() {
        let task = TaskArnParts::parse(TASK).unwrap();
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
