//! ECS's own word: what it says of tasks is in all replicas' answers, and what it does not say changes nothing.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, ensure};
use e2e::{
    api::{Api, native_path},
    aws::ecs::{ACCOUNT, Ecs, Fault, task::Task},
    dynamo::Dynamo,
    fleet::{Fleet, Spec},
    replicas::{self, Replica, addrs},
    scenario::truth::{self, Plan},
    stage::Stage,
    wait::{SOON, throughout, until},
};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::alone;

const AT: &str = "10.0.0.1:80";
/// Beyond a sweep's interval: the call, the write, and that all know.
const GRACE: Duration = Duration::from_secs(1);

/// A stand-in of ECS, and replicas that ask it about the cluster `prod`.
struct World {
    ecs: Ecs,
    _store: Dynamo,
    replicas: Vec<Replica>,
}

impl World {
    async fn start(stage: &Stage, n: usize, more: &[(&str, &str)]) -> anyhow::Result<Self> {
        let (store, ecs) = (Dynamo::in_memory(stage).await?, Ecs::start().await?);
        let mut env = ecs.env("prod");
        env.extend([("SDS_ECS_INTERVAL", "1s"), ("SDS_ECS_RATE", "50")]);
        env.extend(more);
        let replicas = replicas::start(stage, store.addr, n, &env).await?;
        Ok(Self { ecs, _store: store, replicas })
    }

    fn api(&self) -> &Api {
        &self.replicas[0].api
    }

    /// Waits until all replicas say so of the instance.
    async fn all_say(&self, at: &str, want: &str, within: Duration) -> anyhow::Result<Duration> {
        let began = Instant::now();
        until(&format!("{at} to be {want} everywhere"), within, async || {
            for status in join_all(self.replicas.iter().map(|replica| replica.api.status("web", at))).await {
                let status = status?;
                ensure!(status == want, "it is {status}");
            }
            Ok(began.elapsed())
        })
        .await
    }

    async fn event(&self, body: &Value) -> anyhow::Result<Value> {
        self.api().json(Method::POST, "/v1/ecs/events", body).await?.expect(200)?.json()
    }

    /// After some sweeps from now, whatever comes of their calls.
    async fn swept(&self, calls: usize) -> anyhow::Result<()> {
        let before = self.ecs.count();
        until("ECS to be asked", 2 * SOON, async || {
            let now = self.ecs.count();
            ensure!(now >= before + calls, "{now} calls");
            Ok(())
        })
        .await
    }

    fn signed(&self) -> anyhow::Result<()> {
        ensure!(self.ecs.refused().is_empty() && self.ecs.count() > 0, "{:?}", self.ecs.refused());
        Ok(())
    }
}

async fn explained(api: &Api, at: &str) -> anyhow::Result<String> {
    Ok(api.get(&format!("{}?format=text", native_path("web", at))).await?.expect(200)?.text())
}

#[test]
fn a_stopped_task_is_gone_everywhere_and_stays_gone() {
    alone("a_stopped_task_is_gone_everywhere_and_stays_gone", async |stage| {
        let world = World::start(stage, 3, &[]).await?;
        let arn = world.ecs.run(Task::new("prod", 0));
        world.api().put("web", AT, (1, 1), json!({"task_arn": arn})).await?.expect(200)?;
        world.api().put("web", "10.0.0.9:80", (1, 1), json!({})).await?.expect(200)?;
        world.all_say(AT, "healthy", GRACE).await?;
        world.swept(2).await?;
        world.ecs.change(&arn, |task| task.stops("STOPPED"));
        world.all_say(AT, "absent", Duration::from_secs(1) + GRACE).await?;
        world.api().put("web", AT, (1, 2), json!({"task_arn": arn})).await?.expect(409)?;
        let why = explained(world.api(), AT).await?;
        ensure!(why.contains("ECS says that the task stopped"), "{why}");
        world.all_say("10.0.0.9:80", "healthy", GRACE).await.context("who names no task")?;
        world.signed()
    });
}

#[test]
fn a_task_that_ecs_stops_drains_and_its_sidecar_is_heard() {
    alone("a_task_that_ecs_stops_drains_and_its_sidecar_is_heard", async |stage| {
        let world = World::start(stage, 2, &[]).await?;
        let arn = world.ecs.run(Task::new("prod", 0));
        let more = json!({"task_arn": arn});
        world.api().put("web", AT, (1, 1), more.clone()).await?.expect(200)?;
        world.ecs.change(&arn, |task| task.stops("RUNNING"));
        world.all_say(AT, "draining", Duration::from_secs(1) + GRACE).await?;
        world.api().put("web", AT, (1, 2), more).await?.expect(200).context("its heartbeat")?;
        world.all_say(AT, "draining", GRACE).await?;
        world.api().drain("web", AT, (1, 3)).await?.expect(200).context("its drain")?;
        world.api().delete("web", AT, (1, 4)).await?.expect(204).context("its goodbye")?;
        world.all_say(AT, "absent", GRACE).await?;
        world.signed()
    });
}

