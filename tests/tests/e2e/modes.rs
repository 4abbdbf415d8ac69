//! What ECS does to a task beside deploying it, and what its sidecar makes of that, on the definitions that the docs ship.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, ensure};
use e2e::{
    api::Api,
    ecs::{
        Ecs, Settings,
        definition::{Definition, RestartPolicy},
        history::What,
        task::{Phase, Task},
    },
    process::Signal,
    wait::{SOON, throughout, until},
};

use crate::alone;

const LEASE: (&str, &str) = ("SDS_LEASE", "3s");

/// Ten times as fast as ECS.
fn fast(api: &Api) -> Settings {
    Settings { scale: 10, ..Settings::new(api.addr) }
}

/// The endpoints that are healthy.
async fn registered(api: &Api) -> anyhow::Result<BTreeSet<String>> {
    Ok(api.v1_endpoints("web").await?.into_iter().collect())
}

#[test]
fn in_host_mode_the_hosts_address_is_deployed() {
    alone("in_host_mode_the_hosts_address_is_deployed", async |stage| {
        let api = Api::start(stage, &[LEASE]).await?;
        let service = Ecs::new(stage, fast(&api)).service(2);
        for _ in 0..2 {
            service.deploy(&Definition::shipped("ec2-host")?, 2 * SOON).await?;
            let view = service.view();
            let host = |task: &Task| format!("{}:8080", task.metadata.identity().network.host);
            let hosts: BTreeSet<_> = view.tasks.iter().map(|(_, task)| host(task)).collect();
            ensure!(hosts.len() == 2 && registered(&api).await? == hosts, "{hosts:?}");
        }
        Ok(())
    });
}

#[test]
fn a_restart_that_changes_the_port_is_registered_anew() {
    alone("a_restart_that_changes_the_port_is_registered_anew", async |stage| {
        let api = Api::start(stage, &[LEASE]).await?;
        let mut definition = Definition::shipped("ec2-bridge")?;
        definition.container_definitions[0].restart_policy =
            Some(RestartPolicy { enabled: true, restart_attempt_period: 10, ignored_exit_codes: Vec::new() });
        let task = Ecs::new(stage, fast(&api)).run_task(&definition, 1).await?;
        let first = until("the first port", SOON, async || registered(&api).await?.pop_first().context("none")).await?;
        throughout("it stays long enough to be started again", Duration::from_millis(1100), async || {
            ensure!(registered(&api).await? == BTreeSet::from([first.clone()]));
            Ok(())
        })
        .await?;
        task.signal("app", Signal::KILL).await?;
        until("the next port, and only it", SOON, async || {
            let now = registered(&api).await?;
            ensure!(now.len() == 1 && !now.contains(&first), "{now:?}, before {first}");
            ensure!(api.instances("web").await?.len() == 1, "the first one is still there");
            Ok(())
        })
        .await?;
        ensure!(task.status().phase == Phase::Running, "{}", task.history.trace());
        Ok(())
    });
}

#[test]
fn the_drain_starts_with_ecss_word() {
    alone("the_drain_starts_with_ecss_word", async |stage| {
        let api = Api::start(stage, &[LEASE]).await?;
        // As behind a load balancer: SIGTERM comes when the drain is long over.
        let settings = Settings { stopped_ahead: Duration::from_secs(5), ..fast(&api) };
        let task = Ecs::new(stage, settings).run_task(&Definition::shipped("fargate")?, 1).await?;
        let at = format!("{}:8080", task.metadata.identity().network.address);
        api.until_status("web", &at, "healthy", SOON).await?;
        task.stop("enough").await;
        api.until_status("web", &at, "draining", SOON).await?;
        api.until_status("web", &at, "absent", SOON).await?;
        let sigterm = What::Signalled(Signal::TERM);
        ensure!(task.history.when("sds-sidecar", &sigterm).is_none(), "it waited for SIGTERM");
        // The app serves on until ECS says otherwise, and nothing is left to linger for then.
        task.until(|status| status.phase == Phase::Stopped, SOON).await?;
        let end = "sds-sidecar SIGTERM, sds-sidecar exited 0, app SIGTERM, app exited 0";
        ensure!(task.history.trace().ends_with(end), "{}", task.history.trace());
        let when = |what: &What| task.history.when("sds-sidecar", what).context("it did not happen");
        let took = when(&What::Exited(0))? - when(&sigterm)?;
        ensure!(took < Duration::from_secs(1), "it took {took:?} to exit");
        Ok(())
    });
}
