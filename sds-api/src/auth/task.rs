//! Whether a task, as ECS describes it, may speak for an endpoint.
//!
//! STS confirms a role and the name of a session. ECS gives a task's credentials the task's id as that name; but a role that may
//! assume itself can choose it, so ECS has to know the task, too, and have it at the address that is claimed.
//!
//! - awsvpc: one of the task's network interfaces has the address.
//! - bridge and host: ECS tells the ports, and not the address of the machine. So the request itself has to come from the
//!   claimed address, which a sidecar behind a load balancer or a NAT cannot show; and the port is one that ECS says leads into
//!   the task. Where it names none for a task that runs (nothing is published, as in the host mode), the address is all.
//!
//! ECS's word is some seconds late, so what it does not know yet of a task that is about to run may be asked again.

use std::net::IpAddr;

use sds_types::{Endpoint, proof::Claims};

use super::sts::Caller;
use crate::ecs::Task;

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// It contradicts the claim.
    No(&'static str),
    /// ECS does not tell enough yet of a task that is starting: the same may hold in a moment.
    NotYet(&'static str),
}

/// Whether all of it holds; `peer` is who sent the request.
pub fn check(caller: &Caller, claims: &Claims, task: &Task, peer: IpAddr) -> Result<(), Doubt> {
    is_its_role(caller, claims)?;
    if task.arn != claims.task.to_string() {
        return Err(Doubt::No("ECS describes another task"));
    }
    is_to_run(task)?;
    listens_at(task, claims.endpoint, peer)
}

/// Whether the caller can be the claimed task's role; needs no ECS.
pub fn is_its_role(caller: &Caller, claims: &Claims) -> Result<(), Doubt> {
    if caller.session != claims.task.id() {
        return Err(Doubt::No("the credentials are not those of the claimed task"));
    }
    let home = (claims.task.region().partition(), claims.task.account());
    if (caller.partition, caller.account.as_str()) != home {
        return Err(Doubt::No("the role and the task are of different accounts"));
    }
    Ok(())
}

/// Whether ECS wants the task to run; it starts before it is RUNNING, and its sidecar with it.
fn is_to_run(task: &Task) -> Result<(), Doubt> {
    match (task.desired_status.as_str(), task.last_status.as_str()) {
        ("RUNNING", "RUNNING" | "PENDING" | "PROVISIONING" | "ACTIVATING") => Ok(()),
        ("PENDING", "PENDING" | "PROVISIONING") => Err(Doubt::NotYet("ECS has the task as one that is to start")),
        _ => Err(Doubt::No("ECS has the task as one that stops or has stopped")),
    }
}

fn listens_at(task: &Task, endpoint: Endpoint, peer: IpAddr) -> Result<(), Doubt> {
    let runs = task.last_status == "RUNNING";
    if !task.addresses.is_empty() {
        let has = task.addresses.iter().any(|address| address.to_canonical() == endpoint.ip());
        return if has { Ok(()) } else { Err(Doubt::No("the address is not one of the task's")) };
    }
    if endpoint.ip() != peer.to_canonical() {
        return Err(Doubt::No(
            "the task has no address of its own, and the request does not come from the claimed one",
        ));
    }
    let mut ports = task.bindings.iter().filter(|binding| binding.protocol == "tcp").map(|binding| binding.host_port);
    match (ports.any(|port| port == endpoint.port()), runs) {
        (true, _) => Ok(()),
        (false, true) if task.bindings.is_empty() => Ok(()),
        (false, true) => Err(Doubt::No("no port of that number leads into the task")),
        (false, false) => Err(Doubt::NotYet("ECS does not tell the task's ports yet")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecs::HostPort;

    const ID: &str = "0123456789abcdef0123456789abcdef";
    const ARN: &str = "arn:aws:ecs:eu-west-1:111122223333:task/prod/0123456789abcdef0123456789abcdef";
    const PEER: &str = "10.0.0.9";

    fn claims(endpoint: &str) -> Claims {
        let (service, endpoint) = ("web".parse().unwrap(), endpoint.parse().unwrap());
        Claims { service, endpoint, task: ARN.parse().unwrap(), incarnation: 1 }
    }

    fn caller() -> Caller {
        Caller { partition: "aws", account: "111122223333".into(), role: "web-task".into(), session: ID.into() }
    }

    fn task(statuses: (&str, &str), addresses: &[&str], ports: &[(u16, &str)]) -> Task {
        let port = |(host_port, protocol): &(u16, &str)| HostPort {
            container: "app".into(),
            container_port: 8080,
            host_port: *host_port,
            protocol: (*protocol).into(),
        };
        Task {
            arn: ARN.into(),
            desired_status: statuses.0.into(),
            last_status: statuses.1.into(),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            bindings: ports.iter().map(port).collect(),
            ..Task::default()
        }
    }

    const RUNS: (&str, &str) = ("RUNNING", "RUNNING");

    fn said(task: &Task, endpoint: &str) -> &'static str {
        match check(&caller(), &claims(endpoint), task, PEER.parse().unwrap()) {
            Ok(()) => "yes",
            Err(Doubt::No(_)) => "no",
            Err(Doubt::NotYet(_)) => "not yet",
        }
    }

    #[test]
    fn who_signs_is_the_task() {
        let running = task(RUNS, &["10.0.0.1"], &[]);
        type Edit = fn(&mut Caller);
        let edits: [(&str, Edit); 4] = [
            ("another task's session", |caller| caller.session.replace_range(..1, "1")),
            ("a session named by hand", |caller| caller.session = "web".into()),
            ("another account", |caller| caller.account.replace_range(..1, "2")),
            ("another partition", |caller| caller.partition = "aws-cn"),
        ];
        for (what, edit) in edits {
            let mut caller = caller();
            edit(&mut caller);
            let said = check(&caller, &claims("10.0.0.1:80"), &running, PEER.parse().unwrap());
            assert!(matches!(said, Err(Doubt::No(_))), "{what}");
        }
        let other = Task { arn: ARN.replace("prod", "test"), ..running };
        assert_eq!(said(&other, "10.0.0.1:80"), "no");
    }

    #[test]
    fn it_is_to_run() {
        for (statuses, expected) in [
            (RUNS, "yes"),
            (("RUNNING", "PENDING"), "yes"),
            (("RUNNING", "PROVISIONING"), "yes"),
            (("RUNNING", "ACTIVATING"), "yes"),
            (("PENDING", "PENDING"), "not yet"),
            (("RUNNING", "DEACTIVATING"), "no"),
            (("STOPPED", "RUNNING"), "no"),
            (("STOPPED", "PENDING"), "no"),
            (("STOPPED", "STOPPING"), "no"),
            (("STOPPED", "STOPPED"), "no"),
            (("RUNNING", "STOPPED"), "no"),
            (("RUNNING", "DELETED"), "no"),
            (("", ""), "no"),
            (("running", "running"), "no"),
        ] {
            assert_eq!(said(&task(statuses, &["10.0.0.1"], &[]), "10.0.0.1:80"), expected, "{statuses:?}");
        }
    }

    #[test]
    fn it_is_where_it_claims_to_be() {
        type Row = (&'static [&'static str], &'static [(u16, &'static str)], &'static str, &'static str);
        let rows: [Row; 13] = [
            (&["10.0.0.1"], &[], "10.0.0.1:80", "yes"),
            (&["10.0.0.1"], &[], "10.0.0.1:81", "yes"),
            (&["10.0.0.1"], &[], "10.0.0.2:80", "no"),
            // Where the task has an address of its own, whence the request came proves nothing.
            (&["10.0.0.1"], &[], "10.0.0.9:80", "no"),
            (&["10.0.0.1", "fd00::1"], &[], "[fd00::1]:80", "yes"),
            (&["::ffff:10.0.0.1"], &[], "10.0.0.1:80", "yes"),
            (&[], &[(32768, "tcp")], "10.0.0.9:32768", "yes"),
            (&[], &[(53, "udp"), (32768, "tcp")], "10.0.0.9:32768", "yes"),
            (&[], &[(32768, "udp")], "10.0.0.9:32768", "no"),
            (&[], &[(32768, "tcp")], "10.0.0.9:8080", "no"),
            (&[], &[(32768, "tcp")], "10.0.0.1:32768", "no"),
            (&[], &[], "10.0.0.9:80", "yes"),
            (&[], &[], "10.0.0.1:80", "no"),
        ];
        for (addresses, ports, endpoint, expected) in rows {
            assert_eq!(said(&task(RUNS, addresses, ports), endpoint), expected, "{addresses:?} {ports:?} {endpoint}");
        }
        let starting = task(("RUNNING", "PENDING"), &[], &[(32768, "tcp")]);
        assert_eq!((said(&starting, "10.0.0.9:32768"), said(&starting, "10.0.0.9:80")), ("yes", "not yet"));
        assert_eq!(said(&task(("RUNNING", "PENDING"), &[], &[]), "10.0.0.9:80"), "not yet");
    }
}