#[test]
fn an_event_is_sooner_than_the_sweep_and_counts_once() {
    alone("an_event_is_sooner_than_the_sweep_and_counts_once", async |stage| {
        let world = World::start(stage, 3, &[("SDS_ECS_INTERVAL", "60s")]).await?;
        let mut task = Task::new("prod", 0);
        world.api().put("web", AT, (1, 1), json!({"task_arn": task.arn})).await?.expect(200)?;
        let runs = task.event();
        ensure!(world.event(&runs).await? == json!({"outcome": "taken", "changed": 0}));
        task.stops("DEACTIVATING");
        task.version = 5;
        let stops = task.event();
        ensure!(world.event(&stops).await? == json!({"outcome": "taken", "changed": 1}));
        world.all_say(AT, "draining", Duration::from_secs(5)).await?;
        task.stops("STOPPED");
        task.version = 9;
        let stopped = task.event();
        ensure!(world.event(&stopped).await? == json!({"outcome": "taken", "changed": 1}));
        world.all_say(AT, "absent", Duration::from_secs(5)).await?;
        for old in [&stopped, &stops, &runs] {
            ensure!(world.event(old).await? == json!({"outcome": "old", "changed": 0}), "{old}");
        }
        // A new start of the sidecar in a task that ECS has not told of.
        world.api().put("web", AT, (2, 1), json!({"task_arn": Task::new("prod", 7).arn})).await?.expect(200)?;
        ensure!(world.event(&stopped).await?["outcome"] == "old");
        world.all_say(AT, "healthy", GRACE).await?;
        let elsewhere = Task { last: "STOPPED".to_owned(), ..Task::new("other", 0) };
        ensure!(world.event(&elsewhere.event()).await? == json!({"outcome": "foreign", "changed": 0}));
        let mut lacking = stopped.clone();
        lacking["detail"]["version"] = Value::Null;
        for bad in [json!([]), json!({}), json!({"detail-type": "ECS Service Action", "detail": {}}), lacking] {
            world
                .api()
                .json(Method::POST, "/v1/ecs/events", &bad)
                .await?
                .expect(400)
                .with_context(|| bad.to_string())?;
        }
        Ok(())
    });
}

#[test]
fn trouble_with_ecs_changes_nothing() {
    alone("trouble_with_ecs_changes_nothing", async |stage| {
        let world = World::start(stage, 2, &[("SDS_ECS_INTERVAL", "200ms")]).await?;
        let arns: Vec<_> = (0..4).map(|nth| world.ecs.run(Task::new("prod", nth))).collect();
        for (arn, nth) in arns.iter().zip(1..) {
            let at = format!("10.0.0.{nth}:80");
            world.api().put("web", &at, (1, 1), json!({"task_arn": arn})).await?.expect(200)?;
        }
        // Another account's cluster may have the same name.
        let far = arns[0].replace(ACCOUNT, "999999999999");
        world.api().put("far", AT, (1, 1), json!({"task_arn": far})).await?.expect(200)?;
        replicas::agree(&world.replicas, "web", 4, SOON).await?;
        world.swept(2).await?;
        // Whoever took any of it for an answer would see them end.
        let faults = [Fault::Throttled, Fault::TooMany, Fault::Away, Fault::Garbage, Fault::Denied];
        world.ecs.fails(faults.first().cloned());
        world.ecs.change(&arns[0], |task| task.stops("STOPPED"));
        world.ecs.forget(&arns[1]);
        for fault in faults {
            world.ecs.fails(Some(fault.clone()));
            let began = world.ecs.count();
            throughout("nothing to change", Duration::from_secs(1), async || {
                let all = world.api().instances("web").await?;
                ensure!(all.len() == 4 && all.values().all(|one| one["status"] == "healthy"), "{fault:?}: {all:?}");
                Ok(())
            })
            .await?;
            ensure!(world.ecs.count() >= began + 4, "{fault:?}: ECS was hardly asked");
        }
        // A task that ECS fails to describe for another reason than that there is none.
        world.ecs.change(&arns[2], |task| {
            task.failure = "INTERNAL".to_owned();
            task.hidden_for = u32::MAX;
        });
        // One that it does not know yet.
        world.ecs.change(&arns[3], |task| task.hidden_for = 1);
        world.ecs.fails(None);
        world.all_say(AT, "absent", 2 * SOON).await?;
        world.all_say("10.0.0.2:80", "absent", SOON).await.context("missing, again and again")?;
        world.swept(10).await?;
        for at in ["10.0.0.3:80", "10.0.0.4:80"] {
            world.all_say(at, "healthy", GRACE).await?;
        }
        ensure!(world.api().status("far", AT).await? == "healthy", "its account was not asked");
        world.signed()
    });
}

