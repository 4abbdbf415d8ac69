//! An ECS task's ARN in its parts. Unlike the label that a registration may carry for people, it is checked to the letter,
//! because a proof is built on it: the region decides which host of AWS is asked, account and id are what AWS has to confirm.

use std::{fmt, str::FromStr};

use crate::{Invalid, TaskArnParts, proof::Region, shown};

/// `arn:aws:ecs:<region>:<account>:task/<cluster>/<id>`. In a region that this release knows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TaskName {
    region: Region,
    account: String,
    cluster: String,
    id: String,
}

impl TaskName {
    /// Where it runs; the partition is that of the region.
    pub fn region(&self) -> Region {
        self.region
    }

    /// Twelve digits.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The cluster's name.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// What names it within its cluster; its credentials have it as the name of their session (AWS staff say so).
    pub fn id(&self) -> &str {
        &self.id
    }

    fn parse(text: &str) -> Option<Self> {
        let TaskArnParts { arn, cluster, id } = TaskArnParts::parse(text)?;
        let region = Region::named(arn.region).filter(|region| region.partition() == arn.partition)?;
        Some(Self { region, account: arn.account.to_owned(), cluster: cluster.to_owned(), id: id.to_owned() })
    }
}

impl FromStr for TaskName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::parse(text).ok_or_else(|| {
            let reason = format!(
                "'{}' is not the ARN of an ECS task in a known region, as in arn:aws:ecs:REGION:ACCOUNT:task/CLUSTER/ID",
                shown(text)
            );
            Invalid::new("InvalidTask", "task_arn", reason)
        })
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { region, account, cluster, id } = self;
        write!(f, "arn:{}:ecs:{}:{account}:task/{cluster}/{id}", region.partition(), region.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: &str = "arn:aws:ecs:ap-northeast-1:111122223333:task/prod/0123456789abcdef0123456789abcdef";

    #[test]
    fn parts() {
        let task: TaskName = TASK.parse().unwrap();
        assert_eq!((task.account(), task.cluster(), task.id()), ("111122223333", "prod", &TASK[TASK.len() - 32..]));
        assert_eq!((task.region().name(), task.to_string().as_str()), ("ap-northeast-1", TASK));
        let older = "arn:aws-cn:ecs:cn-north-1:111122223333:task/a_b-c/01234567-89ab-cdef-0123-456789abcdef";
        assert_eq!(older.parse::<TaskName>().unwrap().to_string(), older);
    }

    #[test]
    fn anything_else_is_refused() {
        let without_id = &TASK[..TASK.len() - 32];
        for bad in [
            "",
            "0123456789abcdef0123456789abcdef",
            without_id,
            &TASK[..TASK.len() - 1],
            &format!("{TASK}0"),
            &format!("{TASK}\n"),
            &format!("{TASK}:1"),
            &format!("{TASK}/2"),
            &format!(" {TASK}"),
            &TASK.replace("/prod", ""),
            &TASK.replace("/prod", "/"),
            &TASK.replace("/prod", "/prod/prod"),
            &TASK.replace("prod", "pr od"),
            &TASK.replace("prod", &"x".repeat(256)),
            &TASK.replace("task/", "service/"),
            &TASK.replace("3333", "333"),
            &TASK.replace("3333", "333a"),
            &TASK.replace("ap-northeast-1", "ap-northeast-9"),
            &TASK.replace("arn:aws:", "arn:aws-cn:"),
            &TASK.replace("ecs", "sts"),
            &TASK.replace("arn:", "urn:"),
            &TASK.replace("cdef", "cdeg"),
        ] {
            assert_eq!(bad.parse::<TaskName>().map_err(|e| e.id), Err("InvalidTask"), "{bad}");
        }
    }
}
