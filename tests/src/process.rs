//! A child process: its log is kept, it can be signalled by its pid, and it never outlives its handle.

use std::{
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, bail};
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process, kill_process_group};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    task::JoinHandle,
    time::{Instant, timeout},
};

use crate::{canary, place, wait};

/// What a process has written, line by line, stdout and stderr together.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>, Arc<Mutex<Option<String>>>);

impl Log {
    /// The first line with `needle`.
    pub fn find(&self, needle: &str) -> Option<String> {
        self.lines().into_iter().find(|line| line.contains(needle))
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A secret that one of the lines told.
    pub fn told(&self) -> Option<String> {
        self.1.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last `n` lines as one text.
    pub fn tail(&self, n: usize) -> String {
        let lines = self.lines();
        lines[lines.len().saturating_sub(n)..].join("\n")
    }

    fn follow(&self, stream: impl AsyncRead + Send + Unpin + 'static) -> JoinHandle<()> {
        let (log, brief) = (self.clone(), place::var("E2E_LOG").is_some());
        tokio::spawn(async move {
            let mut lines = BufReader::new(stream).split(b'\n');
            while let Ok(Some(line)) = lines.next_segment().await {
                let line = String::from_utf8_lossy(&line).into_owned();
                if let Some(secret) = canary::told_by(&line) {
                    let told = format!("{secret} in: {line}");
                    log.1.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(told);
                }
                if brief && line.contains(" TRACE ") {
                    continue;
                }
                log.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        })
    }
}

/// A running child.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: Log,
    followers: [JoinHandle<()>; 2],
}

impl Process {
    /// Starts `command` in a process group of its own, so that Ctrl-C at a terminal reaches only us.
    pub fn spawn(name: &str, mut command: Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0);
        let mut child = command.spawn().with_context(|| format!("starting {name}: {:?}", command.as_std()))?;
        let log = Log::default();
        let followers = [
            log.follow(child.stdout.take().context("no stdout")?),
            log.follow(child.stderr.take().context("no stderr")?),
        ];
        Ok(Self { name: name.to_owned(), child, log, followers })
    }

    /// What it has written.
    pub fn log(&self) -> Log {
        self.log.clone()
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Its resident memory now and at most so far, in bytes.
    pub fn resident(&self) -> anyhow::Result<[u64; 2]> {
        let pid = self.pid().context("it has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("the memory is read from /proc")?;
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
            anyhow::Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
        };
        Ok([bytes("VmRSS:")?, bytes("VmHWM:")?])
    }

    /// Waits for a line with `needle`; an exit before it is an error that shows the log.
    pub async fn says(&mut self, needle: &str) -> anyhow::Result<String> {
        let what = format!("{} to say '{needle}'", self.name);
        let line = wait::until(&what, wait::SOON, async || match self.log.find(needle) {
            Some(line) => Ok(Ok(line)),
            None => match self.child.try_wait()? {
                // Its last words may still be in the pipe.
                Some(status) if self.followers.iter().all(JoinHandle::is_finished) => {
                    Ok(self.log.find(needle).ok_or(status))
                }
                _ => bail!("it has not said so"),
            },
        });
        match line.await {
            Ok(Ok(line)) => Ok(line),
            Ok(Err(status)) => bail!("{} ended ({status}) before '{needle}':\n{}", self.name, self.log.tail(20)),
            Err(error) => bail!("{error:#}\n{}", self.log.tail(20)),
        }
    }

    /// The address behind `key` in the first line with `needle`, as in `listening addr=127.0.0.1:80`.
    pub async fn address(&mut self, needle: &str) -> anyhow::Result<std::net::SocketAddr> {
        let line = self.says(needle).await?;
        let rest = line.split_once(needle).map_or("", |(_, rest)| rest);
        let text = rest.trim_start_matches(['=', '"', ' ']).split(['"', ' ']).next().unwrap_or_default();
        text.parse().with_context(|| format!("no address behind '{needle}' in: {line}"))
    }

    /// Its exit status, once it has ended.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Sends a signal; an error if the process has ended.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        kill_process(self.living()?, signal).with_context(|| format!("signalling {}", self.name))
    }

    fn living(&self) -> anyhow::Result<Pid> {
        let pid = self.pid().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        pid.with_context(|| format!("{} has ended already", self.name))
    }

    /// Waits for its end.
    pub async fn exit(&mut self, within: Duration) -> anyhow::Result<ExitStatus> {
        match timeout(within, self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => bail!("{} still runs after {within:?}", self.name),
        }
    }

    /// SIGTERM, then waits for its end.
    pub async fn stop(&mut self, within: Duration) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.exit(within).await
    }

    /// `kill -9`, then waits for its end.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::KILL)?;
        self.exit(wait::SOON).await.map(drop)
    }
}

impl Drop for Process {
    /// Kills it with all that it started, and waits until it is gone (milliseconds), so that its port and files are free.
    fn drop(&mut self) {
        if let Ok(group) = self.living() {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let patience = Instant::now() + Duration::from_secs(2);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < patience {
            std::thread::yield_now();
        }
    }
}
