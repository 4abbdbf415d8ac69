//! The ARNs of ECS, taken apart and held to AWS's spelling; what is named there is borrowed.
//!
//! A registrant says its task's ARN itself, so it may be any text, and one bad name makes ECS refuse a call for a hundred
//! tasks.

/// `arn:<partition>:ecs:<region>:<account>:<resource>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EcsArn<'a> {
    /// `aws`, `aws-cn`, ..
    pub partition: &'a str,
    /// The AWS region, as it stands there: it need not be one that there is.
    pub region: &'a str,
    /// Twelve digits.
    pub account: &'a str,
    /// Its kind, and what names it.
    pub resource: &'a str,
}

/// `arn:..:task/<cluster>/<id>`. The short form of before 2021, without the cluster, tells too little and is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TaskArnParts<'a> {
    /// Where it is.
    pub arn: EcsArn<'a>,
    /// The cluster's name.
    pub cluster: &'a str,
    /// What names it within its cluster.
    pub id: &'a str,
}

impl<'a> EcsArn<'a> {
    /// Reads one.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        let mut next = || parts.next();
        let (scheme, partition, service) = (next()?, next()?, next()?);
        let (region, account, resource) = (next()?, next()?, next()?);
        let ours = scheme == "arn" && partition.starts_with("aws") && service == "ecs";
        let placed = !region.is_empty() && account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        (ours && placed).then_some(Self { partition, region, account, resource })
    }

    /// Whether this is the name of a cluster: up to 255 letters, digits, underscores and hyphens (`CreateCluster`).
    pub fn is_cluster_name(text: &str) -> bool {
        (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    }
}

impl<'a> TaskArnParts<'a> {
    /// Reads one.
    pub fn parse(text: &'a str) -> Option<Self> {
        let arn = EcsArn::parse(text)?;
        let (cluster, id) = arn.resource.strip_prefix("task/")?.split_once('/')?;
        // 32 hex digits, or a UUID as older tasks have it; ECS refuses any other length.
        let is_id = matches!(id.len(), 32 | 36) && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        (EcsArn::is_cluster_name(cluster) && is_id).then_some(Self { arn, cluster, id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: &str = "arn:aws:ecs:eu-west-1:123456789012:task/prod/0123456789abcdef0123456789abcdef";

    #[test]
    fn only_what_ecs_spells_is_a_task() {
        let task = TaskArnParts::parse(TASK).unwrap();
        assert_eq!((task.arn.region, task.arn.account, task.cluster), ("eu-west-1", "123456789012", "prod"));
        assert_eq!(task.id, "0123456789abcdef0123456789abcdef");
        assert!(TaskArnParts::parse(&TASK.replace("aws:", "aws-cn:")).is_some());
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
            assert_eq!(TaskArnParts::parse(bad), None, "{bad}");
        }
    }
}