#[test]
fn a_task_that_runs_is_not_thrown_out_by_its_silence() {
    alone("a_task_that_runs_is_not_thrown_out_by_its_silence", async |stage| {
        let world = World::start(stage, 2, &[("SDS_LEASE", "3s")]).await?;
        let arns: Vec<_> = (0..6).map(|nth| world.ecs.run(Task::new("prod", nth))).collect();
        let specs = arns.iter().zip(0..).map(|(arn, nth)| Spec::new("web", nth).task(arn));
        let fleet = Fleet::start(specs, &addrs(&world.replicas), Duration::ZERO);
        fleet.registered(SOON).await?;
        replicas::agree(&world.replicas, "web", 6, SOON).await?;
        let silent = &fleet.all[0];
        silent.silence();
        // ECS has ended the second one's silence as well, so nothing speaks for it.
        fleet.all[1].kill();
        world.ecs.change(&arns[1], |task| task.failure = "INTERNAL".to_owned());
        world.ecs.change(&arns[1], |task| task.hidden_for = u32::MAX);
        let at = silent.spec.at.clone();
        world.all_say(&at, "unhealthy", SOON).await?;
        world.all_say(&fleet.all[1].spec.at, "absent", SOON).await?;
        throughout("it to stay", Duration::from_secs(3), async || {
            world.all_say(&at, "unhealthy", Duration::from_millis(500)).await?;
            let v1 = world.api().v1_endpoints("web").await?;
            ensure!(v1.len() == 4 && !v1.contains(&at), "{v1:?}");
            Ok(())
        })
        .await?;
        ensure!(world.api().metric("sds_ecs_kept").await? == 1.0);
        let why = explained(world.api(), &at).await?;
        ensure!(why.contains("silent, ECS says running") && why.contains("kept"), "{why}");
        // What ECS said last stands while it cannot be asked.
        world.ecs.fails(Some(Fault::Away));
        world.swept(4).await?;
        world.all_say(&at, "unhealthy", GRACE).await?;
        silent.serve();
        world.all_say(&at, "healthy", SOON).await?;
        world.ecs.fails(None);
        silent.silence();
        world.all_say(&at, "unhealthy", SOON).await?;
        world.ecs.change(&arns[0], |task| task.stops("STOPPED"));
        world.all_say(&at, "absent", 2 * GRACE).await.context("its task has stopped")?;
        world.signed()
    });
}

#[test]
fn ecs_word_is_stronger_than_the_loss_guard() {
    alone("ecs_word_is_stronger_than_the_loss_guard", async |stage| {
        let world = World::start(stage, 2, &[("SDS_LEASE", "3s"), ("SDS_HOLD_MAX", "5s")]).await?;
        let arns: Vec<_> = (0..5).map(|nth| world.ecs.run(Task::new("prod", nth))).collect();
        let specs = arns.iter().zip(0..).map(|(arn, nth)| Spec::new("web", nth).task(arn));
        let fleet = Fleet::start(specs, &addrs(&world.replicas), Duration::ZERO);
        fleet.registered(SOON).await?;
        replicas::agree(&world.replicas, "web", 5, SOON).await?;
        fleet.all.iter().for_each(|one| one.kill());
        let held = async |n: u64| {
            for replica in &world.replicas {
                let body = replica.api.get("/v1/services/web").await?.json()?;
                ensure!(body["held"] == n, "held: {}", body["held"]);
            }
            Ok(())
        };
        until("all to be held", SOON, async || held(5).await).await?;
        world.ecs.change(&arns[0], |task| task.stops("STOPPED"));
        world.all_say(&fleet.all[0].spec.at, "absent", 2 * GRACE).await?;
        until("the others to be held", SOON, async || held(4).await).await?;
        throughout("the others to be held beyond the cap", Duration::from_secs(6), async || held(4).await).await?;
        for arn in &arns[1..] {
            world.ecs.change(arn, |task| task.stops("DEPROVISIONING"));
        }
        for one in &fleet.all {
            world.all_say(&one.spec.at, "absent", 2 * GRACE).await?;
        }
        world.signed()
    });
}

#[test]
fn a_sweep_is_shared_by_all_replicas() {
    alone("a_sweep_is_shared_by_all_replicas", async |stage| {
        truth::play(stage, Plan { tasks: 300, every: Duration::from_secs(2), sweeps: 3, rate: 3 }).await.map(drop)
    });
}

