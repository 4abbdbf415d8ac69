//! One container of a task: its process, its health check, its restarts, and its stop by SIGTERM and then SIGKILL.

use std::{fs, os::unix::process::ExitStatusExt, path::PathBuf, time::Duration};

use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::{
    Ecs,
    definition::{self, RestartPolicy},
    health::{Health, Record},
    history::{History, What},
    image, loopback,
    metadata::{Metadata, file},
    network::{self, Published},
    order::Stage,
};
use crate::process::{Process, Signal};

/// One container.
#[derive(Debug)]
pub struct Container {
    /// What it is told to be.
    pub definition: definition::Container,
    /// How often it was started again.
    pub restarts: u32,
    ecs: Ecs,
    metadata: Metadata,
    history: History,
    state: State,
}

#[derive(Debug)]
enum State {
    Pending,
    Running(Box<Running>),
    Ended(i32),
}

#[derive(Debug)]
struct Running {
    process: Process,
    since: Instant,
    check: Option<Check>,
    ports: Vec<Published>,
    stop: Stop,
}

#[derive(Debug, PartialEq, Eq)]
enum Stop {
    NotAsked,
    /// SIGTERM was sent, and SIGKILL is due.
    Asked(Instant),
    Killed,
}

#[derive(Debug)]
struct Check {
    record: Record,
    next: Instant,
    running: Option<JoinHandle<bool>>,
}

impl Container {
    /// A container that does not run yet.
    pub fn new(ecs: Ecs, metadata: Metadata, history: History, definition: definition::Container) -> Self {
        Self { definition, restarts: 0, ecs, metadata, history, state: State::Pending }
    }

    /// How far it is.
    pub fn stage(&self) -> Stage {
        match &self.state {
            State::Pending => Stage::Pending,
            State::Running(_) => Stage::Running { healthy: self.health() == Some(Health::Healthy) },
            State::Ended(code) => Stage::Ended(*code),
        }
    }

    /// What Docker says of it; nothing without a health check.
    pub fn health(&self) -> Option<Health> {
        self.definition.health_check.as_ref()?;
        match &self.state {
            State::Running(running) => running.check.as_ref().map(|check| check.record.health()),
            _ => Some(Health::Unknown),
        }
    }

    /// Its published ports: inside, on the host.
    pub fn ports(&self) -> Vec<(u16, u16)> {
        let State::Running(running) = &self.state else { return Vec::new() };
        running.ports.iter().map(|port| (port.container, port.host)).collect()
    }

    /// Starts its process.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        let (inner, identity) = (&self.ecs.0, self.metadata.identity());
        let name = &self.definition.name;
        let listen = identity.network.listen(&self.definition);
        let ports = network::publish(&identity.network, &self.definition).await?;
        let mut command = image::program(&inner.programs, &self.definition, &identity.id, listen)?;
        command.envs(loopback::environment(&inner.settings, &identity.network, &self.definition)?);
        command.env("ECS_CONTAINER_METADATA_URI_V4", self.metadata.uri(name));
        let fargate = identity.definition.requires_compatibilities.iter().any(|kind| kind == "FARGATE");
        let metadata_file: Option<PathBuf> = (!fargate).then(|| inner.dir.join(format!("{}-{name}.json", identity.id)));
        if let Some(path) = &metadata_file {
            fs::write(path, file(identity, false).to_string())?;
            command.env("ECS_CONTAINER_METADATA_FILE", path);
        }
        let process = inner.logs.spawn(&format!("{name} of task {}", identity.id), command)?;
        if let Some(path) = &metadata_file {
            fs::write(path, file(identity, true).to_string())?;
        }
        let since = Instant::now();
        let check = self.definition.health_check.as_ref().map(|check| Check {
            record: Record::new(check.retries, inner.settings.seconds(check.start_period)),
            next: since + inner.settings.seconds(check.interval),
            running: None,
        });
        self.history.note(name, What::Started);
        self.state = State::Running(Box::new(Running { process, since, check, ports, stop: Stop::NotAsked }));
        Ok(())
    }

    /// Looks at the process and at the health check. `keep` says whether a container that ended may be started again.
    pub async fn turn(&mut self, now: Instant, keep: bool) -> anyhow::Result<()> {
        let State::Running(running) = &mut self.state else { return Ok(()) };
        if let Some(status) = running.process.ended()? {
            let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
            self.history.note(&self.definition.name, What::Exited(code));
            let (ran, scale) = (now - running.since, self.ecs.0.settings.scale);
            let again =
                self.definition.restart_policy.as_ref().is_some_and(|policy| restarts(policy, ran * scale, code));
            self.state = State::Ended(code);
            if keep && again {
                self.restarts += 1;
                self.start().await?;
            }
            return Ok(());
        }
        if matches!(running.stop, Stop::Asked(kill_at) if now >= kill_at) {
            running.stop = Stop::Killed;
            self.signal(Signal::KILL)?;
            return Ok(());
        }
        self.check(now).await
    }

    async fn check(&mut self, now: Instant) -> anyhow::Result<()> {
        let State::Running(running) = &mut self.state else { return Ok(()) };
        let (Some(check), Some(how)) = (&mut running.check, &self.definition.health_check) else { return Ok(()) };
        let settings = &self.ecs.0.settings;
        match &mut check.running {
            Some(exec) if exec.is_finished() => {
                let passed = exec.await.unwrap_or(false);
                let before = check.record.health();
                let after = check.record.observe(now - running.since, passed);
                check.running = None;
                check.next = now + settings.seconds(how.interval);
                match after {
                    Health::Healthy if before != after => self.history.note(&self.definition.name, What::Healthy),
                    Health::Unhealthy if before != after => self.history.note(&self.definition.name, What::Unhealthy),
                    _ => {}
                }
            }
            None if now >= check.next => {
                let mut command = image::check(&self.ecs.0.programs, &self.definition, &how.command)?;
                command.envs(loopback::environment(settings, &self.metadata.identity().network, &self.definition)?);
                let patience = settings.seconds(how.timeout);
                check.running = Some(tokio::spawn(async move {
                    let output = timeout(patience, command.kill_on_drop(true).output()).await;
                    matches!(output, Ok(Ok(output)) if output.status.success())
                }));
            }
            _ => {}
        }
        Ok(())
    }

    /// SIGTERM, and SIGKILL once `stopTimeout` has passed; only the first word counts.
    pub fn stop(&mut self, now: Instant) -> anyhow::Result<()> {
        let patience = self.ecs.0.settings.seconds(self.definition.stop_timeout.unwrap_or(30));
        match &mut self.state {
            State::Running(running) if running.stop == Stop::NotAsked => running.stop = Stop::Asked(now + patience),
            _ => return Ok(()),
        }
        self.signal(Signal::TERM)
    }

    /// Sends a signal, if it runs.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        if let State::Running(running) = &self.state {
            running.process.signal(signal)?;
            self.history.note(&self.definition.name, What::Signalled(signal));
        }
        Ok(())
    }
}

/// Whether a container that ran so long (in ECS's time) and ended with this code is started again.
fn restarts(policy: &RestartPolicy, ran: Duration, code: i32) -> bool {
    policy.enabled
        && ran >= Duration::from_secs(policy.restart_attempt_period)
        && !policy.ignored_exit_codes.contains(&code)
}
