//! ECS tasks in the policy: as they are written, and what those of a role and place may do.

use ipnet::IpNet;
use serde::Deserialize;

use super::patterns;
use crate::auth::pattern::Pattern;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Task {
    /// The task's role, `arn:aws:iam::123456789012:role/NAME`, without its path (STS does not tell it); a trailing * for the
    /// beginning of a name
    role: String,
    /// Name or ARN of the cluster
    cluster: String,
    /// Family of the task definition; left out for any
    family: Option<String>,
    /// Group of the task, `service:NAME` for tasks of an ECS service; left out for any
    group: Option<String>,
    /// Services that it may register
    register: Vec<String>,
    /// Networks whose addresses it may register; empty for any
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    cidrs: Vec<IpNet>,
    /// Whether tasks may register that have no address of their own (bridge and host mode), of which ECS does not tell where
    /// they are: whoever has their credentials may then register his own host in `cidrs`, which are required
    #[serde(default)]
    host_address: bool,
}

/// What tasks of a role and place may do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TaskGrant {
    pub(super) role: Pattern,
    cluster: String,
    family: Option<Pattern>,
    group: Option<Pattern>,
    pub(super) register: Vec<Pattern>,
    pub(super) cidrs: Vec<IpNet>,
    host_address: bool,
}

/// What AWS says of a task.
#[derive(Debug, Clone, Copy)]
pub struct TaskFacts<'a> {
    /// `arn:aws:iam::123456789012:role/NAME`, without a path.
    pub role: &'a str,
    /// The cluster's ARN.
    pub cluster: &'a str,
    /// The family of its task definition.
    pub family: &'a str,
    /// Its group, as in `service:web`.
    pub group: &'a str,
    /// Whether it has an address of its own, which ECS tells.
    pub has_address: bool,
}

impl TaskGrant {
    pub(super) fn of(at: &str, task: Task) -> Result<Self, String> {
        let pattern = |field: &str, text: String| text.parse().map_err(|reason| format!("{at}.{field}: {reason}"));
        let role: Pattern = pattern("role", task.role)?;
        if !is_role(role.stem()) {
            let reason = "not arn:aws:iam::ACCOUNT:role/NAME with 12 digits and no path; a * may only end the name";
            return Err(format!("{at}.role: {reason}"));
        }
        if task.cluster.is_empty() || task.cluster.contains('*') {
            return Err(format!("{at}.cluster: the name or the ARN of one cluster"));
        }
        if task.host_address && task.cidrs.is_empty() {
            return Err(format!("{at}.cidrs: required with host_address, the networks of the machines"));
        }
        Ok(Self {
            role,
            cluster: task.cluster,
            family: task.family.map(|text| pattern("family", text)).transpose()?,
            group: task.group.map(|text| pattern("group", text)).transpose()?,
            register: patterns(&format!("{at}.register"), task.register)?,
            cidrs: task.cidrs,
            host_address: task.host_address,
        })
    }

    /// By the name alone, which is all that is known before ECS has spoken.
    pub(super) fn is_in(&self, cluster: &str) -> bool {
        self.cluster.rsplit('/').next() == cluster.rsplit('/').next()
    }

    pub(super) fn is_of(&self, task: TaskFacts<'_>) -> bool {
        let cluster = if self.cluster.contains(':') { self.cluster == task.cluster } else { self.is_in(task.cluster) };
        let fits = |pattern: &Option<Pattern>, name| pattern.as_ref().is_none_or(|pattern| pattern.matches(name));
        (task.has_address || self.host_address)
            && cluster
            && self.role.matches(task.role)
            && fits(&self.family, task.family)
            && fits(&self.group, task.group)
    }
}

/// `arn:aws:iam::123456789012:role/` and the beginning of a name.
fn is_role(text: &str) -> bool {
    let parts: Vec<_> = text.splitn(6, ':').collect();
    match parts[..] {
        ["arn", partition, "iam", "", account, role] => {
            let digits = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
            let name = role.strip_prefix("role/");
            digits && partition.starts_with("aws") && name.is_some_and(|name| !name.contains(['/', ':']))
        }
        _ => false,
    }
}