#[test]
fn tasks_that_nobody_registered_are_listed() {
    alone("tasks_that_nobody_registered_are_listed", async |stage| {
        let world = World::start(stage, 2, &[]).await?;
        let bare =
            Task { containers: vec![("app".to_owned(), "registry.test/app:1".to_owned())], ..Task::new("prod", 3) };
        let young = Task { started: e2e::clock::epoch_seconds(), ..Task::new("prod", 2) };
        let tasks = [Task::new("prod", 0), Task::new("prod", 1), young, bare, Task::new("other", 4)];
        let [registered, missing, ..] = tasks.map(|task| world.ecs.run(task));
        // More than a page of others that are well.
        let more: Vec<_> =
            (100..250).map(|nth| Task { last: "PENDING".to_owned(), ..Task::new("prod", nth) }).collect();
        more.into_iter().for_each(|task| drop(world.ecs.run(task)));
        world.api().put("web", AT, (1, 1), json!({"task_arn": registered})).await?.expect(200)?;
        world.all_say(AT, "healthy", GRACE).await?;
        // The replica that looks by itself may have looked already.
        let list = until("the list", 2 * SOON, async || {
            let list = world.api().get("/v1/services?unregistered").await?.expect(200)?.json()?;
            let arns: Vec<_> =
                list["tasks"].as_array().context("no list")?.iter().map(|task| task["task_arn"].clone()).collect();
            ensure!(arns == [json!(missing)], "{list}");
            Ok(list)
        });
        let list = list.await?;
        ensure!(list["tasks"][0]["family"] == "web" && list["tasks"][0]["addresses"] == json!(["10.0.0.2"]), "{list}");
        ensure!(world.api().metric("sds_ecs_unregistered").await? == 1.0);
        let calls = world.ecs.calls().iter().filter(|call| call.action == "ListTasks").count();
        let text = world.api().get("/v1/services?unregistered&format=text").await?.expect(200)?.text();
        ensure!(text.lines().count() == 2 && text.contains(&missing), "{text}");
        let again = world.ecs.calls().iter().filter(|call| call.action == "ListTasks").count();
        ensure!(again == calls, "asked again at once");
        let without = Api::start(stage, &[]).await?;
        without.get("/v1/services?unregistered").await?.expect(404)?;
        world.signed()
    });
}

/// The keys of a value, each with its way there; a detail is called by its name.
fn paths(value: &Value, at: String, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) if fields.len() == 2 && fields.contains_key("name") && fields.contains_key("value") => {
            found.insert(format!("{}[{}]", at.trim_end_matches("[]"), fields["name"].as_str().unwrap_or_default()));
        }
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            found.insert(format!("{at}.{name}"));
            paths(value, format!("{at}.{name}"), found);
        }),
        Value::Array(items) => items.iter().for_each(|item| paths(item, format!("{at}[]"), found)),
        _ => {}
    }
}

#[test]
fn the_stand_in_speaks_as_aws_describes_it() {
    alone("the_stand_in_speaks_as_aws_describes_it", async |_| {
        let ecs = Ecs::start().await?;
        let arn = ecs.run(Task { bindings: vec![(80, 32768)], ..Task::new("prod", 0) });
        let asked = json!({"cluster": "prod", "tasks": [arn, Task::new("prod", 1).arn]});
        let described = ecs.says("DescribeTasks", &asked)?;
        ensure!(
            described["tasks"].as_array().map(Vec::len) == Some(1) && described["failures"][0]["reason"] == "MISSING"
        );
        let listed = ecs.says("ListTasks", &json!({"cluster": "prod"}))?;
        Ecs::shape(&[("DescribeTasks", described.clone()), ("ListTasks", listed)]).await?;
        let keys = |answer: &Value| {
            let mut found = BTreeSet::new();
            paths(&answer["tasks"][0], String::new(), &mut found);
            found
        };
        let (ours, motos) = (keys(&described), keys(&Ecs::motos_task()?));
        let more: Vec<_> = motos.difference(&ours).map(String::as_str).collect();
        // Of a task that has ended, a limit that ours does not have, and what an interface has beside its address.
        let known = [".containers[].exitCode", ".containers[].memory", ".stoppedReason"];
        let details = [
            ".attachments[].details[networkInterfaceId]",
            ".attachments[].details[macAddress]",
            ".attachments[].details[privateDnsName]",
        ];
        ensure!(more.iter().all(|path| known.contains(path) || details.contains(path)), "only moto has {more:?}");
        for path in
            [".attachments[].details[privateIPv4Address]", ".containers[].name", ".desiredStatus", ".clusterArn"]
        {
            ensure!(ours.contains(path) && motos.contains(path), "{path}");
        }
        let wrong = Ecs::shape(&[("ListTasks", json!({"taskArns": [7], "more": 1}))]).await;
        ensure!(wrong.is_err(), "the judge is asleep");
        Ok(())
    });
}
